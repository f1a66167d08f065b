# SPDX-License-Identifier: Apache-2.0
"""How each step of a plan is performed on this host.

Every step looks first, so that performing one twice does no harm. What is done is noted in the
turn; it is written to the journal before a step whose effect could not be told apart afterwards.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from zun_lite.agent.capsules import CapsulePerformer, is_capsule
from zun_lite.agent.disks import DiskNetd, Disks
from zun_lite.agent.images import Images
from zun_lite.agent.journal import Journal
from zun_lite.agent.runtime.base import Bind, Container, Order, Runtime
from zun_lite.agent.turn import Turn, Waiting
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.capsule_plan import CapsuleStep
from zun_lite.domain.plan import Done, Step, noted_run, noted_signal
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Attachment, Endpoint

LOST = "The container is gone from its host."


class Netd(DiskNetd, Protocol):
    """What is asked of netd."""

    def plug(
        self,
        container_id: str,
        workload: str,
        epoch: int,
        endpoints: list[Endpoint],
        volumes: list[tuple[Attachment, str]],
    ) -> None: ...

    def wire(self, container_id: str, pid: int) -> None: ...

    def unplug(self, container_id: str) -> None: ...


class Performer:
    """Performs steps.

    connected: whether the API was heard of lately enough to trust that the set still stands.
    parallel: containers made or started at once; more than a few only makes each of them slower.
    require_ports: returns once netd knows what is to be let through to these ports.
    """

    def __init__(
        self,
        runtime: Runtime,
        netd: Netd,
        disks: Disks,
        images: Images,
        journal: Journal,
        boot_id: str,
        connected: Callable[[], bool],
        parallel: int = 4,
        require_ports: Callable[[tuple[str, ...]], None] = lambda port_ids: None,
    ) -> None:
        self._runtime = runtime
        self._netd = netd
        self._disks = disks
        self._images = images
        self._journal = journal
        self._boot_id = boot_id
        self._connected = connected
        self._require_ports = require_ports
        self._launches = threading.BoundedSemaphore(parallel)
        self._acts: dict[Step, Callable[[Turn], None]] = {
            Step.IMAGE: self._image,
            Step.DISKS: self._attach_disks,
            Step.CREATE: self._create,
            Step.PLUG: self._plug,
            Step.NOTE_BUILD: self._note_build,
            Step.START: self._start,
            Step.NOTE_RUN: self._note_run,
            Step.INTEND: self._intend,
            Step.STOP: self._stop,
            Step.PAUSE: self._pause,
            Step.UNPAUSE: self._unpause,
            Step.SIGNAL: self._signal,
            Step.LIMITS: self._limit,
            Step.REWIRE: self._rewire,
            Step.REMOVE: self._remove,
            Step.UNPLUG: self._unplug,
            Step.DETACH: self._detach,
            Step.NOTE_ABSENT: self._note_absent,
            Step.REPORT_LOST: self._report_lost,
        }
        self._capsules = CapsulePerformer(
            runtime, netd, disks, journal, self._launches, lambda step, turn: self._acts[step](turn), require_ports
        )

    def perform(self, step: CapsuleStep, turn: Turn) -> None:
        """Raises Waiting, or what went wrong."""
        if is_capsule(turn):
            self._capsules.perform(step, turn)
        elif isinstance(step, Step):
            self._acts[step](turn)

    def _image(self, turn: Turn) -> None:
        crash.point("agent.image.before")
        spec = turn.desired.spec
        image_id = self._images.ready(turn.uuid, turn.desired.project_id, spec)
        if image_id is None:
            raise Waiting
        turn.images[spec.reference] = image_id
        crash.point("agent.image.after")

    def _attach_disks(self, turn: Turn) -> None:
        attachments = turn.desired.wiring.attachments
        if not attachments:
            turn.binds = ()
            return
        self._require_api()
        self._note_attachments(turn, attachments)
        binds = []
        for attachment in attachments:
            self._disks.make(attachment, attachment.volume_id in turn.done.formatted)
            source = self._disks.attach(attachment)
            binds.append(Bind(source, attachment.target, attachment.read_only))
            formatted = {*turn.done.formatted, attachment.volume_id}
            turn.done = replace(turn.done, formatted=tuple(sorted(formatted)))
        turn.binds = tuple(binds)

    def _note_attachments(self, turn: Turn, attachments: tuple[Attachment, ...]) -> None:
        epochs = {**dict(turn.done.attachments), **{item.volume_id: item.epoch for item in attachments}}
        turn.done = replace(turn.done, attachments=tuple(sorted(epochs.items())))
        self._journal.write(turn.uuid, turn.done)

    def _create(self, turn: Turn) -> None:
        desired = turn.desired
        order = Order(
            desired.uuid,
            desired.epoch,
            desired.goal.build,
            desired.spec,
            turn.binds,
            desired.wiring.dns,
            image=turn.images.get(desired.spec.reference, ""),
        )
        crash.point("agent.create.before")
        with self._launches:
            container_id = self._runtime.create(order)
        crash.point("agent.create.after")
        turn.container = Container(
            desired.uuid,
            container_id,
            "created",
            desired.epoch,
            desired.goal.build,
            hostname=desired.spec.hostname or container_id[:12],
        )
        turn.touched = turn.made = True

    def _plug(self, turn: Turn) -> None:
        self._record_wiring(turn)
        turn.done = replace(turn.done, ports=turn.desired.wiring.ports)

    def _rewire(self, turn: Turn) -> None:
        """Connect what runs, as it runs; one that ends meanwhile finds its wiring at its next start."""
        container_id = _there(turn).container_id
        self._record_wiring(turn)
        pid = self._runtime.process(container_id)
        if pid:
            with contextlib.suppress(errors.NotFound):
                self._netd.wire(container_id, pid)
        turn.done = replace(turn.done, ports=turn.desired.wiring.ports)

    def _record_wiring(self, turn: Turn) -> None:
        wiring = turn.desired.wiring
        volumes = [(item, self._disks.path(item)) for item in wiring.attachments]
        self._require_ports(wiring.ports)
        crash.point("agent.plug.before")
        self._netd.plug(_there(turn).container_id, turn.uuid, turn.desired.epoch, list(wiring.endpoints), volumes)
        crash.point("agent.plug.after")
        self._runtime.give_dns(turn.uuid, wiring.dns)

    def _note_build(self, turn: Turn) -> None:
        container = _there(turn)
        turn.done = replace(
            turn.done,
            epoch=container.epoch,
            build=container.build,
            container_id=container.container_id,
            run=0,
            intent_run=0,
            intent_started_at="",
            was_running=False,
            absent=False,
            signals=turn.desired.goal.signals,
            limits=limits_of(turn.desired.spec) if turn.made else None,
            limits_refused=False,
        )

    def _start(self, turn: Turn) -> None:
        container = _there(turn)
        self._intend(turn)
        crash.point("agent.start.before")
        turn.touched = True
        with self._launches:
            self._runtime.start(container.container_id)
        crash.point("agent.start.after")

    def _intend(self, turn: Turn) -> None:
        """Before what runs is stopped to be started, so that it is started even if this process dies between."""
        started_at = _there(turn).started_at
        turn.done = replace(turn.done, intent_run=turn.desired.goal.run, intent_started_at=started_at)
        self._journal.write(turn.uuid, turn.done)

    def _note_run(self, turn: Turn) -> None:
        turn.done = noted_run(turn.desired.goal, turn.done, self._boot_id)

    def _pause(self, turn: Turn) -> None:
        turn.touched = True
        self._runtime.pause(_there(turn).container_id)

    def _unpause(self, turn: Turn) -> None:
        turn.touched = True
        self._runtime.unpause(_there(turn).container_id)

    def _signal(self, turn: Turn) -> None:
        container, goal = _there(turn), turn.desired.goal
        turn.touched = True
        if container.seen.alive:
            self._runtime.signal(container.container_id, goal.signal)
        turn.done = noted_signal(goal, turn.done, container.seen)

    def _limit(self, turn: Turn) -> None:
        cpus, memory_mib = limits_of(turn.desired.spec)
        self._runtime.limit(_there(turn).container_id, cpus, memory_mib)
        turn.done = replace(turn.done, limits=(cpus, memory_mib), limits_refused=False)

    def _stop(self, turn: Turn) -> None:
        crash.point("agent.stop.before")
        turn.touched = True
        self._runtime.stop(_there(turn).container_id, turn.desired.goal.stop_timeout_seconds)
        crash.point("agent.stop.after")

    def _remove(self, turn: Turn) -> None:
        container = _there(turn)
        crash.point("agent.remove.before")
        self._runtime.remove(container.container_id)
        crash.point("agent.remove.after")
        turn.removed_id, turn.container, turn.touched = container.container_id, None, False

    def _unplug(self, turn: Turn) -> None:
        crash.point("agent.unplug.before")
        for container_id in {turn.removed_id, turn.done.container_id} - {""}:
            self._netd.unplug(container_id)
        crash.point("agent.unplug.after")

    def _detach(self, turn: Turn) -> None:
        wanted = {item.volume_id: item.epoch for item in turn.desired.wiring.attachments}
        epochs = {**wanted, **dict(turn.done.attachments)}
        if not epochs:
            return
        self._require_api()
        crash.point("agent.detach.before")
        for volume_id, epoch in sorted(epochs.items()):
            self._disks.detach(volume_id, max(epoch, wanted.get(volume_id, 0)))
        crash.point("agent.detach.after")
        turn.done = replace(turn.done, attachments=())

    def _note_absent(self, turn: Turn) -> None:
        self._runtime.forget(turn.uuid)
        self._images.forget(turn.uuid)
        turn.done = replace(
            turn.done,
            epoch=turn.desired.epoch,
            absent=True,
            container_id="",
            intent_run=0,
            intent_started_at="",
            was_running=False,
        )

    def _report_lost(self, turn: Turn) -> None:
        turn.lost = True

    def _require_api(self) -> None:
        if not self._connected():
            raise errors.Unavailable("The host cannot reach the API, and leaves volumes as they are until it can.")


def limits_of(spec: ContainerSpec) -> tuple[float, int]:
    """CPUs and MiB of memory."""
    return spec.cpus, spec.memory_mib


def abandoned(step: CapsuleStep, turn: Turn) -> Done:
    """The journal once a step was given up: neither this signal nor these limits are tried with the next goal."""
    if step is Step.SIGNAL:
        return replace(turn.done, signals=turn.desired.goal.signals)
    if step is Step.LIMITS:
        return replace(turn.done, limits=limits_of(turn.desired.spec), limits_refused=True)
    return turn.done


def _there(turn: Turn) -> Container:
    if turn.container is None:
        raise errors.Failed(LOST)
    return turn.container
