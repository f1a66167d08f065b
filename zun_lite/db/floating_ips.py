# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: the table and its queries. Each has a port on its external network, which keeps its address."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, text_type
from zun_lite.db.records import Records

OWNER = "network:floatingip"

floating_ips = sa.Table(
    "floating_ips",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("network_uuid", sa.String(36), sa.ForeignKey("networks.uuid"), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("own_port", sa.String(36), sa.ForeignKey("ports.uuid"), nullable=False, unique=True),
    sa.Column("fixed_port", sa.String(36), sa.ForeignKey("ports.uuid")),
    sa.Column("fixed_ip", sa.String(64)),
    sa.Column("router_uuid", sa.String(36), sa.ForeignKey("routers.uuid"), index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("fixed_port", "fixed_ip"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: floating_ips.c[name]
    for name in (
        "uuid", "project_id", "description", "network_uuid", "address", "fixed_port", "fixed_ip", "router_uuid",
    )
}  # fmt: skip


@dataclass(frozen=True)
class FloatingIp:
    """One record. fixed_port, fixed_ip, router_uuid: where it leads and through whom; all None while nowhere."""

    id: int
    uuid: str
    project_id: str
    description: str
    network_uuid: str
    address: str
    own_port: str
    fixed_port: str | None
    fixed_ip: str | None
    router_uuid: str | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


_records = Records(floating_ips, COLUMNS, lambda row: FloatingIp(**row))
get, page, update, delete, count = _records.get, _records.page, _records.update, _records.delete, _records.count


def insert(
    tx: sa.Connection, *, uuid: str, project_id: str, description: str, network_uuid: str, address: str, own_port: str
) -> FloatingIp:
    values = {
        "project_id": project_id,
        "description": description,
        "network_uuid": network_uuid,
        "address": address,
        "own_port": own_port,
    }
    return _records.add(tx, uuid, values)


def of_port(tx: sa.Connection, port_uuid: str) -> list[FloatingIp]:
    """Those that lead to a port."""
    return page(tx, [floating_ips.c.fixed_port == port_uuid])


def of_routers(tx: sa.Connection, router_uuids: Sequence[str]) -> list[FloatingIp]:
    return page(tx, [floating_ips.c.router_uuid.in_(list(router_uuids))]) if router_uuids else []
