# SPDX-License-Identifier: Apache-2.0
"""How a capsule is looked at, and how each step of its plan is performed on this host.

The sandbox is the container of the turn; the members are found by their label. Every step looks
first. A member's start is written to the journal before it is made, with the sandbox that it joins.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from zun_lite.agent.disks import Disks
from zun_lite.agent.journal import Journal
from zun_lite.agent.runtime.base import Bind, Container, Order, Runtime
from zun_lite.agent.turn import Turn, Waiting
from zun_lite.common import crash
from zun_lite.domain import capsule_plan, errors, names
from zun_lite.domain.capsule import ALWAYS, CapsuleSpec, Member
from zun_lite.domain.capsule_plan import SANDBOX, CapsuleSeen, CapsuleStep, MemberStep
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.plan import Done, MemberDone, Step
from zun_lite.domain.spec import ContainerSpec, RestartPolicy
from zun_lite.domain.wiring import Attachment, Endpoint

SANDBOX_CPUS, SANDBOX_MEMORY_MIB = 0.1, 16
_STOPS_AT_ONCE = 8


class Plugs(Protocol):
    """What is asked of netd."""

    def plug(
        self,
        container_id: str,
        workload: str,
        epoch: int,
        endpoints: list[Endpoint],
        volumes: list[tuple[Attachment, str]],
    ) -> None: ...

    def unplug(self, container_id: str) -> None: ...


def is_capsule(turn: Turn) -> bool:
    return isinstance(turn.desired.spec, CapsuleSpec)


def is_made(turn: Turn) -> bool:
    """Whether it is a capsule that lives. Keeping one up is never given up, since no user can start it again."""
    return is_capsule(turn) and turn.done.build >= turn.desired.goal.build and turn.done.epoch == turn.desired.epoch


def look(runtime: Runtime, uuid: str) -> dict[str, Container]:
    """A capsule's members as the engine shows them, by their uuid."""
    return {container.member: container for container in runtime.members(uuid)}


def plan(turn: Turn, boot_id: str) -> tuple[CapsuleStep, ...]:
    desired = turn.desired
    return capsule_plan.plan(_spec(turn), desired.goal, desired.epoch, turn.done, _seen(turn), boot_id=boot_id)


def recovered(turn: Turn) -> Done:
    return capsule_plan.recovered(_spec(turn), turn.desired.goal, _seen(turn))


def settled(turn: Turn) -> Done:
    return capsule_plan.settled(turn.done, _seen(turn))


def observed(spec: ContainerSpec | None, whole: Observed, members: dict[str, Container]) -> Observed:
    """What to report of a capsule, given what there is to say of its sandbox. spec: None if it is not known."""
    seen = replace(whole, members=tuple((uuid, _observed(container)) for uuid, container in sorted(members.items())))
    if not isinstance(spec, CapsuleSpec) or whole.build == 0 or whole.final or whole.state in ("absent", "missing"):
        return seen
    return capsule_plan.summed_up(spec, seen)


class CapsulePerformer:
    """Performs capsules' steps. shared: performs those that are no different from a container's.

    launches: bounds how many containers are made or started at once.
    """

    def __init__(
        self,
        runtime: Runtime,
        netd: Plugs,
        disks: Disks,
        journal: Journal,
        launches: contextlib.AbstractContextManager[bool],
        shared: Callable[[Step, Turn], None],
        require_ports: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._runtime = runtime
        self._netd = netd
        self._disks = disks
        self._journal = journal
        self._launches = launches
        self._shared = shared
        self._require_ports = require_ports
        self._images_had: dict[str, dict[str, str]] = {}
        self._acts: dict[Step, Callable[[Turn, str], None]] = {
            Step.CREATE: self._create,
            Step.PLUG: self._plug,
            Step.START: self._start,
            Step.NOTE_RUN: self._note_run,
            Step.STOP: self._stop,
            Step.UNPLUG: self._unplug,
            Step.REMOVE: self._remove,
            Step.REPORT_FAILED: self._report_failed,
        }

    def perform(self, step: CapsuleStep, turn: Turn) -> None:
        """Raises Waiting, or what went wrong, and with which container."""
        if isinstance(step, MemberStep):
            self._perform_on(step, turn)
        elif step is Step.IMAGE:
            self._images(turn)
        elif step is Step.UNPLUG:
            self._unplug_all(turn)
        else:
            if step is Step.NOTE_BUILD:
                self._images_had.pop(turn.uuid, None)
            self._shared(step, turn)

    def _perform_on(self, step: MemberStep, turn: Turn) -> None:
        act = self._acts[step.step]
        if len(step.members) == 1:
            with _named(turn, step.members[0]):
                act(turn, step.members[0])
            return
        # Each may take its whole time to stop, so they do it together.
        with ThreadPoolExecutor(_STOPS_AT_ONCE, thread_name_prefix="members") as threads:
            for done in [threads.submit(act, turn, uuid) for uuid in step.members]:
                done.result()

    def _images(self, turn: Turn) -> None:
        """All at once, so that they are pulled side by side; one that was got is not asked for again."""
        had = self._images_had.setdefault(turn.uuid, {})
        waiting = False
        for member in _spec(turn).every_member:
            if member.uuid in turn.members or member.spec.reference in had:
                continue
            try:
                with _named(turn, member.uuid):
                    alone = Turn(replace(turn.desired, spec=member.spec), turn.done, None)
                    self._shared(Step.IMAGE, alone)
                had.update({member.spec.reference: "", **alone.images})
            except Waiting:
                waiting = True
        if waiting:
            raise Waiting
        turn.images = dict(had)

    def _create(self, turn: Turn, uuid: str) -> None:
        order = self._order(turn, uuid)
        crash.point("agent.create.before")
        with self._launches:
            container_id = self._runtime.create(order)
        crash.point("agent.create.after")
        turn.touched = True
        made = Container(turn.uuid, container_id, "created", order.epoch, order.build, member=uuid)
        if uuid == SANDBOX:
            turn.container = replace(made, hostname=order.spec.hostname or container_id[:12])
        else:
            turn.members[uuid] = made

    def _order(self, turn: Turn, uuid: str) -> Order:
        desired, spec = turn.desired, _spec(turn)
        dns = tuple(dict.fromkeys(server for endpoint in desired.wiring.endpoints for server in endpoint.dns))
        if uuid == SANDBOX:
            own = _sandbox_spec(spec, desired.name, self._runtime.sandbox_image())
            return Order(desired.uuid, desired.epoch, desired.goal.build, own, dns=dns, shareable=True)
        member = _member(turn, uuid)
        sources = {name: bind.source for name, bind in zip(spec.volumes, turn.binds, strict=True)}
        binds = tuple(Bind(sources[mount.volume], mount.target, mount.read_only) for mount in member.mounts)
        # Docker takes ports to be exposed by whoever owns the network.
        own = replace(member.spec, exposed_ports=())
        joins = _container(turn, SANDBOX).container_id
        image = turn.images.get(own.reference, "")
        return Order(desired.uuid, desired.epoch, desired.goal.build, own, binds, dns, uuid, joins, image=image)

    def _plug(self, turn: Turn, uuid: str) -> None:
        """The sandbox gets the network, and all volumes too, which are then mounted before anyone starts."""
        wiring, spec = turn.desired.wiring, _spec(turn)
        wanted = set(spec.volumes) if uuid == SANDBOX else {mount.volume for mount in _member(turn, uuid).mounts}
        volumes = [
            (attachment, self._disks.path(attachment))
            for name, attachment in zip(spec.volumes, wiring.attachments, strict=True)
            if name in wanted
        ]
        endpoints = list(wiring.endpoints) if uuid == SANDBOX else []
        self._require_ports(tuple(endpoint.port_id for endpoint in endpoints))
        crash.point("agent.plug.before")
        self._netd.plug(_container(turn, uuid).container_id, turn.uuid, turn.desired.epoch, endpoints, volumes)
        crash.point("agent.plug.after")

    def _start(self, turn: Turn, uuid: str) -> None:
        container = _container(turn, uuid)
        turn.touched = True
        if uuid == SANDBOX:
            self._launch(container)
            return
        sandbox = self._runtime.inspect(_container(turn, SANDBOX).container_id)
        if sandbox is None or sandbox.state != "running":
            raise errors.Unavailable("its capsule's sandbox does not run, so that there is no network to join.")
        intent = MemberDone(container.container_id, "", sandbox.started_at, container.started_at)
        self._note(turn, uuid, intent)
        self._journal.write(turn.uuid, turn.done)
        self._launch(container)
        self._note_run(turn, uuid)

    def _launch(self, container: Container) -> None:
        crash.point("agent.start.before")
        with self._launches:
            self._runtime.start(container.container_id)
        crash.point("agent.start.after")

    def _note_run(self, turn: Turn, uuid: str) -> None:
        intent = dict(turn.done.members)[uuid]
        self._note(turn, uuid, MemberDone(intent.container_id, joined=intent.intent, was_running=True))

    def _note(self, turn: Turn, uuid: str, note: MemberDone) -> None:
        notes = {**dict(turn.done.members), uuid: note}
        turn.done = replace(turn.done, members=tuple(sorted(notes.items())))

    def _stop(self, turn: Turn, uuid: str) -> None:
        crash.point("agent.stop.before")
        turn.touched = True
        self._runtime.stop(_container(turn, uuid).container_id, turn.desired.goal.stop_timeout_seconds)
        crash.point("agent.stop.after")

    def _unplug(self, turn: Turn, uuid: str) -> None:
        crash.point("agent.unplug.before")
        self._netd.unplug(_container(turn, uuid).container_id)
        crash.point("agent.unplug.after")

    def _unplug_all(self, turn: Turn) -> None:
        """What the journal knows of, for a container that somebody else removed left its wiring behind."""
        for container_id in {turn.done.container_id, *(note.container_id for _, note in turn.done.members)} - {""}:
            self._netd.unplug(container_id)
        turn.done = replace(turn.done, members=())
        self._images_had.pop(turn.uuid, None)

    def _remove(self, turn: Turn, uuid: str) -> None:
        crash.point("agent.remove.before")
        self._runtime.remove(_container(turn, uuid).container_id)
        crash.point("agent.remove.after")
        turn.touched = True
        if uuid == SANDBOX:
            turn.container = None
        else:
            del turn.members[uuid]

    def _report_failed(self, turn: Turn, uuid: str) -> None:
        member = _member(turn, uuid)
        raise errors.Invalid(capsule_plan.ended_badly(member, turn.members[uuid].exit_code))


@contextlib.contextmanager
def _named(turn: Turn, uuid: str) -> Iterator[None]:
    """Errors say which of the containers they speak of."""
    try:
        yield
    except errors.ZunError as error:
        name = next((member.name for member in _spec(turn).every_member if member.uuid == uuid), None)
        if name is None or name in error.message:
            raise
        raise type(error)(f"Container {name}: {error.message}", kind=error.kind) from error


def _spec(turn: Turn) -> CapsuleSpec:
    assert isinstance(turn.desired.spec, CapsuleSpec)
    return turn.desired.spec


def _seen(turn: Turn) -> CapsuleSeen:
    members = {uuid: container.seen for uuid, container in turn.members.items()}
    return CapsuleSeen(turn.container.seen if turn.container else None, members)


def _member(turn: Turn, uuid: str) -> Member:
    return next(member for member in _spec(turn).every_member if member.uuid == uuid)


def _container(turn: Turn, uuid: str) -> Container:
    found = turn.container if uuid == SANDBOX else turn.members.get(uuid)
    if found is None:
        raise errors.Failed("The container is gone from its host.")
    return found


def _sandbox_spec(spec: CapsuleSpec, name: str, image: str) -> ContainerSpec:
    """Docker starts it again whatever happens; a member that is left behind is seen to by the agent."""
    return ContainerSpec(
        image=image,
        labels=spec.labels,
        hostname=name if names.is_host_name(name) else None,
        cpus=SANDBOX_CPUS,
        memory_mib=SANDBOX_MEMORY_MIB,
        restart_policy=RestartPolicy(ALWAYS),
        exposed_ports=tuple(sorted({port for member in spec.members for port in member.spec.exposed_ports})),
    )


def _observed(container: Container) -> Observed:
    return Observed(
        epoch=container.epoch,
        build=container.build,
        state=container.state,
        container_id=container.container_id,
        hostname=container.hostname,
        exit_code=container.exit_code,
        started_at=container.started_at or None,
        finished_at=container.finished_at or None,
        command=container.command,
        entrypoint=container.entrypoint,
        ports=container.ports,
    )
