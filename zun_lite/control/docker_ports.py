# SPDX-License-Identifier: Apache-2.0
"""Ports of tenants' networks for containers that a host's own Docker makes, by the host's word.

Which networks a host may show its Docker is the operator's to say; a host that asks for another learns not
even whether there is one. A port belongs to the network's project, counts in its quota, and is known by the
host, the network and the MAC that Docker gave it, so that each request may be repeated.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import networks, ports, subnets
from zun_lite.db.hosts import Host
from zun_lite.domain import errors
from zun_lite.domain.wiring import Endpoint
from zun_lite.network import ports as rules
from zun_lite.network.embedded import endpoint_of
from zun_lite.network.ports import Wanted

_KEYS = uuid.UUID("6d3c6b3c-7a6c-4f0e-9d1b-5a756e2f6c69")


def shown(means: Means, host: Host, ident: str) -> dict[str, Any]:
    """A network by its id or name: {"network_id", "name", "subnets": [{"cidr", "gateway"}]}. Forbidden: not for it."""
    with means.db.read() as tx:
        network = _permitted(tx, means, host, ident)
        known = subnets.of_network(tx, network.uuid)
    return {
        "network_id": network.uuid,
        "name": network.name,
        "subnets": [{"cidr": subnet.cidr, "gateway": subnet.gateway_ip} for subnet in known],
    }


def reserve(means: Means, host: Host, network_id: str, mac: str, cidr: str, ip: str | None) -> Endpoint:
    """The port with this MAC, made now if it is not yet, with an address of the subnet, this one if it is named."""

    def work(tx: sa.Connection) -> Endpoint:
        network = _permitted(tx, means, host, network_id)
        subnet = next((item for item in subnets.of_network(tx, network.uuid) if item.cidr == cidr), None)
        if subnet is None:
            raise errors.NotFound(
                f"Network {network.uuid} has no subnet {cidr} any more; make its Docker network anew."
            )
        wanted, key = [Wanted(subnet.uuid, ip)], _key(host, network.uuid, mac)
        port = ports.at_position(tx, key, 0)
        if port is None:
            means.network_quotas.hold(tx, network.project_id, "port")
            port = rules.create_port(
                tx,
                network,
                network.project_id,
                fixed_ips=wanted,
                mac=mac,
                name=f"docker on {host.name}",
                device_id=key,
                device_owner=ports.DOCKER_OWNER,
                host=host.uuid,
                workload_uuid=key,
                position=0,
                owned=True,
            )
        elif not any(item.subnet_uuid == subnet.uuid for item in port.addresses):
            port = rules.add_addresses(tx, port, wanted)
        elif ip is not None and ip not in {item.ip for item in port.addresses}:
            raise errors.Conflict(f"Port {port.uuid} with MAC {mac} has another address of {cidr} than {ip}.")
        return endpoint_of(tx, port, 0)

    endpoint = means.db.transact(work)
    means.waker.wake()
    return endpoint


def of_host(means: Means, host: Host) -> list[dict[str, str]]:
    """Every port that was made for the host's Docker: {"port_id", "network_id", "mac"}."""
    with means.db.read() as tx:
        found = _made_for(tx, host.uuid)
    return [{"port_id": port.uuid, "network_id": port.network_uuid, "mac": port.mac} for port in found]


def release(means: Means, host: Host, port_id: str) -> None:
    """Delete a port that was made for the host; fine to say again, whatever the operator says now.

    By its id and not its MAC: a request that comes late must not hit a port that was made after it.
    """

    def work(tx: sa.Connection) -> None:
        port = ports.hold(tx, port_id)
        if port is not None and port.host == host.uuid and port.device_owner == ports.DOCKER_OWNER:
            rules.remove_port(tx, port)

    means.db.transact(work)
    means.waker.wake()


def forget_host(tx: sa.Connection, host_uuid: str) -> None:
    """The host is no more, and so are the containers of its Docker."""
    for port in _made_for(tx, host_uuid):
        rules.remove_port(tx, port)


def _made_for(tx: sa.Connection, host_uuid: str) -> list[ports.Port]:
    table = ports.ports.c
    return ports.page(tx, [table.host == host_uuid, table.device_owner == ports.DOCKER_OWNER])


def _permitted(tx: sa.Connection, means: Means, host: Host, ident: str) -> networks.Network:
    uuids = [item.partition("@")[0] for item in means.docker_networks if item.partition("@")[2] in ("", host.name)]
    found = networks.page(tx, [networks.networks.c.uuid.in_(uuids)]) if uuids else []
    fitting = [network for network in found if ident in (network.uuid, network.name)]
    if not fitting:
        raise errors.Forbidden(
            f"No network {ident} is shown to Docker on host {host.name}; an operator lists its id in [network] "
            "docker_networks of the API's configuration."
        )
    if len(fitting) > 1:
        raise errors.Ambiguous(f"Several networks are named {ident}; use the id of one.")
    return fitting[0]


def _key(host: Host, network_id: str, mac: str) -> str:
    return str(uuid.uuid5(_KEYS, f"{host.uuid}/{network_id}/{mac}"))
