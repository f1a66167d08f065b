# SPDX-License-Identifier: Apache-2.0
"""Ports and the addresses allotted to them: the tables and their queries.

An address is kept as a key: its version and its number in hexadecimal, so that keys of one version
sort as addresses do on every database. Each row also holds the key of the address after it, which
lets SQL find the lowest gap without loading a subnet's addresses. No address exists twice in a
network: the database refuses it.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions, subnets
from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.db.networks import networks
from zun_lite.db.qos import qos_policies

DOCKER_OWNER = "docker:container"
"""What clients know a port by that a host's own Docker has."""

KEY = sa.String(40).with_variant(sa.String(40, collation="C"), "postgresql")

ports = sa.Table(
    "ports",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("network_uuid", sa.String(36), sa.ForeignKey("networks.uuid"), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("mac", sa.String(17), nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("device_id", text_type(255), nullable=False),
    sa.Column("device_owner", text_type(255), nullable=False),
    sa.Column("host", text_type(255)),
    sa.Column("workload_uuid", sa.String(36)),
    sa.Column("position", sa.Integer),
    sa.Column("owned", sa.Boolean, nullable=False),
    sa.Column("port_security", sa.Boolean, nullable=False),
    sa.Column("address_pairs", Json, nullable=False),
    sa.Column("qos_policy", sa.String(36), sa.ForeignKey(qos_policies.c.uuid), index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.UniqueConstraint("network_uuid", "mac"),
    sa.UniqueConstraint("workload_uuid", "position"),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "device_id"),
    sa.Index(None, "host"),
    sa.Index(None, "network_uuid", "project_id"),
)

addresses = sa.Table(
    "addresses",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("network_uuid", sa.String(36), nullable=False),
    sa.Column("subnet_uuid", sa.String(36), sa.ForeignKey("subnets.uuid"), nullable=False),
    sa.Column("port_uuid", sa.String(36), sa.ForeignKey("ports.uuid"), nullable=False, index=True),
    sa.Column("ip", KEY, nullable=False),
    sa.Column("after", KEY, nullable=False),
    sa.UniqueConstraint("network_uuid", "ip"),
    sa.Index(None, "subnet_uuid", "ip"),
)

port_security_groups = sa.Table(
    "port_security_groups",
    metadata,
    sa.Column("port_uuid", sa.String(36), sa.ForeignKey("ports.uuid"), primary_key=True),
    sa.Column("group_uuid", sa.String(36), sa.ForeignKey("security_groups.uuid"), primary_key=True, index=True),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: ports.c[name]
    for name in (
        "uuid", "network_uuid", "project_id", "name", "description", "mac", "admin_state_up", "device_id",
        "device_owner", "host", "qos_policy",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Allotted:
    """One address of one port."""

    subnet_uuid: str
    ip: str


@dataclass(frozen=True)
class Port:
    """One record. host: where it is bound, None while it is not.

    workload_uuid, position: which connection of which container it is; owned: made for it.
    device_id, device_owner: the same for users, and free for them to set on a port of no container.
    port_security: whether it is held to its addresses and groups. address_pairs: (prefix or address, MAC or
    None) that it may send from besides. qos_policy: its own; None is its network's.
    """

    id: int
    uuid: str
    network_uuid: str
    project_id: str
    name: str
    description: str
    mac: str
    admin_state_up: bool
    device_id: str
    device_owner: str
    host: str | None
    workload_uuid: str | None
    position: int | None
    owned: bool
    port_security: bool
    address_pairs: tuple[tuple[str, str | None], ...]
    qos_policy: str | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime
    addresses: tuple[Allotted, ...] = ()
    security_groups: tuple[str, ...] = ()


def key_of(ip: str | ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    address = ipaddress.ip_address(ip)
    return f"{address.version}{int(address):032x}"


def key_after(key: str) -> str:
    return f"{key[0]}{int(key[1:], 16) + 1:032x}"


def ip_of(key: str) -> str:
    number = int(key[1:], 16)
    return str(ipaddress.IPv4Address(number) if key[0] == "4" else ipaddress.IPv6Address(number))


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    network_uuid: str,
    project_id: str,
    mac: str,
    name: str = "",
    description: str = "",
    admin_state_up: bool = True,
    device_id: str = "",
    device_owner: str = "",
    host: str | None = None,
    workload_uuid: str | None = None,
    position: int | None = None,
    owned: bool = False,
    port_security: bool = True,
    address_pairs: Sequence[tuple[str, str | None]] = (),
    qos_policy: str | None = None,
) -> None:
    """A port without addresses; the MAC must be free in the network (IntegrityError)."""
    tx.execute(
        sa.insert(ports).values(
            uuid=uuid,
            network_uuid=network_uuid,
            project_id=project_id,
            name=name,
            description=description,
            mac=mac,
            admin_state_up=admin_state_up,
            device_id=device_id,
            device_owner=device_owner,
            host=host,
            workload_uuid=workload_uuid,
            position=position,
            owned=owned,
            port_security=port_security,
            address_pairs=list(address_pairs),
            qos_policy=qos_policy,
            revision=1,
            created_at=utc_now(),
            updated_at=utc_now(),
        )
    )


def get(tx: sa.Connection, uuid: str) -> Port | None:
    found = page(tx, [ports.c.uuid == uuid])
    return found[0] if found else None


def hold(tx: sa.Connection, uuid: str) -> Port | None:
    """The port as it is now, its row held until the transaction ends, so that nobody binds it meanwhile."""
    tx.execute(sa.select(ports.c.id).where(ports.c.uuid == uuid).with_for_update())
    return get(tx, uuid)


def at_position(tx: sa.Connection, workload_uuid: str, position: int) -> Port | None:
    found = page(tx, [ports.c.workload_uuid == workload_uuid, ports.c.position == position])
    return found[0] if found else None


def of_workload(tx: sa.Connection, workload_uuid: str) -> list[Port]:
    return page(tx, [ports.c.workload_uuid == workload_uuid])


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project sees: its own, and all on its own networks."""
    own = sa.select(networks.c.uuid).where(networks.c.project_id == project_id)
    return sa.or_(ports.c.project_id == project_id, ports.c.network_uuid.in_(own))


def on_address(ip: str) -> sa.ColumnElement[bool]:
    holding = sa.select(addresses.c.port_uuid).where(addresses.c.ip == key_of(ip))
    return ports.c.uuid.in_(holding)


def with_address_like(tx: sa.Connection, parts: Iterable[str], where: Iterable[sa.ColumnElement[bool]]) -> set[str]:
    """The uuids of those ports in `where` that have an address in whose text one of the parts stands."""
    wanted = tuple(parts)
    query = sa.select(addresses.c.port_uuid, addresses.c.ip).join(ports, ports.c.uuid == addresses.c.port_uuid)
    held = tx.execute(query.where(*where))
    return {uuid for uuid, key in held if any(part in ip_of(key) for part in wanted)}


def on_subnet(subnet_uuid: str) -> sa.ColumnElement[bool]:
    return ports.c.uuid.in_(sa.select(addresses.c.port_uuid).where(addresses.c.subnet_uuid == subnet_uuid))


def in_groups(group_uuids: Sequence[str]) -> sa.ColumnElement[bool]:
    members = port_security_groups
    return ports.c.uuid.in_(sa.select(members.c.port_uuid).where(members.c.group_uuid.in_(list(group_uuids))))


def bound(is_bound: bool) -> sa.ColumnElement[bool]:
    return ports.c.host.is_not(None) if is_bound else ports.c.host.is_(None)


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[Port]:
    """filters: by column name, see listing.exact()."""
    query = sa.select(ports).where(*where)
    rows = listing.page(tx, query, ports, wanted, listing.exact(COLUMNS, filters or {}))
    uuids = [row["uuid"] for row in rows]
    allotted = _addresses_of(tx, uuids)
    groups = _groups_of(tx, uuids)
    return [
        Port(
            **{**row, "address_pairs": tuple((address, mac) for address, mac in row["address_pairs"])},
            addresses=tuple(allotted.get(row["uuid"], ())),
            security_groups=tuple(groups.get(row["uuid"], ())),
        )
        for row in rows
    ]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(
        sa.update(ports)
        .where(ports.c.uuid == uuid)
        .values(**changes, revision=ports.c.revision + 1, updated_at=utc_now())
    )


def bind(
    tx: sa.Connection, uuid: str, *, workload_uuid: str, position: int, host: str, device_owner: str
) -> bool:  # fmt: skip
    """Give a free port to a workload. False: something else has it."""
    done = tx.execute(
        sa.update(ports)
        .where(ports.c.uuid == uuid, ports.c.workload_uuid.is_(None), ports.c.device_id == "")
        .values(
            workload_uuid=workload_uuid,
            position=position,
            host=host,
            owned=False,
            device_id=workload_uuid,
            device_owner=device_owner,
            revision=ports.c.revision + 1,
            updated_at=utc_now(),
        )
    )
    return done.rowcount == 1


def unbind(tx: sa.Connection, uuid: str) -> None:
    """Take a port back from its workload; the port and its addresses stay."""
    update(
        tx,
        uuid,
        {"workload_uuid": None, "position": None, "host": None, "owned": False, "device_id": "", "device_owner": ""},
    )


def delete(tx: sa.Connection, port: Port) -> None:
    """The port, and its addresses back to their subnets."""
    give_back(tx, port)
    tx.execute(sa.delete(port_security_groups).where(port_security_groups.c.port_uuid == port.uuid))
    tx.execute(sa.delete(ports).where(ports.c.uuid == port.uuid))


def give_back(tx: sa.Connection, port: Port) -> None:
    """All addresses of a port back to their subnets."""
    by_subnet: dict[str, str] = {}
    for address in port.addresses:
        key = key_of(address.ip)
        by_subnet[address.subnet_uuid] = min(key, by_subnet.get(address.subnet_uuid, key))
    for subnet_uuid in sorted(by_subnet):
        revisions.raise_one(tx, subnets.scope(subnet_uuid))
    tx.execute(sa.delete(addresses).where(addresses.c.port_uuid == port.uuid))
    for subnet_uuid, key in by_subnet.items():
        subnets.lower_free_from(tx, subnet_uuid, key)


def add_address(tx: sa.Connection, port_uuid: str, network_uuid: str, subnet_uuid: str, ip: str) -> None:
    """Record an address. The caller has raised the subnet's scope and found the address free."""
    key = key_of(ip)
    tx.execute(
        sa.insert(addresses).values(
            network_uuid=network_uuid, subnet_uuid=subnet_uuid, port_uuid=port_uuid, ip=key, after=key_after(key)
        )
    )


def is_taken(tx: sa.Connection, network_uuid: str, ip: str) -> bool:
    query = sa.select(addresses.c.id).where(addresses.c.network_uuid == network_uuid, addresses.c.ip == key_of(ip))
    return tx.execute(query).first() is not None


def lowest_free(tx: sa.Connection, subnet: subnets.Subnet) -> str | None:
    """The lowest free address of the subnet's pools; None when there is none.

    The caller has raised the subnet's scope, and read the subnet after that. Says so to the subnet:
    the next search begins there.
    """
    for first, last in subnet.pools:
        start = max(key_of(first), subnet.free_from)
        if start > key_of(last):
            continue
        key = start if not is_taken(tx, subnet.network_uuid, ip_of(start)) else _gap(tx, subnet, start, key_of(last))
        if key is not None:
            subnets.set_free_from(tx, subnet.uuid, key)
            return ip_of(key)
    return None


def _gap(tx: sa.Connection, subnet: subnets.Subnet, start: str, last: str) -> str | None:
    """The first free key after a taken one, within start..last."""
    after = addresses.alias()
    query = (
        sa.select(addresses.c.after)
        .outerjoin(after, sa.and_(after.c.network_uuid == addresses.c.network_uuid, after.c.ip == addresses.c.after))
        .where(
            addresses.c.subnet_uuid == subnet.uuid,
            addresses.c.ip >= start,
            addresses.c.ip < last,
            after.c.id.is_(None),
        )
        .order_by(addresses.c.ip)
        .limit(1)
    )
    return tx.execute(query).scalar()


def mac_is_taken(tx: sa.Connection, network_uuid: str, mac: str) -> bool:
    query = sa.select(ports.c.id).where(ports.c.network_uuid == network_uuid, ports.c.mac == mac)
    return tx.execute(query).first() is not None


def set_groups(tx: sa.Connection, port_uuid: str, group_uuids: Iterable[str]) -> None:
    tx.execute(sa.delete(port_security_groups).where(port_security_groups.c.port_uuid == port_uuid))
    for group_uuid in dict.fromkeys(group_uuids):
        tx.execute(sa.insert(port_security_groups).values(port_uuid=port_uuid, group_uuid=group_uuid))


def some_of_network(tx: sa.Connection, network_uuid: str, limit: int = 3) -> list[str]:
    query = sa.select(ports.c.uuid).where(ports.c.network_uuid == network_uuid).order_by(ports.c.id).limit(limit)
    return list(tx.execute(query).scalars())


def some_of_subnet(tx: sa.Connection, subnet_uuid: str, limit: int = 3) -> list[str]:
    query = sa.select(addresses.c.port_uuid).where(addresses.c.subnet_uuid == subnet_uuid).distinct().limit(limit)
    return list(tx.execute(query).scalars())


def some_of_group(tx: sa.Connection, group_uuid: str, limit: int = 3) -> list[str]:
    query = sa.select(port_security_groups.c.port_uuid).where(port_security_groups.c.group_uuid == group_uuid)
    return list(tx.execute(query.limit(limit)).scalars())


def of_device(tx: sa.Connection, device_id: str, *device_owners: str) -> list[Port]:
    """Those of a device that is no container."""
    return page(tx, [ports.c.device_id == device_id, ports.c.device_owner.in_(device_owners)])


def addresses_in_groups(tx: sa.Connection, group_uuids: Sequence[str], without: Iterable[str]) -> dict[str, list[str]]:
    """The addresses of the ports in each of these groups, but for ports on the networks `without`."""
    members, found = port_security_groups, dict[str, list[str]]()
    query = (
        sa.select(members.c.group_uuid, addresses.c.ip)
        .join(addresses, addresses.c.port_uuid == members.c.port_uuid)
        .where(members.c.group_uuid.in_(list(group_uuids)), addresses.c.network_uuid.not_in(list(without)))
        .order_by(members.c.group_uuid, addresses.c.ip)
    )
    for group_uuid, key in tx.execute(query) if group_uuids else ():
        found.setdefault(group_uuid, []).append(ip_of(key))
    return found


def foreign_on_network(tx: sa.Connection, network_uuid: str, project_id: str) -> bool:
    """Whether another project has a port on the network."""
    query = sa.select(ports.c.id).where(ports.c.network_uuid == network_uuid, ports.c.project_id != project_id)
    return tx.execute(query.limit(1)).first() is not None


def count(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).select_from(ports).where(ports.c.project_id == project_id)
    return tx.execute(query).scalar_one()


def _addresses_of(tx: sa.Connection, port_uuids: Sequence[str]) -> dict[str, list[Allotted]]:
    query = sa.select(addresses.c.port_uuid, addresses.c.subnet_uuid, addresses.c.ip).order_by(addresses.c.id)
    found: dict[str, list[Allotted]] = {}
    for some in listing.in_parts(port_uuids):
        for port_uuid, subnet_uuid, key in tx.execute(query.where(addresses.c.port_uuid.in_(some))):
            found.setdefault(port_uuid, []).append(Allotted(subnet_uuid, ip_of(key)))
    return found


def _groups_of(tx: sa.Connection, port_uuids: Sequence[str]) -> dict[str, list[str]]:
    query = sa.select(port_security_groups.c.port_uuid, port_security_groups.c.group_uuid)
    found: dict[str, list[str]] = {}
    for some in listing.in_parts(port_uuids):
        for port_uuid, group_uuid in tx.execute(query.where(port_security_groups.c.port_uuid.in_(some))):
            found.setdefault(port_uuid, []).append(group_uuid)
    return found
