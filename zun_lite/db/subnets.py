# SPDX-License-Identifier: Apache-2.0
"""Subnets: the table and its queries. Their addresses are in zun_lite.db.ports."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions
from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.db.networks import networks
from zun_lite.db.subnet_pools import subnet_pools

subnets = sa.Table(
    "subnets",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("network_uuid", sa.String(36), sa.ForeignKey("networks.uuid"), nullable=False, index=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("cidr", sa.String(64), nullable=False),
    sa.Column("gateway_ip", sa.String(64)),
    sa.Column("enable_dhcp", sa.Boolean, nullable=False),
    sa.Column("pools", Json, nullable=False),
    sa.Column("dns", Json, nullable=False),
    sa.Column("routes", Json, nullable=False),
    sa.Column("ipv6_address_mode", sa.String(32)),
    sa.Column("ipv6_ra_mode", sa.String(32)),
    sa.Column("subnet_pool", sa.String(36), sa.ForeignKey(subnet_pools.c.uuid), index=True),
    sa.Column("free_from", sa.String(40), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    **{
        name: subnets.c[name]
        for name in (
            "uuid", "network_uuid", "project_id", "name", "description", "ip_version", "cidr", "gateway_ip",
            "enable_dhcp", "subnet_pool",
        )
    },
    "shared": networks.c.shared,
}  # fmt: skip

AUTOMATIC_MODES = frozenset(("slaac", "dhcpv6-stateless"))

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Subnet:
    """One record. pools: (first, last) addresses to allot from, ascending. routes: (destination, nexthop).

    shared: its network's.
    subnet_pool: where its CIDR was taken from.
    free_from: no address of the pools below this key (see zun_lite.db.ports.key_of) is free.
    """

    id: int
    uuid: str
    network_uuid: str
    project_id: str
    name: str
    description: str
    ip_version: int
    cidr: str
    gateway_ip: str | None
    enable_dhcp: bool
    pools: tuple[tuple[str, str], ...]
    dns: tuple[str, ...]
    routes: tuple[tuple[str, str], ...]
    ipv6_address_mode: str | None
    ipv6_ra_mode: str | None
    subnet_pool: str | None
    free_from: str
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime
    shared: bool = False

    @property
    def network(self) -> IpNetwork:
        return ipaddress.ip_network(self.cidr)

    @property
    def is_automatic(self) -> bool:
        """Whether addresses follow from ports' MACs, so that none is chosen."""
        return bool({self.ipv6_address_mode, self.ipv6_ra_mode} & AUTOMATIC_MODES)


def scope(uuid: str) -> str:
    """The revision to raise before addresses of the subnet are allotted or given back."""
    return f"subnet:{uuid}"


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    network_uuid: str,
    project_id: str,
    name: str,
    description: str,
    cidr: IpNetwork,
    gateway_ip: str | None,
    enable_dhcp: bool,
    pools: Sequence[tuple[str, str]],
    dns: Sequence[str],
    routes: Sequence[tuple[str, str]],
    ipv6_address_mode: str | None = None,
    ipv6_ra_mode: str | None = None,
    subnet_pool: str | None = None,
) -> Subnet:
    revisions.raise_one(tx, scope(uuid))
    tx.execute(
        sa.insert(subnets).values(
            uuid=uuid,
            network_uuid=network_uuid,
            project_id=project_id,
            name=name,
            description=description,
            ip_version=cidr.version,
            cidr=str(cidr),
            gateway_ip=gateway_ip,
            enable_dhcp=enable_dhcp,
            pools=list(pools),
            dns=list(dns),
            routes=list(routes),
            ipv6_address_mode=ipv6_address_mode,
            ipv6_ra_mode=ipv6_ra_mode,
            subnet_pool=subnet_pool,
            free_from="",
            revision=1,
            created_at=utc_now(),
            updated_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str) -> Subnet | None:
    row = tx.execute(_select().where(subnets.c.uuid == uuid)).mappings().first()
    return _read(row) if row else None


def of_network(tx: sa.Connection, network_uuid: str) -> list[Subnet]:
    """Oldest first."""
    query = _select().where(subnets.c.network_uuid == network_uuid).order_by(subnets.c.id)
    return [_read(row) for row in tx.execute(query).mappings()]


def ids_by_network(tx: sa.Connection, network_uuids: Iterable[str]) -> dict[str, list[str]]:
    """The subnets' uuids of each of these networks; networks without any are left out."""
    query = (
        sa.select(subnets.c.network_uuid, subnets.c.uuid)
        .where(subnets.c.network_uuid.in_(list(network_uuids)))
        .order_by(subnets.c.id)
    )
    found: dict[str, list[str]] = {}
    for network_uuid, uuid in tx.execute(query):
        found.setdefault(network_uuid, []).append(uuid)
    return found


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project sees: its own, and those of shared networks."""
    return sa.or_(subnets.c.project_id == project_id, networks.c.project_id == project_id, networks.c.shared)


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[Subnet]:
    rows = listing.page(tx, _select().where(*where), subnets, wanted, listing.exact(COLUMNS, filters or {}))
    return [_read(row) for row in rows]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(
        sa.update(subnets)
        .where(subnets.c.uuid == uuid)
        .values(**changes, revision=subnets.c.revision + 1, updated_at=utc_now())
    )


def set_free_from(tx: sa.Connection, uuid: str, key: str) -> None:
    """The caller has raised the subnet's scope."""
    tx.execute(sa.update(subnets).where(subnets.c.uuid == uuid).values(free_from=key))


def lower_free_from(tx: sa.Connection, uuid: str, key: str) -> None:
    """An address was given back. The caller has raised the subnet's scope."""
    tx.execute(sa.update(subnets).where(subnets.c.uuid == uuid, subnets.c.free_from > key).values(free_from=key))


def delete(tx: sa.Connection, uuid: str) -> None:
    """The database refuses it (IntegrityError) while an address of it is allotted."""
    tx.execute(sa.delete(subnets).where(subnets.c.uuid == uuid))
    tx.execute(sa.delete(revisions.revisions).where(revisions.revisions.c.scope == scope(uuid)))


def count(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(subnets).where(subnets.c.project_id == project_id)
    return tx.execute(query).scalar_one()


def _select() -> sa.Select[Any]:
    return sa.select(subnets, networks.c.shared).join(networks, networks.c.uuid == subnets.c.network_uuid)


def _read(row: sa.RowMapping) -> Subnet:
    known = dict(row)
    known["pools"] = tuple((first, last) for first, last in row["pools"])
    known["dns"] = tuple(row["dns"])
    known["routes"] = tuple((destination, nexthop) for destination, nexthop in row["routes"])
    return Subnet(**known)
