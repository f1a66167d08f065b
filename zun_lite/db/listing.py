# SPDX-License-Identifier: Apache-2.0
"""How lists are cut: exact filters, an order, and pages that begin after a marker.

It knows columns, not what they mean. Filters are those of OpenStack's APIs: several values of one
key are alternatives, several keys must all hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.domain import errors


@dataclass(frozen=True)
class Page:
    """limit: None is all. marker: uuid of the record before the first one wanted.

    order: (column name, descending) pairs, the record's id is added as the last. reverse: the page
    that ends before the marker instead of the one that begins after it.
    """

    limit: int | None = None
    marker: str | None = None
    order: tuple[tuple[str, bool], ...] = ()
    reverse: bool = False


WHOLE = Page()


def exact(columns: Mapping[str, sa.ColumnElement[Any]], filters: Mapping[str, Sequence[Any]]) -> list[Any]:
    """A clause for each filter whose key names a column; None among the values stands for NULL."""
    clauses: list[Any] = []
    for key, values in filters.items():
        column = columns.get(key)
        if column is None:
            continue
        given = [value for value in values if value is not None]
        clause: sa.ColumnElement[bool] = column.in_(given)
        if len(given) < len(values):
            clause = sa.or_(clause, column.is_(None))
        clauses.append(clause)
    return clauses


def page(
    tx: sa.Connection,
    query: sa.Select[Any],
    table: sa.Table,
    wanted: Page,
    filters: Sequence[sa.ColumnElement[bool]] = (),
) -> list[sa.RowMapping]:
    """The rows of one page. The table has `id` and `uuid`; columns of order are never NULL.

    query: of what may be seen. Its marker must be in it, for where a page begins tells of the marker's row;
    it need not fulfil the filters, which it may have done no longer since the page before.
    """
    keys = [(table.c[name], descending != wanted.reverse) for name, descending in wanted.order]
    keys.append((table.c.id, wanted.reverse))
    if wanted.marker is not None:
        filters = [*filters, _beyond(keys, _marked(tx, query, table, keys, wanted.marker))]
    query = query.where(*filters).order_by(
        *(column.desc() if descending else column.asc() for column, descending in keys)
    )
    if wanted.limit is not None:
        query = query.limit(wanted.limit)
    rows = list(tx.execute(query).mappings())
    return rows[::-1] if wanted.reverse else rows


def in_parts(items: Sequence[str], size: int = 1000) -> Iterator[Sequence[str]]:
    """The items in runs of a size that every database takes as parameters of one statement."""
    return (items[start : start + size] for start in range(0, len(items), size))


def _marked(
    tx: sa.Connection, seen: sa.Select[Any], table: sa.Table, keys: Sequence[tuple[sa.Column[Any], bool]], marker: str
) -> Any:
    query = seen.with_only_columns(*(column for column, _ in keys)).offset(None).limit(None)
    row = tx.execute(query.where(table.c.uuid == marker)).first()
    if row is None:
        raise errors.Invalid(f"The marker {marker} is not the id of anything in this list; start again without one.")
    return row


def _beyond(keys: Sequence[tuple[sa.Column[Any], bool]], edge: Sequence[Any]) -> sa.ColumnElement[bool]:
    (column, descending), value = keys[0], edge[0]
    further = column < value if descending else column > value
    if len(keys) == 1:
        return further
    return sa.or_(further, sa.and_(column == value, _beyond(keys[1:], edge[1:])))
