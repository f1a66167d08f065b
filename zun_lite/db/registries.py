# SPDX-License-Identifier: Apache-2.0
"""Registries that projects made known, with the login for each. The password is kept locked."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, workloads
from zun_lite.db.engine import Moment, metadata, text_type, utc_now

registries = sa.Table(
    "registries",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("domain", text_type(255), nullable=False),
    sa.Column("username", text_type(255), nullable=False),
    sa.Column("locked_password", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: registries.c[name]
    for name in ("id", "uuid", "project_id", "user_id", "name", "domain", "username", "created_at", "updated_at")
}


@dataclass(frozen=True)
class Registry:
    """One record. domain: HOST[:PORT]. name and username are empty, locked_password None, where there is none."""

    id: int
    uuid: str
    project_id: str
    user_id: str
    name: str
    domain: str
    username: str
    locked_password: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    user_id: str,
    name: str,
    domain: str,
    username: str,
    locked_password: str | None,
) -> Registry:
    tx.execute(
        sa.insert(registries).values(
            uuid=uuid,
            project_id=project_id,
            user_id=user_id,
            name=name,
            domain=domain,
            username=username,
            locked_password=locked_password,
            created_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str, *, lock: bool = False) -> Registry | None:
    query = sa.select(registries).where(registries.c.uuid == uuid)
    row = tx.execute(query.with_for_update() if lock else query).mappings().first()
    return Registry(**row) if row else None


def find(
    tx: sa.Connection, project_id: str | None, *, uuid: str | None = None, name: str | None = None
) -> list[Registry]:
    """By uuid or exact name within a project; project_id None looks through all projects. Two at the most."""
    query = sa.select(registries).limit(2)
    if project_id is not None:
        query = query.where(registries.c.project_id == project_id)
    query = query.where(registries.c.uuid == uuid) if uuid else query.where(registries.c.name == name)
    return [Registry(**row) for row in tx.execute(query).mappings()]


def page(
    tx: sa.Connection, project_id: str | None, filters: Mapping[str, Sequence[Any]], wanted: listing.Page
) -> list[Registry]:
    """project_id None: of all projects."""
    query = sa.select(registries)
    if project_id is not None:
        query = query.where(registries.c.project_id == project_id)
    rows = listing.page(tx, query, registries, wanted, listing.exact(COLUMNS, filters))
    return [Registry(**row) for row in rows]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(sa.update(registries).where(registries.c.uuid == uuid).values(**changes, updated_at=utc_now()))


def remove(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(registries).where(registries.c.uuid == uuid))


def user_of(tx: sa.Connection, uuid: str) -> str | None:
    """The uuid of a workload whose image comes by this registry, if there is one."""
    table = workloads.workloads
    return tx.execute(sa.select(table.c.uuid).where(table.c.registry_id == uuid).limit(1)).scalar()
