# SPDX-License-Identifier: Apache-2.0
"""What clients may say about images: new ones, changes to them, and queries.

An image is one flat object; a key that Glance does not know is a property of the user's own, whose value is text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.image.documents import BASE, FORMATS, READ_ONLY
from zun_lite.db.images import PRIVATE, PUBLIC, SHARED, Image
from zun_lite.db.listing import Page
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

PATCH_TYPES = frozenset(f"application/openstack-images-v2.{minor}-json-patch" for minor in (0, 1))
MOST_PROPERTIES, MOST_TAGS, LONGEST_VALUE = 128, 128, 65535
_COLUMN = {"os_hidden": "hidden"}
_LIST = ("id", "name", "status", "container_format", "disk_format", "owner", "protected", "os_hidden")
_NUMBERS = ("size", "min_disk", "min_ram")
_FILTERS = {
    **{name: _COLUMN.get(name, name) for name in (*_LIST, *_NUMBERS)},
    "id": "uuid",
    "owner": "project_id",
    "size": "size_bytes",
    "checksum": "md5",
    "os_hash_value": "sha512",
}
_SORTABLE = {
    **{key: key for key in ("name", "status", "created_at", "updated_at", "min_disk", "min_ram")},
    "id": "uuid",
    "owner": "project_id",
}
_PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "sort", "visibility", "tag", "member_status"))


@dataclass(frozen=True)
class Fields:
    """An image as it shall be. values: columns. owner: None is the caller's project."""

    values: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    properties: dict[str, str] = field(default_factory=dict)
    owner: str | None = None
    uuid: str | None = None


@dataclass(frozen=True)
class ListQuery:
    """columns: exact filters. properties, tags: what images must have. visibility: None is any."""

    columns: dict[str, list[Any]]
    properties: dict[str, str]
    tags: tuple[str, ...]
    visibility: str | None
    page: Page


def read_new(req: falcon.Request, caller: Caller) -> Fields:
    """Invalid, Forbidden."""
    body = _document(req)
    if not isinstance(body, dict):
        raise errors.Invalid("The body must be a JSON object.")
    made = Fields()
    for key, value in body.items():
        if key in READ_ONLY:
            raise errors.Forbidden(f"Attribute '{key}' is read-only.")
        if value is not None or key not in BASE:
            made = _with(made, caller, key, value)
    return made


def read_changes(req: falcon.Request) -> list[Any]:
    """A JSON patch, whose changes are still to be looked at. Invalid."""
    if (req.content_type or "").split(";", 1)[0].strip().lower() not in PATCH_TYPES:
        raise falcon.HTTPUnsupportedMediaType(description=f"Send a change as {max(PATCH_TYPES)}.")
    operations = _document(req)
    if not isinstance(operations, list):
        raise errors.Invalid("The body must be a list of changes, each with op, path and value.")
    return operations


def changed(operations: list[Any], caller: Caller, image: Image) -> Fields:
    """The image as it shall be after these changes. Invalid, Forbidden, Conflict."""
    fields = Fields(tags=image.tags, properties=dict(image.properties))
    for operation in operations:
        fields = _apply(fields, caller, operation)
    return fields


def read_list(req: falcon.Request, most: int) -> ListQuery:
    query = {key: value[-1] if isinstance(value, list) else value for key, value in req.params.items()}
    tags = dict.fromkeys(req.get_param_as_list("tag") or ())
    columns: dict[str, list[Any]] = {}
    properties: dict[str, str] = {}
    for key, value in query.items():
        if key in _FILTERS:
            columns[_FILTERS[key]] = _alternatives(key, value)
        elif key not in _PAGING and key not in BASE and key not in ("size_min", "size_max", "changes-since"):
            properties[key] = value
    columns.setdefault("hidden", [False])
    if len(tags) > MOST_TAGS or len(properties) > MOST_PROPERTIES:
        raise errors.Invalid(f"A list can be asked for {MOST_TAGS} tags and {MOST_PROPERTIES} properties at most.")
    visibility = query.get("visibility")
    if visibility not in (None, "all", "community", *FORMATS["visibility"]):
        raise errors.Invalid(f"visibility must be one of all, public, private, shared, not '{visibility}'.")
    return ListQuery(columns, properties, tuple(tags), None if visibility == "all" else visibility, _page(query, most))


def check_tag(tag: Any) -> str:
    if not isinstance(tag, str) or not 1 <= len(tag) <= 255:
        raise errors.Invalid("A tag is a text of 1 to 255 characters.")
    return tag


def check_tags(value: Any) -> tuple[str, ...]:
    """Each once."""
    tags = tuple(dict.fromkeys(check_tag(tag) for tag in value)) if isinstance(value, list) else None
    if tags is None or len(tags) > MOST_TAGS:
        raise errors.Invalid(f"tags must be a list of at most {MOST_TAGS} texts.")
    return tags


def _page(query: Mapping[str, str], most: int) -> Page:
    limit = _number("limit", query["limit"]) if "limit" in query else 25
    if limit == 0:
        raise errors.Invalid("limit must be at least 1.")
    pairs = query.get("sort")
    asked = (
        pairs.split(",") if pairs else [f"{query.get('sort_key') or 'created_at'}:{query.get('sort_dir') or 'desc'}"]
    )
    # By a column that was named before, nothing is left to be sorted.
    order: dict[str, bool] = {}
    for item in asked:
        key, _, direction = item.strip().partition(":")
        if key not in _SORTABLE or direction not in ("", "asc", "desc"):
            raise errors.Invalid(
                f"Images can be sorted by {', '.join(sorted(_SORTABLE))}, asc or desc; not by '{item}'."
            )
        order.setdefault(_SORTABLE[key], direction != "asc")
    marker = query.get("marker")
    seen = (as_id(marker) or marker) if marker else None
    return Page(limit=min(limit, most), marker=seen, order=tuple(order.items()))


def _alternatives(key: str, text: str) -> list[Any]:
    if key in ("protected", "os_hidden"):
        return [_truth(key, text)]
    if key in _NUMBERS:
        return [_number(key, text)]
    if text.startswith("in:"):
        return [part.strip('"') for part in text.removeprefix("in:").split(",")]
    return [as_id(text) or text] if key == "id" else [text]


def _apply(fields: Fields, caller: Caller, operation: Any) -> Fields:
    if not isinstance(operation, dict):
        raise errors.Invalid("Each change must be an object with op, path and value.")
    op, path, value = operation.get("op"), operation.get("path"), operation.get("value")
    if op not in ("add", "replace", "remove") or not isinstance(path, str) or not path.startswith("/"):
        raise errors.Invalid("A change has an op of add, replace or remove, and a path like /name.")
    if op != "remove" and "value" not in operation:
        raise errors.Invalid(f"The change of {path} lacks its value.")
    key, _, rest = path[1:].replace("~1", "\0").partition("/")
    key = key.replace("\0", "/").replace("~0", "~")
    if rest and not (key == "tags" and rest == "-" and op == "add"):
        raise errors.Invalid(f"The path {path} leads too deep; change {key} as a whole.")
    if rest:
        return _with(fields, caller, "tags", [*fields.tags, value])
    if key in READ_ONLY or key == "id":
        raise errors.Forbidden(f"Attribute '{key}' is read-only.")
    if op == "remove":
        return _without(fields, key)
    if op == "replace" and key not in BASE and key not in fields.properties:
        raise errors.Conflict(f"Property {key} does not exist.")
    return _with(fields, caller, key, value)


def _without(fields: Fields, key: str) -> Fields:
    if key in BASE:
        raise errors.Forbidden(f"Property {key} may not be removed.")
    if key not in fields.properties:
        raise errors.Conflict(f"Property {key} does not exist.")
    return replace(fields, properties={name: text for name, text in fields.properties.items() if name != key})


def _with(fields: Fields, caller: Caller, key: str, value: Any) -> Fields:
    if key == "tags":
        return replace(fields, tags=check_tags(value))
    if key == "owner":
        return _with_owner(fields, caller, value)
    if key == "id":
        # Hosts know an image by its id, and may still hold what bore it before, which was another project's perhaps.
        if not caller.is_admin:
            raise errors.Forbidden("Only an administrator may choose the id of an image; leave id out.")
        uuid = as_id(value) if isinstance(value, str) else None
        if uuid is None:
            raise errors.Invalid("id must be a UUID.")
        return replace(fields, uuid=uuid)
    if key in BASE:
        return replace(fields, values={**fields.values, _COLUMN.get(key, key): _base_value(caller, key, value)})
    if not isinstance(value, str) or len(value) > LONGEST_VALUE or not 1 <= len(key) <= 255:
        raise errors.Invalid(f"{key} must be a text, as every property of your own.")
    properties = {**fields.properties, key: value}
    if len(properties) > MOST_PROPERTIES:
        raise errors.Invalid(f"An image has at most {MOST_PROPERTIES} properties.")
    return replace(fields, properties=properties)


def _with_owner(fields: Fields, caller: Caller, value: Any) -> Fields:
    if not isinstance(value, str) or not 1 <= len(value) <= 64:
        raise errors.Invalid("owner must be a project's id.")
    if value != caller.project_id and not caller.is_admin:
        raise errors.Forbidden("Only an administrator may give an image to another project.")
    return replace(fields, owner=value)


def _base_value(caller: Caller, key: str, value: Any) -> Any:
    if key in ("protected", "os_hidden"):
        return _truth(key, value)
    if key in ("min_disk", "min_ram"):
        return _number(key, value)
    if key in FORMATS:
        if value not in FORMATS[key]:
            raise errors.Invalid(f"{key} must be one of {', '.join(str(one) for one in FORMATS[key])}, not '{value}'.")
        if value == PUBLIC and not caller.is_admin:
            raise errors.Forbidden(f"Only an administrator may make an image public; use {SHARED} or {PRIVATE}.")
        return value
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 255:
        raise errors.Invalid(f"{key} must be a text of at most 255 characters.")
    return value


def _truth(key: str, value: Any) -> bool:
    text = str(value).lower()
    if text not in ("true", "false", "1", "0"):
        raise errors.Invalid(f"{key} must be true or false, not '{value}'.")
    return text in ("true", "1")


def _number(key: str, value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise errors.Invalid(f"{key} must be a number of at least 0, not '{value}'.")
    return int(text)


def _document(req: falcon.Request) -> Any:
    try:
        return media.loads(req.bounded_stream.read())
    except ValueError as error:
        raise errors.Invalid(f"The body is no JSON document: {error}.") from error
