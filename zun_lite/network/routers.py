# SPDX-License-Identifier: Apache-2.0
"""What may be done with routers, whoever asks for it: legs in networks, a way out, static routes.

Every function takes a transaction, and holds the router by raising its revision before it looks at its
legs; who may see or change what is the edge's matter. Errors bear Neutron's types. Which host runs a
router is the controller's matter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from zun_lite.db import floating_ips, networks, planes, ports, revisions, routers, subnets, tags
from zun_lite.db.ports import Port
from zun_lite.db.routers import GATEWAY_OWNER, INTERFACE_OWNER, Router
from zun_lite.db.subnets import Subnet
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network import cidr
from zun_lite.network.ports import Wanted, complete_addresses, create_port, hold_port, remove_port, tell_hosts

MOST_ROUTES = 30
Route = tuple[str, str]


def create_router(
    tx: sa.Connection, project_id: str, *, name: str = "", description: str = "", admin_state_up: bool = True
) -> Router:
    return routers.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=name,
        description=description,
        admin_state_up=admin_state_up,
        host=None,
    )


def change_router(tx: sa.Connection, router: Router, changes: Mapping[str, Any]) -> Router:
    """changes: by column name; routes are (destination, nexthop)."""
    _hold(tx, router)
    values = dict(changes)
    if "routes" in values:
        values["routes"] = _checked_routes(tx, router, values["routes"])
    if values:
        routers.update(tx, router.uuid, values)
        _tell(tx, router)
    return _again(tx, router)


def delete_router(tx: sa.Connection, router: Router) -> None:
    """RouterInUse while it has a leg in a network; its way out goes along."""
    _hold(tx, router)
    if interfaces(tx, router):
        raise errors.InUse(f"Router {router.uuid} still has ports; remove its interfaces first.", kind="RouterInUse")
    remove_gateway(tx, router)
    routers.delete(tx, router.uuid)
    tags.remove_all(tx, router.uuid)
    _tell(tx, router)
    tx.execute(sa.delete(revisions.revisions).where(revisions.revisions.c.scope == routers.scope(router.uuid)))


def tear_down(tx: sa.Connection, router: Router) -> None:
    """The router with its legs; floating IPs that led through it are gone already."""
    _hold(tx, router)
    for leg in interfaces(tx, router):
        remove_port(tx, leg)
    delete_router(tx, router)


def interfaces(tx: sa.Connection, router: Router) -> list[Port]:
    return ports.of_device(tx, router.uuid, INTERFACE_OWNER)


def set_gateway(
    tx: sa.Connection,
    router: Router,
    network: networks.Network,
    *,
    enable_snat: bool = True,
    fixed_ips: Sequence[Wanted] | None = None,
) -> Router:
    """Lead out by an external network."""
    _hold(tx, router)
    if not network.external:
        raise _bad_router(f"Network {network.uuid} is not an external network.")
    before = _again(tx, router)
    gateway = ports.get(tx, before.gateway_port) if before.gateway_port is not None else None
    if gateway is not None and (gateway.network_uuid != network.uuid or fixed_ips is not None):
        remove_gateway(tx, before)
        gateway = None
    if gateway is not None:
        has = {ipaddress.ip_address(address.ip).version for address in gateway.addresses}
        new = [subnet for subnet in subnets.of_network(tx, network.uuid) if subnet.ip_version not in has]
        _check_overlaps(tx, router, new)
        complete_addresses(tx, gateway)
    else:
        if not subnets.of_network(tx, network.uuid):
            raise _bad_router(f"External network {network.uuid} has no subnet, so no address to lead out with.")
        _check_overlaps(tx, router, subnets.of_network(tx, network.uuid))
        gateway = create_port(
            tx,
            network,
            "",
            fixed_ips=fixed_ips,
            security_group_ids=(),
            port_security=False,
            device_id=router.uuid,
            device_owner=GATEWAY_OWNER,
            host=before.host,
        )
    routers.update(tx, router.uuid, {"gateway_port": gateway.uuid, "enable_snat": enable_snat})
    _tell(tx, router)
    return _again(tx, router)


def remove_gateway(tx: sa.Connection, router: Router) -> Router:
    """Lead out no more; fine to say twice. InUse: floating IPs come in by it."""
    _hold(tx, router)
    current = _again(tx, router)
    gateway = ports.get(tx, current.gateway_port) if current.gateway_port is not None else None
    if gateway is None:
        return current
    if floating_ips.of_routers(tx, [router.uuid]):
        raise errors.InUse(
            f"Gateway cannot be updated for router {router.uuid}, since a gateway to external network "
            f"{gateway.network_uuid} is required by one or more floating IPs.",
            kind="RouterExternalGatewayInUseByFloatingIp",
        )
    routers.update(tx, router.uuid, {"gateway_port": None, "enable_snat": True})
    remove_port(tx, gateway)
    _tell(tx, router)
    return _again(tx, router)


def add_subnet(tx: sa.Connection, router: Router, subnet: Subnet) -> Port:
    """A leg with the subnet's gateway address."""
    _hold(tx, router)
    if subnet.gateway_ip is None:
        raise _bad_router(f"Subnet for router interface must have a gateway IP; {subnet.uuid} has none.")
    _check_overlaps(tx, router, [subnet])
    network = networks.get(tx, subnet.network_uuid)
    assert network is not None
    leg = create_port(
        tx,
        network,
        router.project_id,
        fixed_ips=[Wanted(subnet.uuid, subnet.gateway_ip)],
        security_group_ids=(),
        port_security=False,
        device_id=router.uuid,
        device_owner=INTERFACE_OWNER,
        host=_again(tx, router).host,
    )
    _tell(tx, router)
    return leg


def add_port(tx: sa.Connection, router: Router, port: Port) -> Port:
    """A port that its user made, as a leg."""
    _hold(tx, router)
    port = hold_port(tx, port)
    if port.device_id or port.workload_uuid is not None or port.host is not None:
        raise errors.InUse(
            f"Unable to complete operation on port {port.uuid} for network {port.network_uuid}. Port already has an "
            f"attached device {port.device_id}.",
            kind="PortInUse",
        )
    if not port.addresses:
        raise _bad_router("Router port must have at least one fixed IP.")
    found = [subnets.get(tx, address.subnet_uuid) for address in port.addresses]
    _check_overlaps(tx, router, [subnet for subnet in found if subnet is not None])
    ports.set_groups(tx, port.uuid, ())
    values = {"device_id": router.uuid, "device_owner": INTERFACE_OWNER, "host": _again(tx, router).host}
    ports.update(tx, port.uuid, {**values, "port_security": False, "address_pairs": []})
    tell_hosts(tx, port)
    _tell(tx, router)
    return ports.get(tx, port.uuid) or port


def remove_interface(
    tx: sa.Connection, router: Router, *, port_id: str | None = None, subnet_id: str | None = None
) -> Port:
    """Take the leg away that is this port, or has an address of this subnet; answers what it was."""
    _hold(tx, router)
    legs = interfaces(tx, router)
    if port_id is not None:
        legs = [leg for leg in legs if leg.uuid == port_id]
        if not legs:
            raise errors.NotFound(
                f"Router {router.uuid} does not have an interface with id {port_id}.", kind="RouterInterfaceNotFound"
            )
    if subnet_id is not None:
        legs = [leg for leg in legs if any(address.subnet_uuid == subnet_id for address in leg.addresses)]
        if not legs:
            raise errors.NotFound(
                f"Router {router.uuid} has no interface on subnet {subnet_id}.",
                kind="RouterInterfaceNotFoundForSubnet",
            )
    leg = legs[0]
    for address in leg.addresses:
        _check_not_needed(tx, router, leg, address.subnet_uuid)
    remove_port(tx, leg)
    _tell(tx, router)
    return leg


def add_routes(tx: sa.Connection, router: Router, more: Sequence[Route]) -> Router:
    """Those that are there already are no matter."""
    _hold(tx, router)
    current = _again(tx, router).routes
    return change_router(tx, router, {"routes": [*current, *(route for route in more if route not in current)]})


def remove_routes(tx: sa.Connection, router: Router, fewer: Sequence[Route]) -> Router:
    _hold(tx, router)
    current = _again(tx, router).routes
    gone = {(_spelled(destination), nexthop) for destination, nexthop in fewer}
    return change_router(tx, router, {"routes": [route for route in current if route not in gone]})


def leading(tx: sa.Connection, subnet_id: str, external_id: str) -> str | None:
    """The router by which a subnet is reached from an external network; the subnet's own gateway, if it can be."""
    subnet = subnets.get(tx, subnet_id)
    found = []
    for leg in ports.page(tx, [ports.ports.c.device_owner == INTERFACE_OWNER, ports.on_subnet(subnet_id)]):
        router = routers.get(tx, leg.device_id)
        gateway = ports.get(tx, router.gateway_port) if router and router.gateway_port else None
        if gateway is not None and gateway.network_uuid == external_id:
            is_gateway = subnet is not None and any(address.ip == subnet.gateway_ip for address in leg.addresses)
            found.append((not is_gateway, leg.device_id))
    return min(found)[1] if found else None


def _hold(tx: sa.Connection, router: Router) -> None:
    revisions.raise_one(tx, routers.scope(router.uuid))


def _again(tx: sa.Connection, router: Router) -> Router:
    """As it is now that it is held."""
    return routers.get(tx, router.uuid) or router


def _tell(tx: sa.Connection, router: Router) -> None:
    planes.changed(tx, router.project_id)


def _check_overlaps(tx: sa.Connection, router: Router, new: Sequence[Subnet]) -> None:
    for leg in ports.of_device(tx, router.uuid, INTERFACE_OWNER, GATEWAY_OWNER):
        for address in leg.addresses:
            held = subnets.get(tx, address.subnet_uuid)
            for subnet in new:
                if held is None or held.ip_version != subnet.ip_version:
                    continue
                if held.uuid == subnet.uuid:
                    raise _bad_router(f"Router already has a port on subnet {subnet.uuid}.")
                if held.network.overlaps(subnet.network):
                    raise _bad_router(
                        f"Cidr {subnet.cidr} of subnet {subnet.uuid} overlaps with cidr {held.cidr} of subnet "
                        f"{held.uuid}."
                    )


def _check_not_needed(tx: sa.Connection, router: Router, leg: Port, subnet_uuid: str) -> None:
    subnet = subnets.get(tx, subnet_uuid)
    for floating in floating_ips.of_routers(tx, [router.uuid]):
        if subnet is not None and floating.fixed_ip and ipaddress.ip_address(floating.fixed_ip) in subnet.network:
            raise errors.InUse(
                f"Router interface for subnet {subnet_uuid} on router {router.uuid} cannot be deleted, as it is "
                "required by one or more floating IPs.",
                kind="RouterInterfaceInUseByFloatingIP",
            )
    for _, nexthop in _again(tx, router).routes:
        if subnet is not None and ipaddress.ip_address(nexthop) in subnet.network:
            raise errors.InUse(
                f"Router interface for subnet {subnet_uuid} on router {router.uuid} cannot be deleted, as it is "
                "required by one or more routes.",
                kind="RouterInterfaceInUseByRoute",
            )


def _checked_routes(tx: sa.Connection, router: Router, wanted: Sequence[Route]) -> list[Route]:
    """In one spelling each, none twice; every next hop lies in a network of the router and is not itself."""
    if len(wanted) > MOST_ROUTES:
        raise errors.Invalid(
            f"Unable to complete operation for {router.uuid}. The number of routes exceeds the maximum {MOST_ROUTES}.",
            kind="RoutesExhausted",
        )
    legs = ports.of_device(tx, router.uuid, INTERFACE_OWNER, GATEWAY_OWNER)
    held = [(address.ip, subnets.get(tx, address.subnet_uuid)) for leg in legs for address in leg.addresses]
    found: list[Route] = []
    for destination, nexthop in wanted:
        if destination not in ("0.0.0.0/0", "::/0"):
            cidr.parse_cidr(destination)
        address = cidr.parse_ip(nexthop, "a route's nexthop")
        if address.version != ipaddress.ip_network(destination).version:
            raise _bad_routes(wanted, f"the nexthop {nexthop} is of another IP version than {destination}")
        if not any(subnet is not None and address in subnet.network for _, subnet in held):
            raise _bad_routes(wanted, "the nexthop is not connected with router")
        if any(ip == str(address) for ip, _ in held):
            raise _bad_routes(wanted, "the nexthop is used by router")
        route = (_spelled(destination), str(address))
        if route in found:
            raise _bad_routes(wanted, f"the route to {destination} by {nexthop} stands there twice")
        found.append(route)
    return found


def _spelled(destination: str) -> str:
    try:
        return str(ipaddress.ip_network(destination))
    except ValueError:
        return destination


def _bad_router(sentence: str) -> errors.Invalid:
    return errors.Invalid(f"Bad router request: {sentence}", kind="BadRequest")


def _bad_routes(wanted: Sequence[Route], sentence: str) -> errors.Invalid:
    shown = [{"destination": destination, "nexthop": nexthop} for destination, nexthop in wanted]
    return errors.Invalid(f"Invalid format for routes: {shown}, {sentence}.", kind="InvalidRoutes")
