# SPDX-License-Identifier: Apache-2.0
"""Networks: the table and its queries. What may be done with a network is decided in zun_lite.network."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions
from zun_lite.db.engine import Json, Moment, metadata, text_type
from zun_lite.db.qos import qos_policies
from zun_lite.db.records import Records

FIRST_VNI = 1000
LAST_VNI = 2**24 - 1

networks = sa.Table(
    "networks",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("external", sa.Boolean, nullable=False),
    sa.Column("mtu", sa.Integer, nullable=False),
    sa.Column("vni", sa.Integer, nullable=False, unique=True),
    sa.Column("port_security", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("qos_policy", sa.String(36), sa.ForeignKey(qos_policies.c.uuid), index=True),
    sa.Column("zone_hints", Json, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: networks.c[name]
    for name in (
        "uuid", "project_id", "name", "description", "admin_state_up", "shared", "external", "mtu", "vni", "is_default",
        "qos_policy",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """One record. vni: its segment's number, unique in the cloud and not given out twice. mtu: bytes.

    port_security: of new ports, where their maker says nothing. qos_policy: of its ports that have none.
    zone_hints: what its maker wished; it is on every host that needs it.
    """

    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    external: bool
    mtu: int
    vni: int
    port_security: bool
    is_default: bool
    qos_policy: str | None
    zone_hints: tuple[str, ...]
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


_records = Records(networks, COLUMNS, lambda row: Network(**{**row, "zone_hints": tuple(row["zone_hints"])}))
get, page, update, delete, count = _records.get, _records.page, _records.update, _records.delete, _records.count


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    name: str,
    description: str,
    admin_state_up: bool,
    shared: bool,
    external: bool,
    mtu: int,
    port_security: bool = True,
    is_default: bool = False,
    qos_policy: str | None = None,
    zone_hints: Iterable[str] = (),
    vni: int | None = None,
) -> Network:
    """vni: this one, or the next that nobody ever had."""
    values = {
        "project_id": project_id,
        "name": name,
        "description": description,
        "admin_state_up": admin_state_up,
        "shared": shared,
        "external": external,
        "mtu": mtu,
        "vni": _next_vni(tx) if vni is None else vni,
        "port_security": port_security,
        "is_default": is_default,
        "qos_policy": qos_policy,
        "zone_hints": list(zone_hints),
    }
    return _records.add(tx, uuid, values)


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project sees: its own, the shared and the external ones."""
    return sa.or_(networks.c.project_id == project_id, networks.c.shared, networks.c.external)


def policies(tx: sa.Connection, uuids: Iterable[str]) -> dict[str, str]:
    """The QoS policies of these networks; networks without one are left out."""
    query = sa.select(networks.c.uuid, networks.c.qos_policy).where(networks.c.qos_policy.is_not(None))
    found: dict[str, str] = {}
    for some in listing.in_parts(sorted(set(uuids))):
        found.update((uuid, policy) for uuid, policy in tx.execute(query.where(networks.c.uuid.in_(some))))
    return found


def _next_vni(tx: sa.Connection) -> int:
    # A number that only grows: a host that still holds a deleted network cannot take the next one for it.
    number = 0
    while number <= LAST_VNI:
        revisions.raise_one(tx, "vni")
        number = FIRST_VNI - 1 + revisions.current(tx, "vni")
        if number <= LAST_VNI and not page(tx, [networks.c.vni == number]):
            return number
    after = networks.alias()
    gap = (
        sa.select(networks.c.vni + 1)
        .outerjoin(after, after.c.vni == networks.c.vni + 1)
        .where(after.c.vni.is_(None), networks.c.vni < LAST_VNI)
        .order_by(networks.c.vni)
        .limit(1)
    )
    return tx.execute(gap).scalar() or FIRST_VNI
