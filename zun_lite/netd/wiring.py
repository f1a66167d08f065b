# SPDX-License-Identifier: Apache-2.0
"""Which containers are joined to which networks on this host: plug, wire, unplug.

A network has a namespace here as long as a record names it. Records are written before anything is
made and dropped after everything is gone, so that an operation cut short can be repeated.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import announce, links, names, namespaces, processes, switches
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.store import ContainerRecord, Store

LOG = logging.getLogger(__name__)


class Switchboard:
    """The containers' connections; store is shared with the volumes, locks too. dataplane: what guards them."""

    def __init__(self, cluster: str, store: Store, locks: ObjectLocks, dataplane: Dataplane) -> None:
        self._cluster = cluster
        self._store = store
        self._locks = locks
        self._dataplane = dataplane

    def plug(self, record: ContainerRecord) -> None:
        """Keep how a container is to be connected. Links of ports that it no longer has are taken away."""
        with (
            self._locks.held("workload", record.workload),
            self._locks.held("container", record.container_id),
        ):
            before = self._store.container(record.container_id)
            if before == record:
                return
            if before is not None and before.workload != record.workload:
                raise errors.Conflict(f"container {record.container_id} is recorded for workload {before.workload}")
            self._refuse_older(record)
            kept = {endpoint.port_id for endpoint in record.endpoints}
            left = [item for item in before.endpoints if item.port_id not in kept] if before else []
            # links go before the record that names them, so that this can be repeated when it is cut off
            self._disconnect([item for item in left if not self._uses(item.port_id, record.container_id)])
            self._store.save_container(record)
            self._remove_unused([endpoint.network_id for endpoint in left])
        LOG.info("container %s of %s is plugged", record.container_id[:12], record.workload)

    def current(self, container_id: str) -> ContainerRecord:
        """The container's record, if its placement was not superseded."""
        record = self._store.container(container_id)
        if record is None:
            raise errors.NotFound(
                f"container {container_id} is not recorded in netd, so that it cannot be connected; "
                "it must be started by the agent that made it"
            )
        self._refuse_older(record)
        return record

    def wire(self, container_id: str, pid: int) -> list[dict[str, Any]]:
        """Join a container's namespace to its networks; answers what it now has.

        Fine to say again while it runs: links that its record names stay as they are, others of ours go.
        """
        crash.point("netd.wire.begin")
        with self._locks.held("container", container_id), namespaces.of_process(pid) as container_fd:
            record = self.current(container_id)
            named = [
                (self._connect(container_fd, f"eth{position}", endpoint), endpoint)
                for position, endpoint in enumerate(record.endpoints)
            ]
            links.keep_only(container_fd, {name for name, _ in named})
            links.configure(container_fd, named)
            self._announce(record)
            crash.point("netd.wire.end")
        LOG.info("container %s of %s is wired: %s", container_id[:12], record.workload, [name for name, _ in named])
        return [
            {
                "name": name,
                "port_id": endpoint.port_id,
                "mac": endpoint.mac,
                "addresses": [f"{address.ip}/{address.prefix_length}" for address in endpoint.addresses],
            }
            for name, endpoint in named
        ]

    def lend(self, record: ContainerRecord, docker_fd: int) -> str:
        """Join Docker's own namespace to a network, for Docker to take the end into a container; answers its name.

        Fine to say again. The record has one endpoint, and is kept like any other's until unplug().
        """
        (endpoint,) = record.endpoints
        with self._locks.held("container", record.container_id):
            self._store.save_container(record)
            name = self._connect(docker_fd, names.guest(self._cluster, endpoint.port_id), endpoint)
            crash.point("netd.lend.link")
        LOG.info("endpoint %s of Docker is joined to network %s", record.container_id[:12], endpoint.network_id)
        return name

    def announce(self, container_id: str) -> None:
        """Tell the neighbours of a container that something else brought into its networks."""
        record = self._store.container(container_id)
        if record is not None:
            self._announce(record)

    def unplug(self, container_id: str) -> None:
        """Take away a container's links, its record, and the namespaces of networks that nothing uses now."""
        crash.point("netd.unplug.begin")
        with self._locks.held("container", container_id):
            record = self._store.container(container_id)
            if record is not None:
                self._disconnect([item for item in record.endpoints if not self._uses(item.port_id, container_id)])
                self._store.drop_container(container_id)
                self._remove_unused([endpoint.network_id for endpoint in record.endpoints])
                LOG.info("container %s of %s is unplugged", container_id[:12], record.workload)
        crash.point("netd.unplug.end")

    def socket_in(self, container_id: str, family: int) -> int:
        """A descriptor of a TCP socket that is not connected yet, in the namespace of a container that runs.

        Whoever gets it reaches what the container itself reaches, its loopback first, and nothing else.
        """
        self.current(container_id)
        pid = processes.of_containers([container_id]).get(container_id)
        if pid is None:
            raise errors.NotFound(f"container {container_id[:12]} does not run")
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        with namespaces.of_process(pid) as container_fd:
            return namespaces.inside(container_fd, lambda: socket.socket(kind, socket.SOCK_STREAM).detach())

    def rejoin(self) -> list[str]:
        """Connect the running containers that lost a link; answers what could not be."""
        records = self._store.containers()
        present = {endpoint.network_id: set[str]() for record in records for endpoint in record.endpoints}
        for network_id in present:
            present[network_id] = self.link_names(network_id)
        lost = {
            record.container_id
            for record in records
            if not record.by_docker
            and not all(
                names.link(self._cluster, endpoint.port_id) in present[endpoint.network_id]
                for endpoint in record.endpoints
            )
        }
        problems = []
        for container_id, pid in processes.of_containers(lost).items():
            try:
                self.wire(container_id, pid)
                LOG.warning("container %s had lost a link and is connected again", container_id[:12])
            except errors.NotFound:
                # it ended; its next start wires it
                continue
            except errors.ZunError as error:
                problems.append(f"container {container_id[:12]} has lost a link: {error.message}")
        return problems

    def link_names(self, network_id: str) -> set[str]:
        """Names of the links in a network's namespace; empty where it has none."""
        return set(self._links_in(network_id))

    def has_carrier(self, endpoint: Endpoint) -> bool | None:
        """Whether the other end of a port's link is up; None: there is no link."""
        link = self._links_in(endpoint.network_id).get(names.link(self._cluster, endpoint.port_id))
        return None if link is None else link.has_carrier

    def _links_in(self, network_id: str) -> dict[str, switches.Seen]:
        name = names.namespace(self._cluster, network_id)
        if not namespaces.exists(name):
            return {}
        try:
            with namespaces.opened(name) as switch_fd:
                return switches.look(switch_fd)
        except FileNotFoundError:
            return {}

    def _connect(self, container_fd: int, wanted_name: str, endpoint: Endpoint) -> str:
        namespace = names.namespace(self._cluster, endpoint.network_id)
        with self._locks.held("network", endpoint.network_id):
            if not namespaces.exists(namespace):
                namespaces.create(namespace)
                self._dataplane.forget(endpoint.network_id)
            with namespaces.opened(namespace) as switch_fd:
                links.ensure_bridge(switch_fd)
                # a link is up from its first moment, so that its rules come first
                self._dataplane.admit(switch_fd, endpoint)
                outer_name = names.link(self._cluster, endpoint.port_id)
                name = links.connect(switch_fd, container_fd, outer_name, wanted_name, endpoint)
                self._dataplane.settle(switch_fd, endpoint)
        crash.point("netd.wire.veth")
        return name

    def _announce(self, record: ContainerRecord) -> None:
        """A courtesy to neighbours: caches of theirs would expire all the same."""
        for endpoint in record.endpoints:
            try:
                with namespaces.opened(names.namespace(self._cluster, endpoint.network_id)) as switch_fd:
                    announce.announce(switch_fd, endpoint)
            except OSError as error:
                LOG.warning("port %s is not announced: %s", endpoint.port_id, error)

    def _disconnect(self, endpoints: list[Endpoint]) -> None:
        for endpoint in endpoints:
            namespace = names.namespace(self._cluster, endpoint.network_id)
            with self._locks.held("network", endpoint.network_id):
                if namespaces.exists(namespace):
                    with namespaces.opened(namespace) as switch_fd:
                        links.remove(switch_fd, names.link(self._cluster, endpoint.port_id))
                        self._dataplane.dismiss(switch_fd, endpoint)

    def _remove_unused(self, network_ids: list[str]) -> None:
        for network_id in network_ids:
            with self._locks.held("network", network_id):
                if not self._store.on_network(network_id) and not self._dataplane.is_routed(network_id):
                    self._dataplane.remove(network_id)

    def _uses(self, port_id: str, but: str | None = None) -> bool:
        """Whether a record, other than that of one container, names the port."""
        return any(
            endpoint.port_id == port_id
            for record in self._store.containers()
            if record.container_id != but
            for endpoint in record.endpoints
        )

    def _refuse_older(self, record: ContainerRecord) -> None:
        newest = max(
            (other.epoch for other in self._store.containers() if other.workload == record.workload), default=0
        )
        if record.epoch < newest:
            raise errors.Conflict(
                f"container {record.container_id[:12]} belongs to placement {record.epoch} of {record.workload}, "
                f"which placement {newest} replaced"
            )
