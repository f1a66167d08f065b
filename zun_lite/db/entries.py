# SPDX-License-Identifier: Apache-2.0
"""The queries that the records of the identity service have in common, as dicts by column.

Such a table has an `id`; what the values may be, its noun in zun_lite.identity knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from zun_lite.db.listing import in_parts

Entry = dict[str, Any]
# Values of one list in one statement.
MOST_AT_ONCE = 1000


def find(tx: sa.Connection, table: sa.Table, equal: Mapping[str, Any] | None = None) -> list[Entry]:
    """Those whose columns equal these (or one of these), by name where they have one."""
    for column, value in (equal or {}).items():
        if _is_list(value) and len(value) > MOST_AT_ONCE:
            parts = in_parts(sorted(set(value)), MOST_AT_ONCE)
            found = [each for part in parts for each in find(tx, table, {**(equal or {}), column: part})]
            return sorted(found, key=lambda each: (each.get("name", ""), each["id"]))
    where = [_is(table.c[column], value) for column, value in (equal or {}).items()]
    order = [table.c[column] for column in ("name", "type", "id") if column in table.c]
    rows = tx.execute(sa.select(table).where(*where).order_by(*order)).mappings()
    # SQLAlchemy's names of columns are of a class of their own, which no JSON library takes for a text.
    return [{str(name): value for name, value in row.items()} for row in rows]


def get(tx: sa.Connection, table: sa.Table, id: str) -> Entry | None:
    found = find(tx, table, {"id": id})
    return found[0] if found else None


def insert(tx: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> None:
    tx.execute(sa.insert(table).values(dict(values)))


def change(tx: sa.Connection, table: sa.Table, id: str, values: Mapping[str, Any]) -> None:
    if values:
        tx.execute(sa.update(table).where(table.c.id == id).values(dict(values)))


def remove(tx: sa.Connection, table: sa.Table, id: str) -> None:
    tx.execute(sa.delete(table).where(table.c.id == id))


def remove_where(tx: sa.Connection, table: sa.Table, equal: Mapping[str, Any]) -> None:
    tx.execute(sa.delete(table).where(*(table.c[column] == value for column, value in equal.items())))


def _is(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    if _is_list(value):
        return column.in_(value)
    return column.is_(None) if value is None else column == value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
