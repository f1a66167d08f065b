# SPDX-License-Identifier: Apache-2.0
"""Security groups: the table and its queries. Each project has one named `default`."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, text_type
from zun_lite.db.records import Records

DEFAULT = "default"

security_groups = sa.Table(
    "security_groups",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    # The project's id in its default group, NULL in all others: there is one default a project.
    sa.Column("default_of", sa.String(64), unique=True),
    # The container for whose exposed ports it was made, and with which it goes.
    sa.Column("workload_uuid", sa.String(36), unique=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: security_groups.c[name] for name in ("uuid", "project_id", "name", "description")
}


@dataclass(frozen=True)
class SecurityGroup:
    """One record. workload_uuid: whose exposed ports it was made for, None for users' own."""

    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    default_of: str | None
    workload_uuid: str | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


_records = Records(security_groups, COLUMNS, lambda row: SecurityGroup(**row))
get, page, update, remove = _records.get, _records.page, _records.update, _records.delete


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    name: str,
    description: str = "",
    default_of: str | None = None,
    workload_uuid: str | None = None,
) -> SecurityGroup:
    values = {
        "project_id": project_id,
        "name": name,
        "description": description,
        "default_of": default_of,
        "workload_uuid": workload_uuid,
    }
    return _records.add(tx, uuid, values)


def default_of(tx: sa.Connection, project_id: str) -> SecurityGroup | None:
    """The project's default group, where it was ever asked for."""
    return _only(page(tx, [security_groups.c.default_of == project_id]))


def of_workload(tx: sa.Connection, workload_uuid: str) -> SecurityGroup | None:
    return _only(page(tx, [security_groups.c.workload_uuid == workload_uuid]))


def belonging_to(project_id: str | None) -> sa.ColumnElement[bool]:
    return security_groups.c.project_id == project_id


def count(tx: sa.Connection, project_id: str) -> int:
    """Users' own; those of containers go with them."""
    query = sa.select(sa.func.count()).select_from(security_groups)
    mine = (security_groups.c.project_id == project_id, security_groups.c.workload_uuid.is_(None))
    return tx.execute(query.where(*mine)).scalar_one()


def _only(found: list[SecurityGroup]) -> SecurityGroup | None:
    return found[0] if found else None
