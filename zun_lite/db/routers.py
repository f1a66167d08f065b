# SPDX-License-Identifier: Apache-2.0
"""Routers: the table and its queries. Their legs are ports, whose device a router is."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.db.ports import ports

INTERFACE_OWNER, GATEWAY_OWNER = "network:router_interface", "network:router_gateway"

routers = sa.Table(
    "routers",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("enable_snat", sa.Boolean, nullable=False),
    sa.Column("gateway_port", sa.String(36), sa.ForeignKey("ports.uuid")),
    sa.Column("routes", Json, nullable=False),
    sa.Column("host", sa.String(36), index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: routers.c[name] for name in ("uuid", "project_id", "name", "description", "admin_state_up")
}


@dataclass(frozen=True)
class Router:
    """One record. gateway_port: uuid of its leg outside, if it has one. routes: (destination, nexthop).

    host: uuid of the host that runs it, None while none does.
    """

    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    enable_snat: bool
    gateway_port: str | None
    routes: tuple[tuple[str, str], ...]
    host: str | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


def scope(uuid: str) -> str:
    """The revision to raise before a router's legs, routes or floating IPs are changed."""
    return f"router:{uuid}"


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    name: str,
    description: str,
    admin_state_up: bool,
    host: str | None,
) -> Router:
    tx.execute(
        sa.insert(routers).values(
            uuid=uuid,
            project_id=project_id,
            name=name,
            description=description,
            admin_state_up=admin_state_up,
            enable_snat=True,
            routes=[],
            host=host,
            revision=1,
            created_at=utc_now(),
            updated_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str) -> Router | None:
    found = page(tx, [routers.c.uuid == uuid])
    return found[0] if found else None


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[Router]:
    query = sa.select(routers).where(*where, *listing.exact(COLUMNS, filters or {}))
    return [_read(row) for row in listing.page(tx, query, routers, wanted)]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(
        sa.update(routers)
        .where(routers.c.uuid == uuid)
        .values(**changes, revision=routers.c.revision + 1, updated_at=utc_now())
    )


def delete(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(routers).where(routers.c.uuid == uuid))


def place(tx: sa.Connection, uuid: str, host: str | None) -> None:
    """Have a host run it, its legs included."""
    tx.execute(sa.update(routers).where(routers.c.uuid == uuid).values(host=host))
    owners = (INTERFACE_OWNER, GATEWAY_OWNER)
    legs = (ports.c.device_id == uuid, ports.c.device_owner.in_(owners))
    tx.execute(sa.update(ports).where(*legs).values(host=host))


def count(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(routers).where(routers.c.project_id == project_id)
    return tx.execute(query).scalar_one()


def count_on_hosts(tx: sa.Connection) -> dict[str, int]:
    """How many routers each host runs; hosts without any are left out."""
    query = sa.select(routers.c.host, sa.func.count()).where(routers.c.host.is_not(None)).group_by(routers.c.host)
    return {host: number for host, number in tx.execute(query) if host is not None}


def _read(row: sa.RowMapping) -> Router:
    known = dict(row)
    known["routes"] = tuple((destination, nexthop) for destination, nexthop in row["routes"])
    return Router(**known)
