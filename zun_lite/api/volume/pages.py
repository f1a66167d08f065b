# SPDX-License-Identifier: Apache-2.0
"""Pages of lists as Cinder shows them: the next one's link, and the count if it is asked for."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import falcon
import sqlalchemy as sa

from zun_lite.api.volume import bodies, lookups
from zun_lite.api.volume.bodies import ListQuery
from zun_lite.db.listing import exact


class Listed(Protocol):
    @property
    def uuid(self) -> str: ...


Record = TypeVar("Record", bound=Listed)


def body(
    req: falcon.Request,
    public_url: str,
    collection: str,
    query: ListQuery,
    found: Sequence[Record],
    show: Callable[[Record], dict[str, Any]],
    count: int | None = None,
) -> dict[str, Any]:
    """A page; the link is there when it is full, so that the last one may be empty."""
    shown: dict[str, Any] = {collection: [show(record) for record in found]}
    if found and len(found) == query.page.limit:
        link = f"{public_url}{req.path}?{_query(req, found[-1].uuid)}"
        shown[f"{collection}_links"] = [{"rel": "next", "href": link}]
    if count is not None:
        shown["count"] = count
    return shown


def cut(req: falcon.Request, found: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """The page of a list that is there as a whole: limit, offset and marker. NotFound: nothing in it has that id."""
    limit, marker = req.get_param("limit"), req.get_param("marker")
    first = bodies.number("offset", req.get_param("offset") or "0")
    if marker:
        ids = [item["id"] for item in found]
        if marker not in ids:
            raise lookups.not_found(f"The marker {marker[:80]} is nothing of this list; start again without one.")
        first += ids.index(marker) + 1
    return found[first : first + bodies.number("limit", limit) if limit else None]


def narrowed(query: ListQuery, table: sa.Table, with_metadata: Callable[[str, str], Any] | None = None) -> list[Any]:
    """The clauses of everything that is not a filter by a column's whole value."""
    clauses: list[Any] = []
    for column, part in query.like:
        clauses.append(table.c[column].contains(part, autoescape=True))
    if with_metadata is not None:
        clauses += [with_metadata(key, value) for key, value in query.metadata.items()]
    return clauses


def count(
    tx: sa.Connection, table: sa.Table, where: Sequence[Any], columns: Mapping[str, Any], query: ListQuery
) -> int | None:
    """How many there are on all pages, if that was asked for."""
    if not query.with_count:
        return None
    counting = sa.select(sa.func.count()).select_from(table).where(*where, *exact(columns, query.columns))
    return tx.execute(counting).scalar_one()


def _query(req: falcon.Request, marker: str) -> str:
    pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True)
    kept = [(key, value) for key, value in pairs if key not in ("marker", "offset")]
    return urllib.parse.urlencode([*kept, ("marker", marker)])
