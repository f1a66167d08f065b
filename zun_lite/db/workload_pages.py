# SPDX-License-Identifier: Apache-2.0
"""Pages of workloads: which rows are on one, in keyset order, and those rows in whole.

A row's `version` grows with every write of the row, so who remembers what he made of a row needs no
more than the row's mark to know that it is still right.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import sqlalchemy as sa

from zun_lite.db.listing import in_parts
from zun_lite.db.workloads import Workload, read_row, workloads


class Mark(NamedTuple):
    """A row of a page, without what it says. version: of the row, which every write raises."""

    uuid: str
    version: int
    project_id: str
    host: str | None


@dataclass(frozen=True)
class Wanted:
    """project_id None: of all projects. filters: exact values by column. marker: the uuid of the row before the page.

    sort_key: a column; id breaks ties, and what has no value comes last.
    """

    kind: str
    project_id: str | None
    limit: int
    filters: dict[str, Any] = field(default_factory=dict)
    marker: str | None = None
    sort_key: str = "id"
    descending: bool = False


_MARK = tuple(workloads.c[name] for name in Mark._fields)
_WHOLE = (workloads,)


def marks(tx: sa.Connection, wanted: Wanted) -> list[Mark]:
    """The rows of one page. A marker that is no row's leaves it empty; the caller has looked."""
    return list(map(Mark._make, tx.execute(*_query(tx, wanted, _MARK)).all()))


def page(tx: sa.Connection, wanted: Wanted) -> list[Workload]:
    """The same in whole."""
    return [read_row(row) for row in tx.execute(*_query(tx, wanted, _WHOLE)).mappings()]


def whole(tx: sa.Connection, uuids: Sequence[str]) -> Iterable[tuple[int, Workload]]:
    """These rows as they are now, in no order, each with its version; what is gone meanwhile is left out."""
    for part in in_parts(uuids, 500):
        for row in tx.execute(sa.select(workloads).where(workloads.c.uuid.in_(part))).mappings():
            yield row["version"], read_row(row)


def _query(tx: sa.Connection, wanted: Wanted, columns: tuple[Any, ...]) -> tuple[sa.Select[Any], dict[str, Any]]:
    """A statement and what to run it with."""
    given = {"project_id": wanted.project_id, "kind": wanted.kind, "most": wanted.limit}
    given |= {f"filter_{key}": value for key, value in wanted.filters.items()}
    shape = wanted.project_id is not None, tuple(sorted(wanted.filters)), wanted.sort_key, wanted.descending
    query = _first_page(columns, *shape)
    if wanted.marker is not None:
        column = workloads.c[wanted.sort_key]
        edge = tx.execute(sa.select(column, workloads.c.id).where(workloads.c.uuid == wanted.marker)).first()
        beyond = sa.false() if edge is None else _beyond(column, edge[0], edge[1], wanted.descending)
        query = query.where(beyond)
    return query, given


@functools.lru_cache(maxsize=128)
def _first_page(
    columns: tuple[Any, ...], of_project: bool, filters: tuple[str, ...], sort_key: str, descending: bool
) -> sa.Select[Any]:
    """Made once: to put a statement together costs more than to run it."""
    column = workloads.c[sort_key]
    query = sa.select(*columns).where(workloads.c.kind == sa.bindparam("kind"))
    if of_project:
        query = query.where(workloads.c.project_id == sa.bindparam("project_id"))
    for key in filters:
        query = query.where(workloads.c[key] == sa.bindparam(f"filter_{key}"))
    # Databases differ in where they put what has no value; where every row has one, an index gives the order.
    keys = [*([column.is_(None)] if column.nullable else []), column, workloads.c.id]
    order = (key.desc() if descending else key for key in keys)
    return query.order_by(*order).limit(sa.bindparam("most"))


def _beyond(column: sa.Column[Any], edge: Any, marker_id: int, descending: bool) -> sa.ColumnElement[bool]:
    later = workloads.c.id < marker_id if descending else workloads.c.id > marker_id
    if column is workloads.c.id:
        return later
    if edge is None:
        behind = sa.and_(column.is_(None), later)
        return sa.or_(behind, column.is_not(None)) if descending else behind
    further = column < edge if descending else column > edge
    behind = sa.or_(further, sa.and_(column == edge, later))
    return sa.or_(behind, column.is_(None)) if column.nullable and not descending else behind
