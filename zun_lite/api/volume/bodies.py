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
from zun_lite.db.listing import Page
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.volume.embedded import LOCAL

ZONE = "nova"
MAXIMUM_SIZE_GIB = 65536
LENGTH = 255
MOST_PAIRS = 128

# Sources that a volume could be made from, were they there; and what to say of each.
_SOURCES = {
    "snapshot_id": "There are no snapshots to make a volume from",
    "source_volid": "A volume cannot be made from another volume here",
    "imageRef": "A volume cannot be made from an image here",
    "backup_id": "There are no backups to make a volume from",
    "consistencygroup_id": "There are no consistency groups",
    "source_replica": "There are no replicas to make a volume from",
}
_CREATE_FIELDS = frozenset(
    ("size", "name", "description", "volume_type", "availability_zone", "metadata", "multiattach", *_SOURCES)
)
_SORTABLE = {
    "id": "uuid",
    "name": "name",
    "size": "size_gib",
    "status": "status",
    "created_at": "created_at",
    "availability_zone": "availability_zone",
}
_FILTERS = ("id", "name", "status", "availability_zone", "volume_type", "description", "size", "project_id", "bootable")


@dataclass(frozen=True)
class NewVolume:
    """A volume as asked for. metadata: of the user's own."""

    size_gib: int
    name: str = ""
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ListQuery:
    """all_projects: only an administrator gets it. metadata: pairs that must all be there."""

    columns: dict[str, list[Any]]
    metadata: dict[str, str]
    page: Page
    offset: int = 0
    all_projects: bool = False
    bootable: bool = False


def read_object(req: falcon.Request, key: str) -> dict[str, Any]:
    """The object under that key of the body."""
    return _part(_document(req), key)


def read_new_volume(req: falcon.Request, type_ids: frozenset[str]) -> NewVolume:
    """type_ids: the names and ids by which a volume type may be called."""
    document = _document(req)
    for other in set(document) - {"volume"}:
        if other != "OS-SCH-HNT:scheduler_hints" or document[other]:
            raise bad_request(f"Additional properties are not allowed ('{other}' was unexpected).")
    body = {key: value for key, value in _part(document, "volume").items() if value is not None}
    _refuse_unknown(body, _CREATE_FIELDS)
    for source, sentence in _SOURCES.items():
        if body.get(source):
            raise bad_request(f"{sentence}; leave {source} out.")
    if body.get("multiattach", False) not in (False, "False", "false"):
        raise bad_request("A volume cannot be attached to several containers here; leave multiattach out.")
    if body.get("volume_type", LOCAL) not in type_ids:
        raise errors.NotFound(f"Volume type with name {body['volume_type']} could not be found.", kind="itemNotFound")
    if body.get("availability_zone", ZONE) != ZONE:
        raise bad_request(f"Availability zone '{body['availability_zone']}' is invalid; the only one is {ZONE}.")
    if "size" not in body:
        raise bad_request("Invalid input received: the size of the volume in GiB is missing.")
    return NewVolume(
        size_gib=_size(body["size"]),
        name=text("name", body.get("name", "")),
        description=text("description", body["description"]) if "description" in body else None,
        metadata=metadata("metadata", body.get("metadata", {})),
    )


def read_changes(req: falcon.Request) -> dict[str, Any]:
    """New name and description, by column name; display_name and display_description are their old names."""
    body = read_object(req, "volume")
    known = {
        "name": "name",
        "display_name": "name",
        "description": "description",
        "display_description": "description",
    }
    if "metadata" in body and body["metadata"] is None:
        body = {key: value for key, value in body.items() if key != "metadata"}
    _refuse_unknown(body, frozenset((*known, "metadata")))
    changes: dict[str, Any] = {}
    for key, value in body.items():
        if key == "metadata":
            changes["metadata"] = metadata(key, value)
        elif value is not None:
            changes[known[key]] = text(key, value)
    return changes


def read_list(req: falcon.Request, caller: Caller, max_limit: int) -> ListQuery:
    """Filters that nobody knows are passed over, as Cinder does for everybody but administrators."""
    try:
        pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True, max_num_fields=1000, errors="strict")
    except ValueError:
        raise bad_request("The query is not valid text, or too long.") from None
    given = dict(pairs)
    columns: dict[str, list[Any]] = {}
    for key in _FILTERS:
        if key not in given or key == "bootable":
            continue
        if key == "size":
            columns["size_gib"] = [_number(key, given[key])]
        elif key == "id":
            columns["uuid"] = [as_id(given[key]) or given[key]]
        elif key != "project_id" or caller.is_admin:
            columns[key] = [given[key]]
    marker = given.get("marker")
    return ListQuery(
        columns=columns,
        metadata=_metadata_filter(given["metadata"]) if given.get("metadata") else {},
        page=Page(
            limit=min(_number("limit", given["limit"]), max_limit) if "limit" in given else max_limit,
            marker=None if marker is None else as_id(marker) or marker,
            order=_order(given),
        ),
        offset=_number("offset", given.get("offset", "0")),
        all_projects=caller.is_admin and _truth("all_tenants", given.get("all_tenants", "0")),
        bootable=_truth("bootable", given.get("bootable", "0")),
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


def _document(req: falcon.Request) -> dict[str, Any]:
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


def _refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(body) - known)
    if unknown:
        raise bad_request(f"Additional properties are not allowed ('{unknown[0][:100]}' was unexpected).")


def _size(value: Any) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAXIMUM_SIZE_GIB:
        raise bad_request(
            f"Invalid input received: Volume size '{str(value)[:40]}' must be an integer from 1 to {MAXIMUM_SIZE_GIB}, "
            "in GiB."
        )
    return value


def _number(key: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise bad_request(f"Invalid input received: {key} must be a number from 0 on, not '{value[:40]}'.")
    return int(value)


def _truth(key: str, value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on", "t", "y"):
        return True
    if value.lower() in ("0", "false", "no", "off", "f", "n", ""):
        return False
    raise bad_request(f"Invalid input received: {key} must be True or False, not '{value[:40]}'.")


def _order(given: dict[str, str]) -> tuple[tuple[str, bool], ...]:
    """Newest first unless the query says something else, in `sort` or in the older sort_key and sort_dir."""
    wanted = given.get("sort")
    if wanted is None:
        wanted = f"{given.get('sort_key', 'created_at')}:{given.get('sort_dir', 'desc')}"
    # By a column that was named before, nothing is left to be sorted.
    order: dict[str, bool] = {}
    for part in wanted.split(","):
        key, _, direction = part.strip().partition(":")
        if key not in _SORTABLE or direction not in ("", "asc", "desc"):
            raise bad_request(f"Invalid input received: '{part.strip()[:40]}' is not an order that is known here.")
        order.setdefault(_SORTABLE[key], direction != "asc")
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
