# SPDX-License-Identifier: Apache-2.0
"""What there is on this host under this cluster's names, with and without a record.

take() only looks; sweep() takes away what no record stands for, and is called when netd starts,
before it answers anybody.
"""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import asdict, dataclass
from typing import Any

from zun_lite.domain import errors
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import links, loops, mounts, names, namespaces, switches
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.store import Store
from zun_lite.netd.volumes import Volumes
from zun_lite.netd.wiring import Switchboard

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Strays:
    """Things that bear our names and have no record. links: (namespace, link). mounts: folders of volumes."""

    namespaces: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    loops: tuple[str, ...]
    mounts: tuple[str, ...]


class Census:
    """Counts for one cluster; pool_dir is where this host's volume files lie."""

    def __init__(
        self,
        cluster: str,
        store: Store,
        switchboard: Switchboard,
        dataplane: Dataplane,
        volumes: Volumes,
        pool_dir: str,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._switchboard = switchboard
        self._dataplane = dataplane
        self._volumes = volumes
        self._mount_dir = volumes.mount_dir
        self._pool_dir = pool_dir

    def take(self) -> dict[str, Any]:
        """{"records", "networks", "traffic", "volumes", "docker_ports", "strays", "foreign"}, for an auditor.

        docker_ports: ids of those that the host's own Docker has or had, until the API has them back.
        traffic: by port, counts of bytes, packets, errors and drops since its link was made, as the port sees them.
        foreign: links that somebody else made in a namespace of ours, which nobody here takes away.
        """
        records = self._store.containers()
        segments = {endpoint.network_id: endpoint.vni for record in records for endpoint in record.endpoints}
        present = {network_id: self._switchboard.link_names(network_id) for network_id in segments}
        strays = self.strays()
        return {
            "records": [
                {
                    "container_id": record.container_id,
                    "workload": record.workload,
                    "epoch": record.epoch,
                    "ports": [endpoint.port_id for endpoint in record.endpoints],
                    "volumes": [volume.attachment.volume_id for volume in record.volumes],
                    "wired": all(
                        names.link(self._cluster, endpoint.port_id) in present[endpoint.network_id]
                        for endpoint in record.endpoints
                    ),
                    "by_docker": record.by_docker,
                }
                for record in records
            ],
            "networks": [
                {
                    "network_id": network_id,
                    "namespace": names.namespace(self._cluster, network_id),
                    "vni": vni,
                }
                for network_id, vni in sorted(segments.items())
                if namespaces.exists(names.namespace(self._cluster, network_id))
            ],
            "traffic": self._traffic([endpoint for record in records for endpoint in record.endpoints]),
            "volumes": [
                {
                    "volume_id": state.record.volume_id,
                    "epoch": state.record.epoch,
                    "path": state.record.path,
                    "device": state.device,
                    "source": state.source,
                    "mounted": state.mounted,
                }
                for state in self._volumes.states()
            ],
            "docker_ports": [item.endpoint.port_id for item in self._store.reservations() if item.endpoint],
            "strays": {
                **asdict(strays),
                "links": [f"{namespace}/{link}" for namespace, link in strays.links],
            },
            "foreign": [
                f"{namespace}/{link}"
                for namespace in namespaces.names(names.namespace_prefix(self._cluster))
                for link in switches.foreign(_seen_in(namespace))
            ],
        }

    def _traffic(self, endpoints: list[Endpoint]) -> dict[str, dict[str, int]]:
        """Without the networks that go away meanwhile."""
        found: dict[str, dict[str, int]] = {}
        for network_id in {endpoint.network_id for endpoint in endpoints}:
            with contextlib.suppress(OSError, errors.ZunError):
                found |= self._dataplane.counters(each for each in endpoints if each.network_id == network_id)
        return found

    def strays(self) -> Strays:
        found = namespaces.names(names.namespace_prefix(self._cluster))
        recorded = {
            (names.namespace(self._cluster, endpoint.network_id), names.link(self._cluster, endpoint.port_id))
            for record in self._store.containers()
            for endpoint in record.endpoints
        }
        used = {namespace for namespace, _ in recorded} | self._dataplane.used_namespaces()
        recorded |= self._dataplane.used_links()
        return Strays(
            namespaces=tuple(name for name in found if name not in used),
            links=tuple(
                (namespace, link)
                for namespace in found
                if namespace in used
                for link in sorted(_links_of(namespace))
                if (namespace, link) not in recorded
            ),
            loops=tuple(loop.node for loop in self._stray_loops()),
            mounts=tuple(self._stray_mounts()),
        )

    def sweep(self) -> None:
        """Take away every stray, with a line in the log for each; what cannot go yet stays a stray."""
        if self._store.damaged:
            LOG.error("strays are left alone until these records are repaired: %s", ", ".join(self._store.damaged))
            return
        strays = self.strays()
        for namespace, link in strays.links:
            LOG.warning("link %s in %s has no record and is taken away", link, namespace)
            with namespaces.opened(namespace) as switch_fd:
                links.remove(switch_fd, link)
        for namespace in strays.namespaces:
            LOG.warning("namespace %s has no record and is taken away", namespace)
            namespaces.remove(namespace)
        for point in strays.mounts:
            LOG.warning("%s has no record and is taken away", point)
            try:
                self._volumes.discard_mount(os.path.basename(point))
            except errors.ZunError as error:
                LOG.warning("%s stays: %s", point, error.message)
        for loop in self._stray_loops():
            LOG.warning("%s on %s has no record and is freed", loop.node, loop.file_name)
            loops.free(loop.node)

    def _stray_loops(self) -> list[loops.Loop]:
        """Devices on files of our pool that no recorded volume is mounted from."""
        devices = {state.device for state in self._volumes.states()}
        pool = self._pool_dir.rstrip("/") + "/"
        return [loop for loop in loops.in_use() if loop.file_name.startswith(pool) and loop.node not in devices]

    def _stray_mounts(self) -> list[str]:
        points = {mount.point for mount in mounts.here() if os.path.dirname(mount.point) == self._mount_dir}
        with contextlib.suppress(FileNotFoundError):
            points.update(os.path.join(self._mount_dir, name) for name in os.listdir(self._mount_dir))
        recorded = {os.path.join(self._mount_dir, record.volume_id) for record in self._store.volumes()}
        return sorted(points.difference(recorded))


def _links_of(namespace: str) -> set[str]:
    return {name for name in _seen_in(namespace) if name.startswith(names.OWN_PREFIXES)}


def _seen_in(namespace: str) -> dict[str, switches.Seen]:
    try:
        with namespaces.opened(namespace) as switch_fd:
            return switches.look(switch_fd)
    except (OSError, errors.Failed):
        return {}
