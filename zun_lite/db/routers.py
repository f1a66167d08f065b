# SPDX-License-Identifier: Apache-2.0
"""Routers: the table and its queries. Their legs are ports, whose device a router is."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type
from zun_lite.db.ports import ports
from zun_lite.db.records import Records

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


def _read(row: sa.RowMapping) -> Router:
    known = dict(row)
    known["routes"] = tuple((destination, nexthop) for destination, nexthop in row["routes"])
    return Router(**known)


_records = Records(routers, COLUMNS, _read)
get, page, update, delete, count = _records.get, _records.page, _records.update, _records.delete, _records.count


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
    values = {
        "project_id": project_id,
        "name": name,
        "description": description,
        "admin_state_up": admin_state_up,
        "enable_snat": True,
        "routes": [],
        "host": host,
    }
    return _records.add(tx, uuid, values)


def place(tx: sa.Connection, uuid: str, host: str | None) -> None:
    """Have a host run it, its legs included."""
    tx.execute(sa.update(routers).where(routers.c.uuid == uuid).values(host=host))
    owners = (INTERFACE_OWNER, GATEWAY_OWNER)
    legs = (ports.c.device_id == uuid, ports.c.device_owner.in_(owners))
    tx.execute(sa.update(ports).where(*legs).values(host=host))


def count_on_hosts(tx: sa.Connection) -> dict[str, int]:
    """How many routers each host runs; hosts without any are left out."""
    query = sa.select(routers.c.host, sa.func.count()).where(routers.c.host.is_not(None)).group_by(routers.c.host)
    return {host: number for host, number in tx.execute(query) if host is not None}
