# SPDX-License-Identifier: Apache-2.0
"""Whether records and hosts agree, as invariants over facts that others gathered.

Pure: judge() gets the books (what SQL says) and each host's facts (Docker, netd, the volume pool)
and answers with findings, each a named invariant and one sentence. It speaks of a quiet moment:
what is still under way is said to be so by unsettled(), and is no finding.

    I1 lost        what was accepted is settled or has ended
    I2 doubled     at most one container a workload, of the record's epoch
    I3 orphaned    every container, port, link, mount, loop device and volume file has its record,
                   and every record that should have one has it
    I4 overcommit  no host has more claimed than it may promise
    I5 quota       no project uses more than its limit
    I6 addresses   one owner an address and a MAC in a network
    I7 writers     at most one live attachment a volume
    I8 actions     no action of a settled workload is still open
    I11 files      a volume that has a file system has its file
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from zun_lite.domain.lifecycle import ABSENT, Goal, Observed
from zun_lite.domain.resources import Limits, Ratios, Resources
from zun_lite.domain.wiring import Wiring


@dataclass(frozen=True)
class WorkloadEntry:
    """containers: how many it counts for. members: the uuids of a capsule's containers."""

    uuid: str
    project_id: str
    host: str | None
    epoch: int
    generation: int
    goal: Goal
    observed: Observed | None
    status: str
    task_state: str | None
    ready: bool
    failure: str | None
    wiring: Wiring
    claim: Resources
    containers: int = 1
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortEntry:
    """device_id: the workload that the port serves, or empty. ours: its device_owner is this service.

    docker_host: the host whose own Docker has it.
    """

    port_id: str
    network_id: str
    mac: str
    ips: tuple[str, ...]
    device_id: str
    ours: bool
    docker_host: str | None = None


@dataclass(frozen=True)
class VolumeEntry:
    """attached_to: uuids of the workloads with a live attachment. shared: its file is in a pool of several hosts.

    held_by_clients: attachments that clients of the Block Storage API made.
    """

    volume_id: str
    host: str | None
    status: str
    formatted: bool
    multi_attach: bool
    attached_to: tuple[str, ...]
    shared: bool = False
    held_by_clients: int = 0


@dataclass(frozen=True)
class SnapshotEntry:
    """host: whose pool has its file, None if it has none."""

    snapshot_id: str
    host: str | None
    status: str
    shared: bool = False


@dataclass(frozen=True)
class Books:
    """What SQL says, read in one transaction. open_actions: (workload uuid, action) still running.

    default_quota, quotas: limits that are set instead of the configured ones, for all and by project.
    """

    workloads: tuple[WorkloadEntry, ...]
    ports: tuple[PortEntry, ...]
    volumes: tuple[VolumeEntry, ...]
    capacities: dict[str, Resources]
    open_actions: tuple[tuple[str, str], ...]
    default_quota: dict[str, int] = field(default_factory=dict)
    quotas: dict[str, dict[str, int]] = field(default_factory=dict)
    snapshots: tuple[SnapshotEntry, ...] = ()


@dataclass(frozen=True)
class ContainerFact:
    """member: which container of the capsule uuid it is; empty for a sandbox, and for who is no capsule's."""

    container_id: str
    uuid: str
    epoch: int
    state: str
    member: str = ""


@dataclass(frozen=True)
class NetdFact:
    """One record of netd's. wired: whether the links of its ports are there.

    by_docker: container_id is an endpoint of the host's own Docker, not a container of ours.
    """

    container_id: str
    workload: str
    ports: tuple[str, ...]
    volumes: tuple[str, ...]
    wired: bool
    by_docker: bool = False


@dataclass(frozen=True)
class HostFacts:
    """What one host really holds. volume_files: ids of volumes with a file in its pool; snapshot_files: likewise.
    volume_notes: ids of volumes with a lock or a note there that they were made.

    pool_shared: other hosts see the same pool. mounted: ids of the volumes that are mounted. strays: what netd
    found that bears our names and has no record.
    docker_ports: ids of the ports that netd keeps for the host's own Docker; None: it does not say.
    """

    host: str
    containers: tuple[ContainerFact, ...]
    netd: tuple[NetdFact, ...]
    mounted: tuple[str, ...]
    volume_files: tuple[str, ...]
    strays: tuple[str, ...] = field(default=())
    snapshot_files: tuple[str, ...] = ()
    volume_notes: tuple[str, ...] = ()
    pool_shared: bool = False
    docker_ports: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Finding:
    invariant: str
    sentence: str


def unsettled(books: Books) -> list[str]:
    """What is still under way; findings mean little until this is empty."""
    waiting = []
    for entry in books.workloads:
        given_up = entry.failure is not None or (entry.observed is not None and entry.observed.final)
        if entry.goal.presence == ABSENT:
            waiting.append(f"{entry.uuid} is being deleted")
        elif not given_up and (entry.task_state or not entry.ready or entry.observed is None):
            waiting.append(f"{entry.uuid} is {entry.status}, {entry.task_state or 'not provided for'}")
    waiting += [f"volume {volume.volume_id} is {volume.status}" for volume in books.volumes if volume.status in _MOVING]
    waiting += [f"snapshot {item.snapshot_id} is {item.status}" for item in books.snapshots if item.status in _MOVING]
    return waiting


_MOVING = ("creating", "extending", "deleting")
_LEAVING = ("deleting", "error_deleting")
_MAY_BE_EITHER = ("extending", "error", "error_extending")


def judge(books: Books, hosts: Iterable[HostFacts], limits: Limits, ratios: Ratios) -> list[Finding]:
    """Every way in which records and hosts disagree; empty when all is well."""
    facts = list(hosts)
    found: list[Finding] = []
    found += _containers(books, facts)
    found += _ports(books, facts)
    found += _volumes(books, facts)
    found += _claims(books, limits, ratios)
    found += _actions(books)
    for host in facts:
        found += [Finding("I3", f"host {host.host}: {stray} has no record") for stray in host.strays]
    return found


def _containers(books: Books, hosts: list[HostFacts]) -> Iterator[Finding]:
    entries = {entry.uuid: entry for entry in books.workloads}
    held = Counter((container.uuid, container.member) for host in hosts for container in host.containers)
    for (uuid, member), count in held.items():
        if count > 1:
            what = f"container {member} of capsule {uuid}" if member else f"workload {uuid}"
            yield Finding("I2", f"{what} has {count} containers")
    for host in hosts:
        records = {record.container_id for record in host.netd}
        containers = {container.container_id for container in host.containers}
        for container in host.containers:
            entry = entries.get(container.uuid)
            if entry is None:
                yield Finding("I3", f"container {container.container_id} stands for {container.uuid}, which is gone")
            elif entry.host != host.host or entry.epoch != container.epoch:
                yield Finding("I2", f"container {container.container_id} of {container.uuid} has an old place or epoch")
            elif container.member and container.member not in entry.members:
                yield Finding("I3", f"container {container.container_id} is no part of capsule {container.uuid}")
            elif container.member and not held[container.uuid, ""]:
                yield Finding("I3", f"container {container.container_id} of {container.uuid} has lost its sandbox")
            if container.container_id not in records:
                yield Finding("I3", f"container {container.container_id} has no wiring recorded")
        for record in host.netd:
            if record.container_id not in containers and not record.by_docker:
                yield Finding("I3", f"netd has a record of container {record.container_id}, which is gone")
            running = any(
                container.state == "running"
                for container in host.containers
                if container.container_id == record.container_id
            )
            if running and record.ports and not record.wired:
                yield Finding("I3", f"container {record.container_id} runs without its links")
    for entry in books.workloads:
        expected = entry.observed is not None and entry.observed.state not in ("missing", "absent")
        watched = any(host.host == entry.host for host in hosts)
        if expected and watched and not held.get((entry.uuid, "")):
            yield Finding("I1", f"workload {entry.uuid} is {entry.status} and has no container")
        elif expected and watched and entry.status in ("Running", "Stopped"):
            for member in entry.members:
                if not held.get((entry.uuid, member)):
                    yield Finding("I1", f"capsule {entry.uuid} is {entry.status} and lacks its container {member}")


def _ports(books: Books, hosts: list[HostFacts]) -> Iterator[Finding]:
    uuids = {entry.uuid for entry in books.workloads}
    known = {port.port_id: port for port in books.ports}
    for port in books.ports:
        if port.ours and port.device_id not in uuids:
            yield Finding("I3", f"port {port.port_id} serves workload {port.device_id}, which is gone")
    for entry in books.workloads:
        for endpoint in entry.wiring.endpoints:
            held = known.get(endpoint.port_id)
            if held is None:
                yield Finding("I3", f"workload {entry.uuid} is wired to port {endpoint.port_id}, which is gone")
            elif held.device_id != entry.uuid:
                yield Finding("I3", f"workload {entry.uuid} is wired to port {endpoint.port_id} of {held.device_id}")
    addresses = Counter((port.network_id, ip) for port in books.ports for ip in port.ips)
    macs = Counter((port.network_id, port.mac) for port in books.ports)
    for (network_id, text), count in [*addresses.items(), *macs.items()]:
        if count > 1:
            yield Finding("I6", f"{text} has {count} owners in network {network_id}")
    for host in hosts:
        for record in host.netd:
            for port_id in record.ports:
                if port_id not in known:
                    yield Finding("I3", f"host {host.host}: port {port_id} is wired and gone from the records")
        if host.docker_ports is not None:
            kept = {port.port_id for port in books.ports if port.docker_host == host.host}
            for port_id in sorted(kept.difference(host.docker_ports)):
                yield Finding("I3", f"port {port_id} is for Docker on host {host.host}, which knows nothing of it")
            for port_id in sorted(set(host.docker_ports) - kept):
                yield Finding("I3", f"host {host.host} keeps port {port_id} for Docker, which is gone from the records")


def _volumes(books: Books, hosts: list[HostFacts]) -> Iterator[Finding]:
    uuids = {entry.uuid for entry in books.workloads}
    known = {volume.volume_id: volume for volume in books.volumes}
    for volume in books.volumes:
        if len(volume.attached_to) > 1 and not volume.multi_attach:
            yield Finding("I7", f"volume {volume.volume_id} is attached {len(volume.attached_to)} times")
        # what a client of its own has reserved or attached is in no container
        taken = volume.status in ("in-use", "reserved", "attaching", "detaching")
        had = bool(volume.attached_to) or volume.held_by_clients > 0
        if had != taken and volume.status not in _MAY_BE_EITHER:
            yield Finding(
                "I3", f"volume {volume.volume_id} is {volume.status} with {len(volume.attached_to)} attachments"
            )
        for uuid in volume.attached_to:
            if uuid not in uuids:
                yield Finding("I3", f"volume {volume.volume_id} is attached to workload {uuid}, which is gone")
    for host in hosts:
        for volume_id in host.volume_files:
            if volume_id not in known:
                yield Finding("I3", f"host {host.host}: the file of volume {volume_id} has no record")
        for volume_id in sorted(set(host.volume_notes).difference(known, host.volume_files)):
            yield Finding("I3", f"host {host.host}: a note or lock of volume {volume_id} is left, which has no record")
        for volume_id in host.mounted:
            held = known.get(volume_id)
            if held is None or not held.attached_to:
                yield Finding("I3", f"host {host.host}: volume {volume_id} is mounted and attached to nothing")
        for volume in books.volumes:
            here = volume.host == host.host or (volume.shared and host.pool_shared)
            kept = volume.formatted and volume.status not in _LEAVING
            if here and kept and volume.volume_id not in host.volume_files:
                yield Finding("I11", f"host {host.host}: the file of volume {volume.volume_id} is gone")
    yield from _snapshots(books, hosts)


def _snapshots(books: Books, hosts: list[HostFacts]) -> Iterator[Finding]:
    known = {snapshot.snapshot_id for snapshot in books.snapshots}
    for host in hosts:
        for snapshot_id in host.snapshot_files:
            if snapshot_id not in known:
                yield Finding("I3", f"host {host.host}: the file of snapshot {snapshot_id} has no record")
        for snapshot in books.snapshots:
            here = snapshot.host == host.host or (snapshot.shared and host.pool_shared and snapshot.host is not None)
            if here and snapshot.status == "available" and snapshot.snapshot_id not in host.snapshot_files:
                yield Finding("I11", f"host {host.host}: the file of snapshot {snapshot.snapshot_id} is gone")


def _claims(books: Books, limits: Limits, ratios: Ratios) -> Iterator[Finding]:
    on_host: dict[str, Resources] = {}
    of_project: dict[str, tuple[int, Resources]] = {}
    for entry in books.workloads:
        if entry.host is not None:
            on_host[entry.host] = on_host.get(entry.host, Resources()) + entry.claim
        count, used = of_project.get(entry.project_id, (0, Resources()))
        of_project[entry.project_id] = (count + entry.containers, used + entry.claim)
    for host, claimed in on_host.items():
        lacking = ratios.promised(books.capacities.get(host, Resources())).lacking_for(Resources(), claimed)
        if lacking:
            yield Finding("I4", f"host {host} has promised too much {', '.join(lacking)}")
    for project_id, (count, used) in of_project.items():
        own = replace(limits, **{**books.default_quota, **books.quotas.get(project_id, {})})
        exceeded = own.exceeded_by(count, used)
        if exceeded:
            yield Finding("I5", f"project {project_id} is over its quota of {', '.join(exceeded)}")


def _actions(books: Books) -> Iterator[Finding]:
    settled = {entry.uuid for entry in books.workloads if entry.task_state is None}
    known = {entry.uuid for entry in books.workloads}
    for uuid, action in books.open_actions:
        if uuid in settled or uuid not in known:
            yield Finding("I8", f"action {action} of workload {uuid} never ended")
