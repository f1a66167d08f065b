# SPDX-License-Identifier: Apache-2.0
"""Pages of workloads: which rows are on one, in keyset order, and those rows in whole.

A row's `version` grows with every write of the row, so who remembers what he made of a row needs no
more than the row's mark to know that it is still right.
"""

from __future__ import annotations

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


def marks(tx: sa.Connection, wanted: Wanted) -> list[Mark]:
    """The rows of one page. A marker that is no row's leaves it empty; the caller has looked."""
    return [Mark._make(row) for row in tx.execute(_query(tx, wanted, _MARK))]


def page(tx: sa.Connection, wanted: Wanted) -> list[Workload]:
    """The same in whole."""
    return [read_row(row) for row in tx.execute(_query(tx, wanted, (workloads,))).mappings()]


def whole(tx: sa.Connection, uuids: Sequence[str]) -> Iterable[tuple[int, Workload]]:
    """These rows as they are now, in no order, each with its version; what is gone meanwhile is left out."""
    for part in in_parts(uuids, 500):
        for row in tx.execute(sa.select(workloads).where(workloads.c.uuid.in_(part))).mappings():
            yield row["version"], read_row(row)


def _query(tx: sa.Connection, wanted: Wanted, columns: Sequence[Any]) -> sa.Select[Any]:
    column = workloads.c[wanted.sort_key]
    query = sa.select(*columns).where(workloads.c.kind == wanted.kind)
    if wanted.project_id is not None:
        query = query.where(workloads.c.project_id == wanted.project_id)
    for key, value in wanted.filters.items():
        query = query.where(workloads.c[key] == value)
    if wanted.marker is not None:
        edge = tx.execute(sa.select(column, workloads.c.id).where(workloads.c.uuid == wanted.marker)).first()
        if edge is None:
            return query.where(sa.false())
        query = query.where(_beyond(column, edge[0], edge[1], wanted.descending))
    # Databases differ in where they put what has no value; where every row has one, an index gives the order.
    keys = [*([column.is_(None)] if column.nullable else []), column, workloads.c.id]
    return query.order_by(*(key.desc() if wanted.descending else key for key in keys)).limit(wanted.limit)


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
