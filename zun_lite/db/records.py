# SPDX-License-Identifier: Apache-2.0
"""The queries that tables of networking objects have in common.

Such a table has the columns id, uuid, project_id, revision, created_at and updated_at; what else it has,
and what may be done with its records, its own module and zun_lite.network know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import utc_now

Record = TypeVar("Record")


class Records(Generic[Record]):
    """columns: by which lists may be filtered, by name. read: makes a record of a row."""

    def __init__(
        self,
        table: sa.Table,
        columns: Mapping[str, sa.ColumnElement[Any]],
        read: Callable[[sa.RowMapping], Record],
    ) -> None:
        self._table = table
        self._columns = columns
        self._read = read

    def add(self, tx: sa.Connection, uuid: str, values: Mapping[str, Any]) -> Record:
        """A new record, in its first revision."""
        now = {"created_at": utc_now(), "updated_at": utc_now()}
        tx.execute(sa.insert(self._table).values({**values, "uuid": uuid, "revision": 1, **now}))
        made = self.get(tx, uuid)
        assert made is not None
        return made

    def get(self, tx: sa.Connection, uuid: str) -> Record | None:
        row = tx.execute(sa.select(self._table).where(self._table.c.uuid == uuid)).mappings().first()
        return self._read(row) if row else None

    def page(
        self,
        tx: sa.Connection,
        where: Iterable[sa.ColumnElement[bool]] = (),
        filters: Mapping[str, Sequence[Any]] | None = None,
        wanted: listing.Page = listing.WHOLE,
    ) -> list[Record]:
        """where: also who may see what. filters: by column name, see listing.exact()."""
        query = sa.select(self._table).where(*where)
        rows = listing.page(tx, query, self._table, wanted, listing.exact(self._columns, filters or {}))
        return [self._read(row) for row in rows]

    def update(self, tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
        """The record's next revision."""
        tx.execute(
            sa.update(self._table)
            .where(self._table.c.uuid == uuid)
            .values(**changes, revision=self._table.c.revision + 1, updated_at=utc_now())
        )

    def delete(self, tx: sa.Connection, uuid: str) -> None:
        """The database refuses it (IntegrityError) while another record refers to it."""
        tx.execute(sa.delete(self._table).where(self._table.c.uuid == uuid))

    def count(self, tx: sa.Connection, project_id: str) -> int:
        """How many a project has."""
        query = sa.select(sa.func.count()).select_from(self._table).where(self._table.c.project_id == project_id)
        return tx.execute(query).scalar_one()
