# SPDX-License-Identifier: Apache-2.0
"""Security groups: the table and its queries. Each project has one named `default`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Moment, metadata, text_type, utc_now
from zun_lite.domain.names import new_id

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
    sa.Column("created_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: security_groups.c[name] for name in ("uuid", "project_id", "name", "description")
}


@dataclass(frozen=True)
class SecurityGroup:
    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    default_of: str | None
    created_at: datetime.datetime


def default_group(tx: sa.Connection, project_id: str) -> SecurityGroup:
    """The project's default group, made now if it was never asked for."""
    query = sa.select(security_groups).where(security_groups.c.default_of == project_id)
    row = tx.execute(query).mappings().first()
    if row is None:
        tx.execute(
            sa.insert(security_groups).values(
                uuid=new_id(),
                project_id=project_id,
                name=DEFAULT,
                description="Default security group",
                default_of=project_id,
                created_at=utc_now(),
            )
        )
        row = tx.execute(query).mappings().one()
    return SecurityGroup(**row)


def has_default(tx: sa.Connection, project_id: str) -> bool:
    query = sa.select(security_groups.c.id).where(security_groups.c.default_of == project_id)
    return tx.execute(query).first() is not None


def get(tx: sa.Connection, uuid: str) -> SecurityGroup | None:
    row = tx.execute(sa.select(security_groups).where(security_groups.c.uuid == uuid)).mappings().first()
    return SecurityGroup(**row) if row else None


def remove(tx: sa.Connection, group: SecurityGroup) -> None:
    """No port has it any more."""
    tx.execute(sa.delete(security_groups).where(security_groups.c.uuid == group.uuid))


def belonging_to(project_id: str | None) -> sa.ColumnElement[bool]:
    return security_groups.c.project_id == project_id


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[SecurityGroup]:
    query = sa.select(security_groups).where(*where, *listing.exact(COLUMNS, filters or {}))
    return [SecurityGroup(**row) for row in listing.page(tx, query, security_groups, wanted)]
