# SPDX-License-Identifier: Apache-2.0
"""Floating IPs: the table and its queries. Each has a port on its external network, which keeps its address."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Moment, metadata, text_type, utc_now

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


def insert(
    tx: sa.Connection, *, uuid: str, project_id: str, description: str, network_uuid: str, address: str, own_port: str
) -> FloatingIp:
    tx.execute(
        sa.insert(floating_ips).values(
            uuid=uuid,
            project_id=project_id,
            description=description,
            network_uuid=network_uuid,
            address=address,
            own_port=own_port,
            revision=1,
            created_at=utc_now(),
            updated_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str) -> FloatingIp | None:
    found = page(tx, [floating_ips.c.uuid == uuid])
    return found[0] if found else None


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[FloatingIp]:
    query = sa.select(floating_ips).where(*where, *listing.exact(COLUMNS, filters or {}))
    return [FloatingIp(**row) for row in listing.page(tx, query, floating_ips, wanted)]


def of_port(tx: sa.Connection, port_uuid: str) -> list[FloatingIp]:
    """Those that lead to a port."""
    return page(tx, [floating_ips.c.fixed_port == port_uuid])


def of_routers(tx: sa.Connection, router_uuids: Sequence[str]) -> list[FloatingIp]:
    return page(tx, [floating_ips.c.router_uuid.in_(list(router_uuids))]) if router_uuids else []


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(
        sa.update(floating_ips)
        .where(floating_ips.c.uuid == uuid)
        .values(**changes, revision=floating_ips.c.revision + 1, updated_at=utc_now())
    )


def delete(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(floating_ips).where(floating_ips.c.uuid == uuid))


def count(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(floating_ips).where(floating_ips.c.project_id == project_id)
    return tx.execute(query).scalar_one()
