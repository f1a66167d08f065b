# SPDX-License-Identifier: Apache-2.0
"""What may be done with ports: addresses are allotted, ports are made, changed and deleted.

Every function takes a transaction. The subnets that addresses come from are locked first, in the
order of their ids, by raising their revision; so no address is given twice, and the lowest free one
is found. Errors bear Neutron's types.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.common import eui64
from zun_lite.db import floating_ips, networks, planes, ports, revisions, security_groups, subnets, tags
from zun_lite.db.routers import INTERFACE_OWNER
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network import cidr, groups
from zun_lite.network.base import GROUP_NOT_FOUND

DEVICE_OWNER = "compute:kuryr"
"""What clients know a container's port by."""

SERVICE_OWNERS = ("network:router_", "network:floatingip")
MAC_PREFIX = "fa:16:3e"


@dataclass(frozen=True)
class Wanted:
    """One address as asked for: of a subnet, exactly this one, or both; or any of an IP version."""

    subnet_id: str | None = None
    ip_address: str | None = None
    version: int | None = None


def create_port(
    tx: sa.Connection,
    network: networks.Network,
    project_id: str,
    *,
    fixed_ips: Sequence[Wanted] | None = None,
    security_group_ids: Sequence[str] | None = None,
    mac: str | None = None,
    **values: Any,
) -> ports.Port:
    """fixed_ips: None is one address of each IP version that the network has; empty is none.

    Besides, there is the one that follows from the MAC in each subnet of such addresses.
    security_group_ids: None is the project's default group. values: further columns of ports.insert().
    """
    values.setdefault("port_security", network.port_security)
    if security_group_ids is None and not values["port_security"]:
        security_group_ids = ()
    _check_security(values["port_security"], security_group_ids, values.get("address_pairs", ()))
    if mac is not None and ports.mac_is_taken(tx, network.uuid, mac):
        raise errors.InUse(
            f"Unable to complete operation for network {network.uuid}. The mac address {mac} is in use.",
            kind="MacAddressInUse",
        )
    mac = mac or _free_mac(tx, network.uuid)
    choices = _lock_choices(tx, network, fixed_ips, mac, values.get("device_owner", ""))
    uuid = new_id()
    ports.insert(tx, uuid=uuid, network_uuid=network.uuid, project_id=project_id, mac=mac, **values)
    _allot(tx, network, uuid, choices)
    if security_group_ids is None:
        security_group_ids = [groups.default_group(tx, project_id).uuid]
    ports.set_groups(tx, uuid, known_groups(tx, security_group_ids, project_id))
    planes.changed(tx, network.project_id, *([project_id] if project_id else []))
    made = ports.get(tx, uuid)
    assert made is not None
    return made


def change_port(
    tx: sa.Connection,
    port: ports.Port,
    changes: Mapping[str, Any],
    *,
    fixed_ips: Sequence[Wanted] | None = None,
    security_group_ids: Sequence[str] | None = None,
) -> ports.Port:
    """changes: by column name. What a container or a router relies on cannot be changed under it: PortInUse."""
    port = hold_port(tx, port)
    relied_on = [name for name in ("device_id", "device_owner", "host") if name in changes]
    moving = [name for name in relied_on if changes[name] != getattr(port, name)]
    readdressed = _changes_addresses(tx, port, fixed_ips)
    if port.workload_uuid is not None and (moving or readdressed):
        raise _in_use(port)
    guarding = {"port_security", "address_pairs", "qos_policy"} & set(changes)
    if is_of_service(port) and (moving or guarding or security_group_ids or readdressed):
        raise _in_use(port)
    if readdressed:
        _check_not_floating(tx, port)
        network = networks.get(tx, port.network_uuid)
        assert network is not None
        choices = _lock_choices(tx, network, fixed_ips, port.mac, port.device_owner)
        ports.give_back(tx, port)
        _allot(tx, network, port.uuid, choices)
    _check_security(
        changes.get("port_security", port.port_security),
        port.security_groups if security_group_ids is None else security_group_ids,
        changes.get("address_pairs", port.address_pairs),
    )
    if security_group_ids is not None:
        ports.set_groups(tx, port.uuid, known_groups(tx, security_group_ids, port.project_id))
    ports.update(tx, port.uuid, changes)
    tell_hosts(tx, port)
    return ports.get(tx, port.uuid) or port


def add_addresses(tx: sa.Connection, port: ports.Port, wanted: Sequence[Wanted]) -> ports.Port:
    """More addresses for a port, whoever has it."""
    network = networks.get(tx, port.network_uuid)
    assert network is not None
    has = {address.ip for address in port.addresses}
    choices = _lock_choices(tx, network, wanted, port.mac, port.device_owner)
    _allot(tx, network, port.uuid, [choice for choice in choices if choice.ip not in has])
    ports.update(tx, port.uuid, {})
    tell_hosts(tx, port)
    return ports.get(tx, port.uuid) or port


def complete_addresses(tx: sa.Connection, port: ports.Port) -> None:
    """Give a port an address of each IP version that its network got since."""
    has = {cidr.parse_ip(address.ip, "a port").version for address in port.addresses}
    versions = {subnet.ip_version for subnet in subnets.of_network(tx, port.network_uuid)}
    if versions - has:
        add_addresses(tx, port, [Wanted(version=version) for version in sorted(versions - has)])


def delete_port(tx: sa.Connection, port: ports.Port) -> None:
    """PortInUse while a container has it; ServicePortInUse: it is a router's or a floating IP's."""
    port = hold_port(tx, port)
    if port.workload_uuid is not None:
        raise _in_use(port)
    if is_of_service(port):
        raise errors.InUse(
            f"Port {port.uuid} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
            kind="ServicePortInUse",
        )
    remove_port(tx, port)


def remove_port(tx: sa.Connection, port: ports.Port) -> None:
    """Whosever it is; floating IPs that led to it lead nowhere."""
    for floating in floating_ips.of_port(tx, port.uuid):
        floating_ips.update(tx, floating.uuid, {"fixed_port": None, "fixed_ip": None, "router_uuid": None})
        planes.changed(tx, floating.project_id)
    tags.remove_all(tx, port.uuid)
    ports.delete(tx, port)
    tell_hosts(tx, port)


def hold_port(tx: sa.Connection, port: ports.Port) -> ports.Port:
    """As it is now that nobody else can bind or change it, until the transaction ends. NotFound."""
    found = ports.hold(tx, port.uuid)
    if found is None:
        raise errors.NotFound(f"Port {port.uuid} could not be found.", kind="PortNotFound")
    return found


def is_of_service(port: ports.Port) -> bool:
    """Whether it is a router's leg or holds a floating IP's address."""
    return port.device_owner.startswith(SERVICE_OWNERS) and port.device_id != ""


def tell_hosts(tx: sa.Connection, port: ports.Port) -> None:
    """Those that have to do with the port's network are to learn what became of it."""
    planes.network_changed(tx, port.network_uuid, *([port.project_id] if port.project_id else []))


@dataclass(frozen=True)
class Choice:
    """Where one address may come from; ip: exactly this one."""

    ip: str | None
    subnet_ids: tuple[str, ...]


def _lock_choices(
    tx: sa.Connection, network: networks.Network, fixed_ips: Sequence[Wanted] | None, mac: str, device_owner: str
) -> list[Choice]:
    """What may be chosen from, with its subnets locked until the transaction ends."""
    known = subnets.of_network(tx, network.uuid)
    following = _following(known, mac, device_owner)
    known = [subnet for subnet in known if subnet.uuid not in following]
    if fixed_ips is None:
        versions = sorted({subnet.ip_version for subnet in known})
        choices = [
            Choice(None, tuple(each.uuid for each in known if each.ip_version == version)) for version in versions
        ]
    else:
        choices = [_choice(network, known, wanted) for wanted in fixed_ips if not _follows(known, following, wanted)]
    # Exact wishes first, so that no free choice takes what one of them names.
    choices = sorted(choices, key=lambda choice: choice.ip is None)
    choices += [Choice(ip, (uuid,)) for uuid, ip in following.items()]
    for uuid in sorted({uuid for choice in choices for uuid in choice.subnet_ids}):
        revisions.raise_one(tx, subnets.scope(uuid))
    return choices


def _follows(known: Sequence[subnets.Subnet], following: Mapping[str, str], wanted: Wanted) -> bool:
    """Whether the wish is for an address that the port has by its MAC. known: the other subnets."""
    if wanted.ip_address is None:
        unwished = wanted.subnet_id is None and not any(subnet.ip_version == wanted.version for subnet in known)
        return wanted.subnet_id in following or (unwished and wanted.version == 6 and bool(following))
    address = cidr.parse_ip(wanted.ip_address, "fixed_ips")
    for subnet_uuid, ip in following.items():
        if str(address) == ip:
            return wanted.subnet_id in (None, subnet_uuid)
        if address in ipaddress.ip_network(f"{ip}/64", strict=False):
            raise errors.Invalid(
                f"IPv6 address {address} cannot be directly assigned to a port on subnet {subnet_uuid} as the subnet "
                "is configured for automatic addresses.",
                kind="AllocationOnAutoAddressSubnet",
            )
    return False


def _following(known: Sequence[subnets.Subnet], mac: str, device_owner: str) -> dict[str, str]:
    """The addresses that a port has by its MAC, by subnet; a router's leg and a floating IP have theirs chosen."""
    if device_owner in (INTERFACE_OWNER, floating_ips.OWNER):
        return {}
    return {
        subnet.uuid: str(eui64.address(subnet.network, mac))
        for subnet in known
        if subnet.is_automatic and isinstance(subnet.network, ipaddress.IPv6Network)
    }


def _allot(tx: sa.Connection, network: networks.Network, port_uuid: str, choices: Iterable[Choice]) -> None:
    for choice in choices:
        if choice.ip is None:
            subnet_uuid, ip = _lowest_free(tx, network, choice.subnet_ids)
        elif ports.is_taken(tx, network.uuid, choice.ip):
            raise errors.InUse(
                f"Unable to complete operation for network {network.uuid}. The IP address {choice.ip} is in use.",
                kind="IpAddressInUse",
            )
        else:
            subnet_uuid, ip = choice.subnet_ids[0], choice.ip
        ports.add_address(tx, port_uuid, network.uuid, subnet_uuid, ip)


def _lowest_free(tx: sa.Connection, network: networks.Network, subnet_ids: Iterable[str]) -> tuple[str, str]:
    for uuid in subnet_ids:
        locked = subnets.get(tx, uuid)
        ip = ports.lowest_free(tx, locked) if locked is not None else None
        if ip is not None:
            return uuid, ip
    raise errors.Conflict(
        f"No more IP addresses available on network {network.uuid}.", kind="IpAddressGenerationFailure"
    )


def _choice(network: networks.Network, known: Sequence[subnets.Subnet], wanted: Wanted) -> Choice:
    some = [
        subnet
        for subnet in known
        if wanted.subnet_id in (None, subnet.uuid) and wanted.version in (None, subnet.ip_version)
    ]
    if wanted.subnet_id is not None and not some:
        raise cidr.bad_input(
            f"Failed to create port on network {network.uuid}, because fixed_ips included invalid subnet "
            f"{wanted.subnet_id}."
        )
    if wanted.ip_address is None:
        return Choice(None, tuple(subnet.uuid for subnet in some))
    address = cidr.parse_ip(wanted.ip_address, "fixed_ips")
    fitting = tuple(subnet.uuid for subnet in some if cidr.is_usable(subnet.network, address))
    if fitting:
        return Choice(str(address), fitting)
    if wanted.subnet_id is not None:
        raise errors.Invalid(
            f"IP address {address} is not a valid IP for the specified subnet.", kind="InvalidIpForSubnet"
        )
    raise errors.Invalid(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
        kind="InvalidIpForNetwork",
    )


def known_groups(tx: sa.Connection, uuids: Sequence[str], project_id: str) -> list[str]:
    for uuid in uuids:
        group = security_groups.get(tx, uuid)
        if group is None or group.project_id != project_id:
            raise errors.NotFound(f"Security group {uuid} does not exist.", kind=GROUP_NOT_FOUND)
    return list(dict.fromkeys(uuids))


def _check_security(
    port_security: bool, security_group_ids: Sequence[str] | None, address_pairs: Sequence[tuple[str, str | None]]
) -> None:
    if port_security:
        return
    if security_group_ids:
        raise errors.Invalid(
            "Port security must be enabled and port must have an IP address in order to use a security group.",
            kind="PortSecurityAndIPRequiredForSecurityGroups",
        )
    if address_pairs:
        raise errors.Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            kind="AddressPairAndPortSecurityRequired",
        )


def _check_not_floating(tx: sa.Connection, port: ports.Port) -> None:
    led_to = floating_ips.of_port(tx, port.uuid)
    if led_to:
        raise errors.InUse(
            f"The addresses of port {port.uuid} are those that floating IP {led_to[0].address} leads to; "
            "disassociate it first.",
            kind="PortInUse",
        )


def _changes_addresses(tx: sa.Connection, port: ports.Port, fixed_ips: Sequence[Wanted] | None) -> bool:
    """Whether the wish differs from what the port has; one that it fulfils is none."""
    if fixed_ips is None:
        return False
    following = _following(subnets.of_network(tx, port.network_uuid), port.mac, port.device_owner)
    has = list(port.addresses)
    for wanted in fixed_ips:
        for address in has:
            if wanted.subnet_id in (None, address.subnet_uuid) and wanted.ip_address in (None, address.ip):
                has.remove(address)
                break
        else:
            return True
    return any(address.subnet_uuid not in following for address in has)


def _free_mac(tx: sa.Connection, network_uuid: str) -> str:
    while True:
        mac = ":".join([MAC_PREFIX, *(f"{random.randrange(256):02x}" for _ in range(3))])
        if not ports.mac_is_taken(tx, network_uuid, mac):
            return mac


def _in_use(port: ports.Port) -> errors.InUse:
    return errors.InUse(
        f"Unable to complete operation on port {port.uuid} for network {port.network_uuid}. Port already has an "
        f"attached device {port.device_id}.",
        kind="PortInUse",
    )
