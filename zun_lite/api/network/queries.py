# SPDX-License-Identifier: Apache-2.0
"""The query language of Neutron's lists: filters, fields and pages.

Several values of one key are alternatives, several keys must all hold, keys that nobody knows are
passed over.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import falcon

from zun_lite.db.listing import Page
from zun_lite.domain import errors
from zun_lite.domain.names import as_id

_PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "page_reverse", "fields"))


@dataclass(frozen=True)
class Filter:
    """Which column a key of the query looks at, and how its text is read."""

    column: str
    read: Callable[[str, str], Any]


@dataclass(frozen=True)
class Query:
    """columns: filters by column name, for listing.exact(). others: the remaining ones as they came."""

    columns: dict[str, list[Any]]
    others: dict[str, list[str]]
    fields: tuple[str, ...] = ()
    page: Page = field(default_factory=Page)


def text(key: str, value: str) -> str:
    return value


def identifier(key: str, value: str) -> str:
    return as_id(value) or value


def boolean(key: str, value: str) -> bool:
    if value.lower() in ("true", "1", "yes", "t"):
        return True
    if value.lower() in ("false", "0", "no", "f"):
        return False
    raise _bad_value(key, value, "True or False")


def number(key: str, value: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        return int(value)
    raise _bad_value(key, value, "a number")


def nothing_as_null(key: str, value: str) -> str | None:
    return value or None


def read_query(
    req: falcon.Request, filters: Mapping[str, Filter], sortable: Mapping[str, str], max_limit: int
) -> Query:
    """filters: by the key on the wire. sortable: column names by the key on the wire."""
    given = read_pairs(req)
    columns: dict[str, list[Any]] = {}
    others: dict[str, list[str]] = {}
    for key, values in given.items():
        if key in filters:
            known = filters[key]
            columns.setdefault(known.column, []).extend(known.read(key, value) for value in values)
        elif key not in _PAGING:
            others[key] = values
    return Query(columns, others, tuple(given.get("fields", ())), _page(given, sortable, max_limit))


def read_pairs(req: falcon.Request) -> dict[str, list[str]]:
    """All values of each key, in their order."""
    try:
        pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True, max_num_fields=5000, errors="strict")
    except ValueError:
        raise errors.Invalid("The query is not valid text, or too long.", kind="HTTPBadRequest") from None
    given: dict[str, list[str]] = {}
    for key, value in pairs:
        given.setdefault(key, []).append(value)
    return given


def links(req: falcon.Request, public_url: str, name: str, query: Query, uuids: Sequence[str]) -> dict[str, Any]:
    """The NAME_links entry of a page, empty where the list was not asked for in pages. uuids: the page's."""
    page = query.page
    if page.limit is None or not uuids:
        return {}
    full = len(uuids) == page.limit
    found = []
    if full or page.reverse:
        found.append({"rel": "next", "href": _href(req, public_url, uuids[-1], reverse=False)})
    if (page.marker is not None and not page.reverse) or (page.reverse and full):
        found.append({"rel": "previous", "href": _href(req, public_url, uuids[0], reverse=True)})
    return {f"{name}_links": found} if found else {}


def project(view: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Only the wanted fields of an object; all when none is named."""
    return {key: view[key] for key in fields if key in view} if fields else view


def _page(given: Mapping[str, list[str]], sortable: Mapping[str, str], max_limit: int) -> Page:
    marker = given.get("marker", [None])[-1]
    limit = _limit(given["limit"][-1], max_limit) if "limit" in given else None
    keys, directions = given.get("sort_key", []), given.get("sort_dir", [])
    # By a column that was named before, nothing is left to be sorted.
    order: dict[str, bool] = {}
    for position, key in enumerate(keys):
        if key not in sortable:
            raise _bad_value("sort_key", key, "one of " + ", ".join(sorted(sortable)))
        direction = directions[position] if position < len(directions) else "asc"
        if direction not in ("asc", "desc"):
            raise _bad_value("sort_dir", direction, "asc or desc")
        order.setdefault(sortable[key], direction == "desc")
    return Page(
        limit=limit,
        marker=None if marker is None else as_id(marker) or marker,
        order=tuple(order.items()),
        reverse=boolean("page_reverse", given.get("page_reverse", ["False"])[-1]),
    )


def _limit(value: str, max_limit: int) -> int | None:
    if not re.fullmatch(r"[0-9]{1,9}", value, re.ASCII):
        raise _bad_value("limit", value, "an integer 0 or greater")
    return min(int(value), max_limit) or None


def _href(req: falcon.Request, public_url: str, marker: str, *, reverse: bool) -> str:
    kept = [
        (key, value)
        for key, values in read_pairs(req).items()
        for value in values
        if key not in ("marker", "page_reverse")
    ]
    kept.append(("marker", marker))
    if reverse:
        kept.append(("page_reverse", "True"))
    return f"{public_url}{req.path}?{urllib.parse.urlencode(kept)}"


def _bad_value(key: str, value: str, allowed: str) -> errors.Invalid:
    return errors.Invalid(
        f"Invalid input for operation: '{value}' is not a value of {key}; it must be {allowed}.", kind="InvalidInput"
    )
