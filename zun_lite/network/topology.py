# SPDX-License-Identifier: Apache-2.0
"""What may be done with networks and subnets, whoever asks for it.

Every function takes a transaction and values that the edge has checked for their types; who may see
or change what is the edge's matter too. Errors bear Neutron's types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from zun_lite.db import networks, planes, ports, qos, revisions, subnets, tags
from zun_lite.db.routers import INTERFACE_OWNER
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network import cidr

IPV6_MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")


def create_network(
    tx: sa.Connection,
    project_id: str,
    *,
    name: str = "",
    description: str = "",
    admin_state_up: bool = True,
    shared: bool = False,
    external: bool = False,
    mtu: int,
    port_security: bool = True,
    is_default: bool = False,
    qos_policy: str | None = None,
    zone_hints: Sequence[str] = (),
    vni: int | None = None,
) -> networks.Network:
    """qos_policy: None is the project's default one, where it has one. vni: None is one that nobody ever had."""
    if vni is not None and networks.page(tx, [networks.networks.c.vni == vni]):
        raise errors.InUse(f"Unable to create the network. The tunnel ID {vni} is in use.", kind="TunnelIdInUse")
    if qos_policy is None:
        default = qos.default_of(tx, project_id)
        qos_policy = default.uuid if default is not None else None
    return networks.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=name,
        description=description,
        admin_state_up=admin_state_up,
        shared=shared,
        external=external,
        mtu=mtu,
        port_security=port_security,
        is_default=is_default,
        qos_policy=qos_policy,
        zone_hints=zone_hints,
        vni=vni,
    )


def change_network(tx: sa.Connection, network: networks.Network, changes: Mapping[str, Any]) -> networks.Network:
    """changes: by column name. A network that other projects use stays shared."""
    if (
        network.shared
        and changes.get("shared") is False
        and ports.foreign_on_network(tx, network.uuid, network.project_id)
    ):
        raise errors.Conflict(
            f"Unable to reconfigure sharing settings for network {network.uuid}. Multiple tenants are using it.",
            kind="InvalidSharedSetting",
        )
    if changes:
        networks.update(tx, network.uuid, changes)
        planes.changed(tx, network.project_id)
    changed = networks.get(tx, network.uuid)
    return changed or network


def delete_network(tx: sa.Connection, network: networks.Network) -> None:
    """With its subnets. NetworkInUse while it has ports."""
    used_by = ports.some_of_network(tx, network.uuid)
    if used_by:
        raise errors.InUse(
            f"Unable to complete operation on network {network.uuid}. There are one or more ports still in use on "
            f"the network, id for these ports is: {', '.join(used_by)}.",
            kind="NetworkInUse",
        )
    revisions.raise_one(tx, _scope(network.uuid))
    for subnet in subnets.of_network(tx, network.uuid):
        subnets.delete(tx, subnet.uuid)
        tags.remove_all(tx, subnet.uuid)
    networks.delete(tx, network.uuid)
    tags.remove_all(tx, network.uuid)
    tx.execute(sa.delete(revisions.revisions).where(revisions.revisions.c.scope == _scope(network.uuid)))


def create_subnet(
    tx: sa.Connection,
    network: networks.Network,
    project_id: str,
    block: cidr.Network,
    *,
    name: str = "",
    description: str = "",
    gateway_ip: str | None = None,
    choose_gateway: bool = True,
    pools: Sequence[cidr.Pool] | None = None,
    dns: Sequence[str] = (),
    routes: Sequence[tuple[str, str]] = (),
    enable_dhcp: bool = True,
    ipv6_address_mode: str | None = None,
    ipv6_ra_mode: str | None = None,
    subnet_pool: str | None = None,
) -> subnets.Subnet:
    """choose_gateway: take the first host where gateway_ip is None; else None means no gateway.

    subnet_pool: of which the block was taken.
    """
    if gateway_ip is not None:
        gateway = cidr.parse_ip(gateway_ip, "gateway_ip")
        cidr.check_gateway(block, gateway)
        gateway_ip = str(gateway)
    elif choose_gateway:
        gateway_ip = _chosen_gateway(block, pools)
    _check_modes(block, ipv6_address_mode, ipv6_ra_mode, enable_dhcp)
    allot_from = (
        cidr.default_pools(block, gateway_ip) if pools is None else cidr.checked_pools(block, pools, gateway_ip)
    )
    cidr.check_routes(routes, block)
    revisions.raise_one(tx, _scope(network.uuid))
    for other in subnets.of_network(tx, network.uuid):
        if other.ip_version == block.version and other.network.overlaps(block):
            raise cidr.bad_input(
                f"Requested subnet with cidr: {block} for network: {network.uuid} overlaps with another subnet."
            )
        if other.ip_version == block.version and other.subnet_pool != subnet_pool:
            raise errors.Invalid(
                "Subnets hosted on the same network must be allocated from the same subnet pool.",
                kind="NetworkSubnetPoolAffinityError",
            )
    planes.changed(tx, network.project_id)
    return subnets.insert(
        tx,
        uuid=new_id(),
        network_uuid=network.uuid,
        project_id=project_id,
        name=name,
        description=description,
        cidr=block,
        gateway_ip=gateway_ip,
        enable_dhcp=enable_dhcp,
        pools=allot_from,
        dns=dns,
        routes=routes,
        ipv6_address_mode=ipv6_address_mode,
        ipv6_ra_mode=ipv6_ra_mode,
        subnet_pool=subnet_pool,
    )


def change_subnet(tx: sa.Connection, subnet: subnets.Subnet, changes: Mapping[str, Any]) -> subnets.Subnet:
    """changes: by column name. Containers keep what they were wired with until their user starts them anew."""
    revisions.raise_one(tx, subnets.scope(subnet.uuid))
    wanted = dict(changes)
    if wanted.get("gateway_ip") is not None:
        gateway = cidr.parse_ip(wanted["gateway_ip"], "gateway_ip")
        cidr.check_gateway(subnet.network, gateway)
        wanted["gateway_ip"] = str(gateway)
    gateway_ip = wanted.get("gateway_ip", subnet.gateway_ip)
    if gateway_ip != subnet.gateway_ip:
        _check_gateway_free(tx, subnet)
    if "pools" in wanted:
        wanted["pools"] = cidr.checked_pools(subnet.network, wanted["pools"], gateway_ip)
        wanted["free_from"] = ""
    else:
        cidr.check_gateway_outside(subnet.pools, gateway_ip)
    if wanted.get("enable_dhcp") is False:
        _check_modes(subnet.network, subnet.ipv6_address_mode, subnet.ipv6_ra_mode, False)
    if "routes" in wanted:
        cidr.check_routes(wanted["routes"], subnet.network)
    if wanted:
        subnets.update(tx, subnet.uuid, wanted)
        planes.network_changed(tx, subnet.network_uuid)
    return subnets.get(tx, subnet.uuid) or subnet


def delete_subnet(tx: sa.Connection, subnet: subnets.Subnet) -> None:
    """SubnetInUse while a port has an address of it."""
    revisions.raise_one(tx, subnets.scope(subnet.uuid))
    used_by = ports.some_of_subnet(tx, subnet.uuid)
    if used_by:
        raise errors.InUse(
            f"Unable to complete operation on subnet {subnet.uuid}: One or more ports have an IP allocation from this "
            f"subnet: {', '.join(used_by)}.",
            kind="SubnetInUse",
        )
    subnets.delete(tx, subnet.uuid)
    tags.remove_all(tx, subnet.uuid)
    planes.network_changed(tx, subnet.network_uuid)


def _check_modes(block: cidr.Network, address_mode: str | None, ra_mode: str | None, enable_dhcp: bool) -> None:
    modes = {address_mode, ra_mode} - {None}
    if not modes:
        return
    if block.version == 4:
        raise cidr.bad_input("ipv6_address_mode and ipv6_ra_mode are for subnets of IP version 6 only.")
    if not enable_dhcp:
        raise cidr.bad_input("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False.")
    if len(modes) > 1:
        raise cidr.bad_input("ipv6_ra_mode and ipv6_address_mode must be the same when both are given.")
    if modes & subnets.AUTOMATIC_MODES and block.prefixlen != 64:
        raise cidr.bad_input(
            f"Invalid CIDR {block} for IPv6 address mode. Addresses follow from MACs by EUI-64, which requires the "
            "prefix to be /64."
        )


def _check_gateway_free(tx: sa.Connection, subnet: subnets.Subnet) -> None:
    """No router has the gateway's address, by which containers were wired."""
    if subnet.gateway_ip is None:
        return
    for leg in ports.page(tx, [ports.on_subnet(subnet.uuid), ports.on_address(subnet.gateway_ip)]):
        if leg.device_owner == INTERFACE_OWNER:
            raise errors.InUse(
                f"Current gateway ip {subnet.gateway_ip} already in use by port {leg.uuid}. Unable to update.",
                kind="GatewayIpInUse",
            )


def _chosen_gateway(block: cidr.Network, pools: Sequence[cidr.Pool] | None) -> str | None:
    if block.prefixlen == block.max_prefixlen:
        # The one address of such a subnet is for its one port.
        return None
    gateway = cidr.first_host(block)
    cidr.check_gateway_outside([] if pools is None else cidr.checked_pools(block, pools, None), gateway)
    return gateway


def _scope(network_uuid: str) -> str:
    return f"network:{network_uuid}"
