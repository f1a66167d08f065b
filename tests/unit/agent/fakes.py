# SPDX-License-Identifier: Apache-2.0
"""A host in memory: the product's own agent code over a fake engine, a fake netd and a fake API."""

from __future__ import annotations

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from zun_lite.agent.disks import Disks
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.images import Images
from zun_lite.agent.journal import Journal
from zun_lite.agent.looks import Looks
from zun_lite.agent.progress import Progress
from zun_lite.agent.reconciler import Reconciler
from zun_lite.agent.registry_addresses import RegistryAddresses
from zun_lite.agent.removals import Removals
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.fake_images import FakeImages
from zun_lite.agent.steps import Performer
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors, names
from zun_lite.domain.desired import Desired, DesiredSet, Login, Report
from zun_lite.domain.lifecycle import ABSENT, OFF, ON, PRESENT, Goal, Observed
from zun_lite.domain.plan import Step
from zun_lite.domain.plane import GroupState, HostPlane, NetworkState, PortState, Rule
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Address, Attachment, Endpoint, Wiring

IMAGE = "demo:latest"
OPEN = GroupState(
    names.new_id(),
    tuple(Rule(direction, ethertype) for direction in ("ingress", "egress") for ethertype in ("IPv4", "IPv6")),
)


class Killed(BaseException):
    """The agent dies here: no code of it may catch this."""


class FakeNetd:
    """Keeps what it is told; formats nothing, mounts nothing."""

    def __init__(self) -> None:
        self.plugged: dict[str, tuple[str, int]] = {}
        self.ports: dict[str, tuple[str, ...]] = {}
        self.attached: dict[str, int] = {}
        self.still: list[str] = []
        self.wired: list[tuple[str, int]] = []
        self.planes: list[HostPlane] = []
        self.refusals: dict[str, list[errors.ZunError]] = {}

    def plane(self, plane):
        self._refuse("plane")
        self.planes.append(plane)
        return {"revision": plane.revision, "problems": []}

    def has_plane(self, revision):
        return bool(self.planes) and self.planes[-1].revision == revision

    def plug(self, container_id, workload, epoch, endpoints, volumes):
        self._refuse("plug")
        self.plugged[container_id] = (workload, epoch)
        self.ports[container_id] = tuple(endpoint.port_id for endpoint in endpoints)

    def wire(self, container_id, pid):
        self._refuse("wire")
        self.wired.append((container_id, pid))

    def unplug(self, container_id):
        self._refuse("unplug")
        self.plugged.pop(container_id, None)

    def attach(self, attachment, path):
        self._refuse("attach")
        if not Path(path).exists():
            raise errors.NotFound(f"no volume file at {path}")
        if self.attached.get(attachment.volume_id, 0) > attachment.epoch:
            raise errors.Conflict("held at a newer epoch")
        self.attached[attachment.volume_id] = attachment.epoch
        return f"/mounts/{attachment.volume_id}/data"

    def ready(self, attachment):
        self._refuse("ready")
        self.readied.append(attachment)

    def connector(self, host_name, address):
        return {}

    def detach(self, volume_id, epoch):
        self._refuse("detach")
        if self.attached.get(volume_id, 0) > epoch:
            raise errors.Conflict("held at a newer epoch")
        self.attached.pop(volume_id, None)

    def freeze(self, volume_id, path, seconds):
        self._refuse("freeze")
        self.still.append(volume_id)

    def thaw(self, volume_id):
        if volume_id not in self.still:
            return False
        self.still.remove(volume_id)
        return True

    def grow(self, volume_id):
        self._refuse("grow")
        return volume_id in self.attached

    def settle(self, volume_id, path, fs_type):
        self._refuse("settle")

    def _refuse(self, verb):
        waiting = self.refusals.get(verb)
        if waiting:
            raise waiting.pop(0)


class FakeApi:
    """The control plane as a host sees it: a set, and what it was told."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.revision = 1
        self.workloads: dict[str, Desired] = {}
        self.doomed: tuple[str, ...] = ()
        self.observed: dict[str, Observed] = {}
        self.reports: list[Report] = []
        self.orders: list[tuple[str, int]] = []
        self.beats: list[str | None] = []
        self.away = False
        self.calls: list[str] = []
        self.plane_revision: int | None = None
        self.report_wanted = False

    def put(self, *workloads: Desired) -> None:
        with self.lock:
            self.workloads.update({workload.uuid: workload for workload in workloads})
            self.revision += 1

    def drop(self, *uuids: str) -> None:
        with self.lock:
            for uuid in uuids:
                del self.workloads[uuid]
            self.revision += 1

    def wait_for(self, true, timeout_seconds=10.0) -> bool:
        """Wait until what was reported makes true() so."""
        with self.lock:
            return self.lock.wait_for(true, timeout_seconds)

    def state(self, uuid: str) -> str | None:
        observed = self.observed.get(uuid)
        return observed.state if observed else None

    def fetch(self, known_revision):
        self._answer("fetch")
        with self.lock:
            if known_revision == self.revision:
                return None
            return DesiredSet(self.revision, tuple(self.workloads.values()), self.doomed)

    def fetch_plane(self, known_revision):
        """Of the ports of the set, whose revision it has; everything is let through to them."""
        self._answer("fetch_plane")
        with self.lock:
            if known_revision == self.revision:
                return None
            endpoints = [item for workload in self.workloads.values() for item in workload.wiring.endpoints]
            by_network: dict[str, list[Endpoint]] = {}
            for endpoint in endpoints:
                by_network.setdefault(endpoint.network_id, []).append(endpoint)
            networks = tuple(
                NetworkState(network_id, members[0].vni, ports=tuple(map(_open_port, members)))
                for network_id, members in by_network.items()
            )
            return HostPlane(self.revision, networks=networks, groups=(OPEN,))

    def heartbeat(self, boot_id, problem):
        self._answer("heartbeat")
        with self.lock:
            self.beats.append(problem)
            self.plane_revision = self.revision
            self.lock.notify_all()
            return self.revision

    def report(self, report):
        self._answer("report")
        with self.lock:
            self.reports.append(report)
            self.observed.update(report.workloads)
            orders, self.orders = self.orders, []
            self.lock.notify_all()
        return orders

    def _answer(self, call: str) -> None:
        with self.lock:
            self.calls.append(call)
            self.lock.notify_all()
        if self.away:
            raise errors.Unavailable("The API does not answer.")


def _open_port(endpoint: Endpoint) -> PortState:
    addresses = tuple(address.ip for address in endpoint.addresses)
    return PortState(endpoint.port_id, endpoint.mac, addresses, local=True, groups=(OPEN.group_id,))


class FakeSources:
    """logins: what the API says of a workload's registry."""

    def __init__(self) -> None:
        self.logins: dict[str, Login] = {}

    def login(self, workload_uuid):
        if workload_uuid not in self.logins:
            raise errors.NotFound("It names no registry.")
        return self.logins[workload_uuid]

    def load(self, image_id, reference, timeout_seconds):
        raise errors.NoSuchImage("The image is not in the image service any more.")


class Notes:
    """An observer that keeps the last word, and every word, of each workload."""

    def __init__(self) -> None:
        self.last: dict[str, Observed] = {}
        self.every: list[tuple[str, Observed]] = []

    def changed(self, uuid, observed, hold_seconds=0.0):
        self.last[uuid] = observed
        self.every.append((uuid, observed))

    def forget(self, uuid):
        self.last.pop(uuid, None)


class DyingPerformer:
    """Performs a plan, and dies before or after a step, once."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self.die_at: tuple[Step, str] | None = None

    def perform(self, step, turn):
        if self.die_at == (step, "before"):
            self.die_at = None
            raise Killed
        self._performer.perform(step, turn)
        if self.die_at == (step, "after"):
            self.die_at = None
            raise Killed


class Host:
    """One host whose passes a test makes itself. restart() is a new agent on the same disk and engine."""

    def __init__(self, test) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-host-")
        test.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.clock = StoppedClock()
        self.runtime = FakeRuntime(self.clock, images=(IMAGE,))
        self.netd = FakeNetd()
        self.boot_id = "boot-1"
        self.connected = True
        self.sources = FakeSources()
        self.workloads: dict[str, Desired] = {}
        self.revision = 0
        self.woken: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.notes = Notes()
        self.journal = Journal(str(self.folder / "agent"))
        self.looks = Looks(self.clock)
        self.disks = Disks(str(self.folder / "volumes"), self.netd)
        self.engine_images = FakeImages(self.runtime)
        book = ImageBook(self.folder / "agent" / "images.json", self.engine_images, self.clock)
        self.images = Images(
            self.engine_images, book, self.sources, 5.0, self.woken.append, RegistryAddresses((), lambda host: ())
        )
        self.performer = DyingPerformer(
            Performer(
                self.runtime,
                self.netd,
                self.disks,
                self.images,
                self.journal,
                self.boot_id,
                lambda: self.connected,
            )
        )
        self.progress = Progress(self.clock, self.images.layers)
        self.reconciler = Reconciler(
            self.runtime,
            self.netd,
            self.disks,
            self.performer,
            self.journal,
            self.looks,
            Removals(self.clock, self.journal.removals_allowed_once),
            self.notes,
            self.progress,
            self.boot_id,
            self.clock,
        )
        self.reconciler.accept(DesiredSet(self.revision, tuple(self.workloads.values())))

    def put(self, *workloads: Desired) -> None:
        self.workloads.update({workload.uuid: workload for workload in workloads})
        self._tell()

    def drop(self, *uuids: str) -> None:
        for uuid in uuids:
            del self.workloads[uuid]
        self._tell()

    def look(self, uuid: str) -> float | None:
        """A pass, some time after the last one."""
        self.clock.advance(10)
        return self.reconciler.reconcile(uuid)

    def seen(self, uuid: str):
        return self.runtime.inspect(names.docker_name(uuid))

    def observed(self, uuid: str) -> Observed:
        return self.notes.last[uuid]

    def _tell(self) -> None:
        self.revision += 1
        self.reconciler.accept(DesiredSet(self.revision, tuple(self.workloads.values())))


def a_workload(goal: Goal | None = None, **changes) -> Desired:
    """A container that should run, ready, with one port."""
    made = Desired(
        uuid=names.new_id(),
        project_id=names.new_id(),
        name="c1",
        epoch=1,
        generation=1,
        goal=goal or Goal(PRESENT, ON, 1, 1),
        spec=ContainerSpec(IMAGE, command=("sleep", "60")),
        wiring=Wiring((an_endpoint(),)),
        ready=True,
    )
    return replace(made, **changes)


def an_endpoint() -> Endpoint:
    address = Address("10.0.0.7", 24, names.new_id())
    port_id, network_id = names.new_id(), names.new_id()
    return Endpoint(port_id, network_id, 1001, "fa:16:3e:00:00:07", 1450, (address,), dns=("10.0.0.2",))


def an_attachment(**changes) -> Attachment:
    return replace(Attachment(names.new_id(), 1, 1, "/data"), **changes)


def stopped(workload: Desired) -> Desired:
    return ordered(workload, power=OFF)


def started(workload: Desired) -> Desired:
    return ordered(workload, power=ON, run=workload.goal.run + 1)


def deleted(workload: Desired) -> Desired:
    return ordered(workload, presence=ABSENT, power=OFF)


def rebuilt(workload: Desired) -> Desired:
    return ordered(workload, build=workload.goal.build + 1)


def ordered(workload: Desired, **goal) -> Desired:
    return replace(workload, generation=workload.generation + 1, goal=replace(workload.goal, **goal))
