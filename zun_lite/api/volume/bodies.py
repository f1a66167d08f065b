# SPDX-License-Identifier: Apache-2.0
"""What clients may say about volumes: bodies and queries, checked and turned into values.

Clients send null for all that they do not mean; null is the same as leaving a field out.
"""

from __future__ import annotations

import ast
import re
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.volume.microversions import COUNTS, LIKE_FILTERS, Version
from zun_lite.db.listing import Page
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

ZONE = "nova"
MAXIMUM_SIZE_GIB = 65536
LENGTH = 255
MOST_PAIRS = 128

# Sources that a volume could be made from, were they there; and what to say of each.
_NO_SOURCES = {
    "imageRef": "A volume cannot be made from an image here",
    "backup_id": "There are no backups to make a volume from",
    "consistencygroup_id": "There are no consistency groups",
    "group_id": "There are no groups",
    "source_replica": "There are no replicas to make a volume from",
}
_CREATE_FIELDS = frozenset(
    (
        "size", "name", "description", "volume_type", "availability_zone", "metadata", "multiattach",
        "snapshot_id", "source_volid", *_NO_SOURCES,
    )
)  # fmt: skip


@dataclass(frozen=True)
class Lists:
    """What one kind of lists can be filtered and sorted by.

    columns: by the filter's name on the wire; numbers are those that are numbers, ids those that are ids.
    order: columns by the name that they are sorted by on the wire.
    """

    columns: dict[str, str]
    order: dict[str, str]
    default_order: str = "created_at"
    numbers: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset(("id",))


VOLUME_LISTS = Lists(
    columns={
        "id": "uuid", "size": "size_gib",
        **{name: name for name in (
            "name", "status", "availability_zone", "volume_type", "description", "project_id",
            "snapshot_id", "source_volid",
        )},
    },
    order={
        "id": "uuid", "size": "size_gib",
        **{name: name for name in ("name", "status", "created_at", "availability_zone", "bootable")},
    },
    numbers=frozenset(("size",)),
)  # fmt: skip
SNAPSHOT_LISTS = Lists(
    columns={
        "id": "uuid", "volume_id": "volume_uuid", "volume_size": "size_gib",
        **{name: name for name in ("name", "status", "description", "project_id")},
    },
    order={
        "id": "uuid", "volume_size": "size_gib", "volume_id": "volume_uuid",
        **{name: name for name in ("name", "status", "created_at")},
    },
    numbers=frozenset(("volume_size",)),
    ids=frozenset(("id", "volume_id")),
)  # fmt: skip
ATTACHMENT_LISTS = Lists(
    columns={
        "id": "uuid", "volume_id": "volume_uuid", "status": "state", "instance_id": "instance",
        "project_id": "project_id",
    },
    order={"id": "uuid", "created_at": "attached_at", "status": "state"},
    ids=frozenset(("id", "volume_id")),
)  # fmt: skip


@dataclass(frozen=True)
class CreateBody:
    """A volume as asked for. metadata: of the user's own; the rest names what has still to be looked up."""

    size_gib: int | None
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    volume_type: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None


@dataclass(frozen=True)
class ListQuery:
    """all_projects: only an administrator gets it. metadata: pairs that must all be there.

    like: parts of columns' values. bootable: None is either. with_count: say how many there are in all.
    """

    columns: dict[str, list[Any]]
    metadata: dict[str, str]
    page: Page
    offset: int = 0
    all_projects: bool = False
    bootable: bool | None = None
    like: tuple[tuple[str, str], ...] = ()
    with_count: bool = False


def read_object(req: falcon.Request, key: str) -> dict[str, Any]:
    """The object under that key of the body."""
    return _part(read_document(req), key)


def read_new_volume(req: falcon.Request) -> CreateBody:
    document = read_document(req)
    for other in set(document) - {"volume"}:
        if other != "OS-SCH-HNT:scheduler_hints" or document[other]:
            raise bad_request(f"Additional properties are not allowed ('{other}' was unexpected).")
    body = {key: value for key, value in _part(document, "volume").items() if value is not None}
    refuse_unknown(body, _CREATE_FIELDS)
    for source, sentence in _NO_SOURCES.items():
        if body.get(source):
            raise bad_request(f"{sentence}; leave {source} out.")
    if body.get("multiattach", False) not in (False, "False", "false"):
        raise bad_request("A volume is multiattach by its type; leave multiattach out and name such a volume_type.")
    if body.get("availability_zone", ZONE) != ZONE:
        raise bad_request(f"Availability zone '{body['availability_zone']}' is invalid; the only one is {ZONE}.")
    origins = {key: text(key, body[key]) for key in ("snapshot_id", "source_volid") if body.get(key)}
    if len(origins) > 1:
        raise bad_request("A volume is made from a snapshot or from a volume, not from both.")
    if "size" not in body and not origins:
        raise bad_request("Invalid input received: the size of the volume in GiB is missing.")
    return CreateBody(
        size_gib=size("Volume", body["size"]) if "size" in body else None,
        name=text("name", body.get("name", "")),
        description=text("description", body["description"]) if "description" in body else None,
        metadata=metadata("metadata", body.get("metadata", {})),
        volume_type=text("volume_type", body["volume_type"]) if body.get("volume_type") else None,
        **origins,
    )


def read_changes(req: falcon.Request, what: str = "volume") -> dict[str, Any]:
    """New name and description, by column name; display_name and display_description are their old names."""
    body = read_object(req, what)
    known = {
        "name": "name",
        "display_name": "name",
        "description": "description",
        "display_description": "description",
    }
    if "metadata" in body and body["metadata"] is None:
        body = {key: value for key, value in body.items() if key != "metadata"}
    refuse_unknown(body, frozenset((*known, "metadata")))
    changes: dict[str, Any] = {}
    for key, value in body.items():
        if key == "metadata":
            changes["metadata"] = metadata(key, value)
        elif value is not None:
            changes[known[key]] = text(key, value)
    return changes


def read_list(
    req: falcon.Request, caller: Caller, max_limit: int, known: Lists, version: Version = (3, 0)
) -> ListQuery:
    """Filters that nobody knows are passed over, as Cinder does for everybody but administrators."""
    try:
        pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True, max_num_fields=1000, errors="strict")
    except ValueError:
        raise bad_request("The query is not valid text, or too long.") from None
    given = dict(pairs)
    columns: dict[str, list[Any]] = {}
    like: list[tuple[str, str]] = []
    for key, column in known.columns.items():
        if version >= LIKE_FILTERS and f"{key}~" in given and key not in known.numbers:
            like.append((column, given[f"{key}~"]))
        if key not in given or (key == "project_id" and not caller.is_admin):
            continue
        if key in known.numbers:
            columns[column] = [number(key, given[key])]
        else:
            columns[column] = [as_id(given[key]) or given[key] if key in known.ids else given[key]]
    marker = given.get("marker")
    return ListQuery(
        columns=columns,
        metadata=_metadata_filter(given["metadata"]) if given.get("metadata") else {},
        page=Page(
            limit=min(number("limit", given["limit"]), max_limit) if "limit" in given else max_limit,
            marker=None if marker is None else as_id(marker) or marker,
            order=_order(given, known),
        ),
        offset=number("offset", given.get("offset", "0")),
        all_projects=caller.is_admin and truth("all_tenants", given.get("all_tenants", "0")),
        bootable=truth("bootable", given["bootable"]) if given.get("bootable") else None,
        like=tuple(like),
        with_count=version >= COUNTS and truth("with_count", given.get("with_count", "0")),
    )


def text(field_name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise bad_request(f"Invalid input for field/attribute {field_name}. Value: {value}. It must be a string.")
    if len(value) > LENGTH:
        raise bad_request(f"Invalid input for field/attribute {field_name}. It is longer than {LENGTH} characters.")
    return value


def metadata(field_name: str, value: Any) -> dict[str, str]:
    """Pairs of strings; keys are not empty."""
    if not isinstance(value, dict) or len(value) > MOST_PAIRS:
        raise bad_request(
            f"Invalid input for field/attribute {field_name}. It must be an object of at most {MOST_PAIRS} pairs."
        )
    for key, item in value.items():
        if not key:
            raise bad_request("Metadata property key blank.")
        text(f"{field_name} (a key)", key)
        text(f"{field_name}.{key}", item)
    return value


def bad_request(sentence: str) -> errors.Invalid:
    return errors.Invalid(sentence, kind="badRequest")


def not_settable(allowed: tuple[str, ...]) -> errors.Invalid:
    """The answer to a reset to another status."""
    return bad_request(
        f"Invalid input received: status must be one of {', '.join(allowed)}. What is to be removed is deleted "
        "instead, by force if need be."
    )


def read_document(req: falcon.Request) -> dict[str, Any]:
    try:
        document = media.loads(req.bounded_stream.read() or b"null")
    except ValueError as error:
        raise bad_request(f"The body is not the JSON that is needed: {error}.") from None
    if not isinstance(document, dict):
        raise bad_request("The body must be a JSON object.")
    return document


def _part(document: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(document.get(key), dict):
        raise bad_request(f"Missing required element '{key}' in request body.")
    return document[key]


def refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise bad_request(f"Additional properties are not allowed ('{unknown[0][:100]}' was unexpected).")


def size(what: str, value: Any) -> int:
    """GiB."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAXIMUM_SIZE_GIB:
        raise bad_request(
            f"Invalid input received: {what} size '{str(value)[:40]}' must be an integer from 1 to {MAXIMUM_SIZE_GIB}, "
            "in GiB."
        )
    return value


def number(key: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise bad_request(f"Invalid input received: {key} must be a number from 0 on, not '{value[:40]}'.")
    return int(value)


def truth(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    value = str(value)
    if value.lower() in ("1", "true", "yes", "on", "t", "y"):
        return True
    if value.lower() in ("0", "false", "no", "off", "f", "n", ""):
        return False
    raise bad_request(f"Invalid input received: {key} must be True or False, not '{value[:40]}'.")


def _order(given: dict[str, str], known: Lists) -> tuple[tuple[str, bool], ...]:
    """Newest first unless the query says something else, in `sort` or in the older sort_key and sort_dir."""
    wanted = given.get("sort")
    if wanted is None:
        wanted = f"{given.get('sort_key', known.default_order)}:{given.get('sort_dir', 'desc')}"
    # By a column that was named before, nothing is left to be sorted.
    order: dict[str, bool] = {}
    for part in wanted.split(","):
        key, _, direction = part.strip().partition(":")
        if key not in known.order or direction not in ("", "asc", "desc"):
            raise bad_request(f"Invalid input received: '{part.strip()[:40]}' is not an order that is known here.")
        order.setdefault(known.order[key], direction != "asc")
    return tuple(order.items())


def _metadata_filter(value: str) -> dict[str, str]:
    """Clients send what Python prints for a dict; JSON is understood, too."""
    try:
        pairs = ast.literal_eval(value) if len(value) <= 4096 else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pairs = None
    if not isinstance(pairs, dict) or not all(_is_text(key) and _is_text(item) for key, item in pairs.items()):
        raise bad_request("Invalid input received: the filter metadata must be like {'key': 'value'}.")
    return pairs


def _is_text(value: Any) -> bool:
    """Whether it is such that a database can hold it; what Python prints may have escapes of anything."""
    return isinstance(value, str) and "\0" not in value and not any("\ud800" <= one <= "\udfff" for one in value)
