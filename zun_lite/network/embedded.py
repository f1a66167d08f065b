# SPDX-License-Identifier: Apache-2.0
"""Networks of our own, in SQL: what the control plane asks of them.

Each method is one transaction of its own, and does nothing that was done already: a container's port
is known by the container's uuid and the position among its networks.
"""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.db import networks, ports, security_groups, subnets
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6
from zun_lite.domain.spec import NetworkRequest
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.network import groups
from zun_lite.network.base import GROUP_NOT_FOUND
from zun_lite.network.ports import DEVICE_OWNER, Wanted, create_port, known_groups, remove_port, tell_hosts
from zun_lite.network.quotas import NetworkQuotas


class EmbeddedNetworks:
    """The NetworkProvider of an installation that has no Neutron."""

    def __init__(self, db: Database, quotas: NetworkQuotas | None = None) -> None:
        """quotas: how many ports a project may have; without them, any number."""
        self._db = db
        self._quotas = quotas or NetworkQuotas()

    def resolve(self, caller: Caller, ident: str, *, choose_address: bool = False) -> str:
        """A network's id by its id or name. NotFound, Ambiguous.

        Forbidden: external, or an address is to be chosen on it, and not the caller's.
        """
        with self._db.read() as tx:
            network = _find_network(tx, caller, ident)
        foreign = network.external and not network.shared and network.project_id != caller.project_id
        if foreign and not caller.may("network:attach_external_network", network.project_id):
            raise errors.Forbidden(
                f"It is not allowed to create an interface on external network {network.uuid}; join a network of "
                "your own."
            )
        if choose_address and network.project_id != caller.project_id and not caller.is_admin:
            raise errors.Forbidden(
                f"Only the owner of network {network.uuid} may choose an address on it; take the one that comes."
            )
        return network.uuid

    def resolve_port(self, caller: Caller, ident: str) -> tuple[str, str]:
        """(port id, network id) of a free port of the caller's project."""
        found = self._port(caller, ident)
        if not _is_free(found):
            raise _port_in_use(found)
        return found.uuid, found.network_uuid

    def find_port(self, caller: Caller, ident: str) -> tuple[str, str]:
        """(port id, network id) of a port of the caller's project, free or not."""
        found = self._port(caller, ident)
        return found.uuid, found.network_uuid

    def resolve_group(self, caller: Caller, ident: str) -> str:
        """The id of a security group of the caller's project."""
        project_id = caller.project_id or ""
        mine = [security_groups.belonging_to(project_id)]
        if ident == security_groups.DEFAULT:
            # made when it is first asked for
            self._db.transact(lambda tx: groups.default_group(tx, project_id))
        with self._db.read() as tx:
            uuid, table = as_id(ident), security_groups.security_groups.c
            found = security_groups.page(tx, [*mine, table.uuid == uuid]) if uuid else []
            found = found or security_groups.page(tx, [*mine, table.name == ident])
        if not found:
            raise errors.NotFound(f"Security group {ident} could not be found.", kind=GROUP_NOT_FOUND)
        if len(found) > 1:
            raise errors.Ambiguous(f"Several security groups are named {ident}; use the id of one.")
        return found[0].uuid

    def remaining_groups(self, project_id: str, group_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a project's security groups that are still there."""
        table = security_groups.security_groups.c
        with self._db.read() as tx:
            there = security_groups.page(tx, [security_groups.belonging_to(project_id), table.uuid.in_(group_ids)])
        known = {group.uuid for group in there}
        return tuple(uuid for uuid in group_ids if uuid in known)

    def _port(self, caller: Caller, ident: str) -> ports.Port:
        with self._db.read() as tx:
            uuid = as_id(ident)
            mine = [ports.ports.c.project_id == caller.project_id]
            found = ports.page(tx, [*mine, ports.ports.c.uuid == uuid]) if uuid else []
            found = found or ports.page(tx, [*mine, ports.ports.c.name == ident])
        if not found:
            raise errors.NotFound(f"Port {ident} could not be found.", kind="PortNotFound")
        if len(found) > 1:
            raise errors.Ambiguous(f"Several ports are named {ident}; use the id of one.")
        return found[0]

    def default_network(self, caller: Caller) -> str:
        """The caller's oldest network that is not external, else the oldest shared one."""
        table = networks.networks.c
        inner = sa.not_(table.external)
        with self._db.read() as tx:
            found = networks.page(tx, [inner, table.project_id == caller.project_id])
            found = found or networks.page(tx, [inner, table.shared])
        if not found:
            raise errors.Conflict("There is no network to join; create a network and a subnet first.")
        return found[0].uuid

    def provide(
        self,
        workload_uuid: str,
        project_id: str,
        host_uuid: str,
        position: int,
        request: NetworkRequest,
        security_groups: tuple[str, ...] | None = None,
    ) -> Endpoint:
        """The port at this position of the workload, made or bound now if it is not yet."""

        def work(tx: sa.Connection) -> Endpoint:
            port = ports.at_position(tx, workload_uuid, position)
            if port is None and request.port_id is not None:
                port = _bind(tx, request.port_id, workload_uuid, project_id, host_uuid, position)
                tell_hosts(tx, port)
            elif port is None:
                self._quotas.hold(tx, project_id, "port")
                port = _make(tx, request, workload_uuid, project_id, host_uuid, position)
            elif port.host != host_uuid:
                ports.update(tx, port.uuid, {"host": host_uuid})
                tell_hosts(tx, port)
            if security_groups is not None and port.port_security:
                _put_into(tx, port, security_groups or (groups.default_group(tx, project_id).uuid,))
            return endpoint_of(tx, port, position)

        return self._db.transact(work)

    def renewed(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """What was provided, with what its subnets say now; one whose port is gone stays as it is."""
        with self._db.read() as tx:
            known = [ports.get(tx, endpoint.port_id) for endpoint in endpoints]
            return tuple(
                endpoint if port is None else endpoint_of(tx, port, port.position or 0)
                for endpoint, port in zip(endpoints, known, strict=True)
            )

    def open_ports(self, workload_uuid: str, project_id: str, exposed: tuple[str, ...]) -> str:
        """The id of the group that lets everybody in to these ports of the workload, made now if it is not yet."""
        return self._db.transact(lambda tx: groups.open_ports(tx, workload_uuid, project_id, exposed).uuid)

    def release(self, workload_uuid: str, *, positions: frozenset[int] | None = None) -> None:
        """Delete the ports that were made for the workload, and unbind those that its user brought."""

        def work(tx: sa.Connection) -> None:
            for port in ports.of_workload(tx, workload_uuid):
                if positions is not None and port.position not in positions:
                    continue
                if port.owned:
                    remove_port(tx, port)
                else:
                    ports.unbind(tx, port.uuid)
                    tell_hosts(tx, port)
            group = security_groups.of_workload(tx, workload_uuid) if positions is None else None
            if group is not None:
                _drop_group(tx, group)

        self._db.transact(work)


def _put_into(tx: sa.Connection, port: ports.Port, group_ids: tuple[str, ...]) -> None:
    if set(port.security_groups) != set(group_ids):
        ports.set_groups(tx, port.uuid, known_groups(tx, group_ids, port.project_id))
        tell_hosts(tx, port)


def _drop_group(tx: sa.Connection, group: security_groups.SecurityGroup) -> None:
    """Also out of ports that its user put into it besides."""
    for port in ports.page(tx, [ports.in_groups([group.uuid])]):
        ports.set_groups(tx, port.uuid, [uuid for uuid in port.security_groups if uuid != group.uuid])
        tell_hosts(tx, port)
    groups.delete_group(tx, group)


def _find_network(tx: sa.Connection, caller: Caller, ident: str) -> networks.Network:
    table = networks.networks.c
    visible = [] if caller.is_admin else [networks.visible_to(caller.project_id)]
    uuid = as_id(ident)
    if uuid is not None:
        found = networks.page(tx, [table.uuid == uuid, *visible])
        if found:
            return found[0]
    # An administrator sees every project's, but a name means first of all one's own.
    found = networks.page(tx, [table.name == ident, networks.visible_to(caller.project_id)])
    if not found and caller.is_admin:
        found = networks.page(tx, [table.name == ident])
    if not found:
        raise errors.NotFound(f"Network {ident} could not be found.", kind="NetworkNotFound")
    if len(found) > 1:
        raise errors.Ambiguous(f"Several networks are named {ident}; use the id of one.")
    return found[0]


def _bind(
    tx: sa.Connection, port_id: str, workload_uuid: str, project_id: str, host_uuid: str, position: int
) -> ports.Port:
    port = ports.get(tx, port_id)
    if port is None or port.project_id != project_id:
        raise errors.NotFound(f"Port {port_id} could not be found.", kind="PortNotFound")
    bound = ports.bind(
        tx,
        port_id,
        workload_uuid=workload_uuid,
        position=position,
        host=host_uuid,
        device_owner=DEVICE_OWNER,
    )
    if not bound:
        raise _port_in_use(port)
    return ports.get(tx, port_id) or port


def _make(
    tx: sa.Connection, request: NetworkRequest, workload_uuid: str, project_id: str, host_uuid: str, position: int
) -> ports.Port:
    network = networks.get(tx, request.network_id)
    if network is None:
        raise errors.NotFound(f"Network {request.network_id} could not be found.", kind="NetworkNotFound")
    if not subnets.of_network(tx, network.uuid):
        raise errors.Invalid(f"Network {network.uuid} has no subnet, so no address; create a subnet in it first.")
    return create_port(
        tx,
        network,
        project_id,
        fixed_ips=_wishes(tx, network, request.fixed_ips),
        device_id=workload_uuid,
        device_owner=DEVICE_OWNER,
        host=host_uuid,
        workload_uuid=workload_uuid,
        position=position,
        owned=True,
    )


def _wishes(tx: sa.Connection, network: networks.Network, fixed_ips: tuple[str, ...]) -> list[Wanted] | None:
    """These addresses, and any one of each other IP version that the network has; None: any one of each."""
    if not fixed_ips:
        return None
    fixed = {6 if ":" in ip else 4 for ip in fixed_ips}
    others = {subnet.ip_version for subnet in subnets.of_network(tx, network.uuid)} - fixed
    return [
        *(Wanted(ip_address=ip) for ip in fixed_ips),
        *(Wanted(version=version) for version in sorted(others)),
    ]


def endpoint_of(tx: sa.Connection, port: ports.Port, position: int) -> Endpoint:
    """A port as its host must make it. position: among its container's connections, whose first is the way out."""
    network = networks.get(tx, port.network_uuid)
    assert network is not None
    known = {subnet.uuid: subnet for subnet in subnets.of_network(tx, network.uuid)}
    used = [known[uuid] for uuid in dict.fromkeys(address.subnet_uuid for address in port.addresses)]
    return Endpoint(
        port_id=port.uuid,
        network_id=network.uuid,
        vni=network.vni,
        mac=port.mac,
        mtu=network.mtu,
        addresses=tuple(
            Address(
                ip=address.ip,
                prefix_length=known[address.subnet_uuid].network.prefixlen,
                subnet_id=address.subnet_uuid,
                gateway=known[address.subnet_uuid].gateway_ip,
            )
            for address in port.addresses
        ),
        default_route=position == 0,
        routes=tuple(route for subnet in used for route in subnet.routes),
        dns=tuple(dict.fromkeys((*_name_servers(used), *(server for subnet in used for server in subnet.dns)))),
        owned=port.owned,
    )


def _name_servers(used: list[subnets.Subnet]) -> tuple[str, ...]:
    """Where a container asks for the names of its neighbours: first of all, for they know no others."""
    if not used:
        return ()
    return (DNS_ADDRESS,) if any(subnet.ip_version == 4 for subnet in used) else (DNS_ADDRESS_V6,)


def _is_free(port: ports.Port) -> bool:
    return port.workload_uuid is None and not port.device_id and port.host is None


def _port_in_use(port: ports.Port) -> errors.InUse:
    return errors.InUse(
        f"Port {port.uuid} already serves {port.device_id or 'another device'}; use another port, or free it first.",
        kind="PortInUse",
    )
