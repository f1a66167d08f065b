# SPDX-License-Identifier: Apache-2.0
"""Limits that operators set, of single projects and of classes; what is not set is NULL.

Which of them counts, and what a project uses, is decided in control/quotas.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from zun_lite.db.engine import metadata, text_type

RESOURCES = ("containers", "cpu", "memory", "disk")
DEFAULT_CLASS = "default"

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", text_type(64), primary_key=True),
    *(sa.Column(name, sa.BigInteger) for name in RESOURCES),
)

quota_classes = sa.Table(
    "quota_classes",
    metadata,
    sa.Column("name", text_type(255), primary_key=True),
    *(sa.Column(name, sa.BigInteger) for name in RESOURCES),
)


def of_project(tx: sa.Connection, project_id: str) -> dict[str, int]:
    """What is set for the project."""
    return _set(tx, quotas, quotas.c.project_id == project_id)


def of_class(tx: sa.Connection, name: str) -> dict[str, int]:
    """What is set for the class."""
    return _set(tx, quota_classes, quota_classes.c.name == name)


def of_every_project(tx: sa.Connection) -> dict[str, dict[str, int]]:
    """What is set, by project, of those for which something is."""
    rows = tx.execute(sa.select(quotas)).mappings()
    return {row["project_id"]: _given(row) for row in rows}


def set_for_project(tx: sa.Connection, project_id: str, limits: Mapping[str, int]) -> None:
    """Set these; what is not named stays."""
    _put(tx, quotas, "project_id", project_id, limits)


def set_for_class(tx: sa.Connection, name: str, limits: Mapping[str, int]) -> None:
    """Set these; what is not named stays."""
    _put(tx, quota_classes, "name", name, limits)


def reset_project(tx: sa.Connection, project_id: str) -> bool:
    """Nothing is set for the project any more; whether something was."""
    return tx.execute(sa.delete(quotas).where(quotas.c.project_id == project_id)).rowcount > 0


def _set(tx: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> dict[str, int]:
    row = tx.execute(sa.select(table).where(where)).mappings().first()
    return _given(row) if row else {}


def _given(row: sa.RowMapping) -> dict[str, int]:
    return {name: row[name] for name in RESOURCES if row[name] is not None}


def _put(tx: sa.Connection, table: sa.Table, key: str, value: str, limits: Mapping[str, int]) -> None:
    there = tx.execute(sa.select(table.c[key]).where(table.c[key] == value)).first()
    if there is None:
        tx.execute(sa.insert(table).values({key: value, **limits}))
    elif limits:
        tx.execute(sa.update(table).where(table.c[key] == value).values(**limits))
