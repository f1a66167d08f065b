# SPDX-License-Identifier: Apache-2.0
"""What may be done with floating IPs, whoever asks for it: take one, lead it to a port, give it back.

Every function takes a transaction; who may see or change what is the edge's matter. Errors bear
Neutron's types.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from zun_lite.db import floating_ips, networks, planes, ports, revisions, routers, tags
from zun_lite.db.floating_ips import OWNER, FloatingIp
from zun_lite.db.ports import Allotted, Port
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network.ports import Wanted, create_port, remove_port
from zun_lite.network.routers import leading


def create_floating_ip(
    tx: sa.Connection,
    network: networks.Network,
    project_id: str,
    *,
    description: str = "",
    address: str | None = None,
    subnet_id: str | None = None,
) -> FloatingIp:
    """An address of an external network that leads nowhere yet; address: this one and no other."""
    if not network.external:
        raise bad_request(f"Network {network.uuid} is not a valid external network.")
    uuid = new_id()
    own = create_port(
        tx,
        network,
        "",
        fixed_ips=[Wanted(subnet_id, address, 4)],
        security_group_ids=(),
        port_security=False,
        device_id=uuid,
        device_owner=OWNER,
    )
    return floating_ips.insert(
        tx,
        uuid=uuid,
        project_id=project_id,
        description=description,
        network_uuid=network.uuid,
        address=own.addresses[0].ip,
        own_port=own.uuid,
    )


def lead(tx: sa.Connection, floating: FloatingIp, port: Port, fixed_ip: str | None = None) -> FloatingIp:
    """Lead to a port's address, the only one where none is named. NotFound: no router leads there."""
    fixed = _fixed(port, fixed_ip)
    router_uuid = leading(tx, fixed.subnet_uuid, floating.network_uuid)
    if router_uuid is None:
        raise errors.NotFound(
            f"External network {floating.network_uuid} is not reachable from subnet {fixed.subnet_uuid}. Therefore, "
            f"cannot associate Port {port.uuid} with a Floating IP.",
            kind="ExternalGatewayForFloatingIPNotFound",
        )
    # the same router, still with its gateway, until this transaction ends
    revisions.raise_one(tx, routers.scope(router_uuid))
    if leading(tx, fixed.subnet_uuid, floating.network_uuid) != router_uuid:
        raise errors.Busy("The router was changed meanwhile; try again.")
    for other in floating_ips.of_port(tx, port.uuid):
        if other.uuid != floating.uuid and other.fixed_ip == fixed.ip:
            raise errors.InUse(
                f"Cannot associate floating IP {floating.address} ({floating.uuid}) with port {port.uuid} using fixed "
                f"IP {fixed.ip}, as that fixed IP already has a floating IP on external network "
                f"{floating.network_uuid}.",
                kind="FloatingIPPortAlreadyAssociated",
            )
    values = {"fixed_port": port.uuid, "fixed_ip": fixed.ip, "router_uuid": router_uuid}
    floating_ips.update(tx, floating.uuid, values)
    _tell(tx, floating, router_uuid)
    return floating_ips.get(tx, floating.uuid) or floating


def lead_nowhere(tx: sa.Connection, floating: FloatingIp) -> FloatingIp:
    """Fine to say twice."""
    floating_ips.update(tx, floating.uuid, {"fixed_port": None, "fixed_ip": None, "router_uuid": None})
    _tell(tx, floating, floating.router_uuid)
    return floating_ips.get(tx, floating.uuid) or floating


def delete_floating_ip(tx: sa.Connection, floating: FloatingIp) -> None:
    """With its address, which goes back to the external network."""
    floating_ips.delete(tx, floating.uuid)
    tags.remove_all(tx, floating.uuid)
    own = ports.get(tx, floating.own_port)
    if own is not None:
        remove_port(tx, own)
    _tell(tx, floating, floating.router_uuid)


def bad_request(sentence: str) -> errors.Invalid:
    return errors.Invalid(f"Bad floatingip request: {sentence}", kind="BadRequest")


def _fixed(port: Port, fixed_ip: str | None) -> Allotted:
    addresses: Sequence[Allotted] = [address for address in port.addresses if ":" not in address.ip]
    if fixed_ip is not None:
        addresses = [address for address in addresses if address.ip == fixed_ip]
        if not addresses:
            raise bad_request(f"Port {port.uuid} does not have fixed ip {fixed_ip}.")
    if not addresses:
        raise bad_request(f"Cannot add floating IP to port {port.uuid} that has no fixed IPv4 addresses.")
    if len(addresses) > 1:
        raise bad_request(
            f"Port {port.uuid} has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning "
            "a floating IP."
        )
    return addresses[0]


def _tell(tx: sa.Connection, floating: FloatingIp, router_uuid: str | None) -> None:
    """The host that runs the router, which may be another project's."""
    router = routers.get(tx, router_uuid) if router_uuid is not None else None
    planes.changed(tx, floating.project_id, *([router.project_id] if router is not None else []))
