# SPDX-License-Identifier: Apache-2.0
"""Makes this host hold what it should, one workload at a time.

A pass looks at the engine, plans, performs the steps in order until the first failure, writes the
journal and tells the reporter. Nothing is removed because something is missing from a set or a
list: only a goal that says absent removes, or the API's order to remove an older epoch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from zun_lite.agent import capsules
from zun_lite.agent.disks import Disks
from zun_lite.agent.journal import Journal
from zun_lite.agent.looks import Looks
from zun_lite.agent.progress import Progress
from zun_lite.agent.removals import Removals, most_at_once
from zun_lite.agent.runtime.base import Container, Listed, Runtime
from zun_lite.agent.runtime.words import reason
from zun_lite.agent.steps import LOST, Netd, Performer, Turn, Waiting, abandoned, limits_of
from zun_lite.common import request_ids
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, names
from zun_lite.domain.capsule_plan import CapsuleStep, MemberStep
from zun_lite.domain.desired import Desired, DesiredSet
from zun_lite.domain.lifecycle import ABSENT, Observed
from zun_lite.domain.plan import Done, Step, plan, recovered

LOG = logging.getLogger(__name__)

FINAL_AFTER_TRIES = 3
MAX_RETRY_SECONDS = 30.0
PROGRESS_AFTER_SECONDS = 0.5
REMOVAL_GRACE_SECONDS = 10
MORE_AFTER_SECONDS = 0.0

# failures of these end after a few tries; those of taking away are tried for ever
_MAKING = (Step.IMAGE, Step.DISKS, Step.CREATE, Step.PLUG, Step.START)
# so do these, and the container lives on as it was
_SPARING = (Step.PAUSE, Step.UNPAUSE, Step.SIGNAL, Step.LIMITS, Step.REWIRE)


@dataclass(frozen=True)
class _Tries:
    """How often one goal of a workload failed; refused: without a break, by what could answer."""

    generation: int
    all: int = 0
    refused: int = 0


class Observer(Protocol):
    """Where observations go."""

    def changed(self, uuid: str, observed: Observed, hold_seconds: float = 0.0) -> None: ...

    def forget(self, uuid: str) -> None: ...


class Reconciler:
    """All workloads of a host. Different workloads may be reconciled at once, each by one thread at a time."""

    def __init__(
        self,
        runtime: Runtime,
        netd: Netd,
        disks: Disks,
        performer: Performer,
        journal: Journal,
        looks: Looks,
        removals: Removals,
        observer: Observer,
        progress: Progress,
        boot_id: str,
        clock: Clock,
    ) -> None:
        self._runtime = runtime
        self._netd = netd
        self._disks = disks
        self._performer = performer
        self._journal = journal
        self._looks = looks
        self._removals = removals
        self._observer = observer
        self._progress = progress
        self._boot_id = boot_id
        self._clock = clock
        self._lock = threading.Lock()
        self._desired: dict[str, Desired] = {}
        self._told_by_api = False
        self._tries: dict[str, _Tries] = {}
        self._said: set[str] = set()

    # what should be

    def accept(self, desired: DesiredSet, *, remembered: bool = False) -> list[str]:
        """Take a new set; answers the workloads that it changes.

        remembered: it comes from the host's own memory, not from the API.
        """
        after = {workload.uuid: workload for workload in desired.workloads}
        with self._lock:
            before, self._desired = self._desired, after
            self._told_by_api = self._told_by_api or not remembered
        gone = [uuid for uuid in before if uuid not in after]
        if len(gone) > most_at_once(len(before)):
            LOG.warning("%s of %s workloads left the set at once; nothing is removed for it", len(gone), len(before))
        return [uuid for uuid, workload in after.items() if before.get(uuid) != workload] + gone

    def order_removals(self, orders: Iterable[tuple[str, int]]) -> list[str]:
        """Take the API's orders to remove containers up to an epoch; answers the workloads to look at."""
        present = self._looks.present()
        known = [(uuid, epoch) for uuid, epoch in orders if uuid in present or self._journal.read(uuid) is not None]
        return self._removals.order(known, len(present))

    def uuids(self) -> list[str]:
        with self._lock:
            return list(self._desired)

    def named_volumes(self) -> set[str]:
        """Volumes that a workload of the set still names."""
        with self._lock:
            return {item.volume_id for workload in self._desired.values() for item in workload.wiring.attachments}

    # what is

    def survey(self, listed: list[Listed]) -> dict[str, Observed]:
        """Look at everything on the host, as a first report needs it; the looks serve the next passes."""
        for item in listed:
            if not item.member:
                self._look(item.uuid, item.container_id, unused=True)
        members = {item.uuid: self._look_at_members(item.uuid) for item in listed if item.member}
        with self._lock:
            desired = dict(self._desired)
        observed = {}
        for uuid in {item.uuid for item in listed} | set(self._journal.uuids()):
            container, done, workload = self._looks.last(uuid), self._journal.read(uuid), desired.get(uuid)
            if container is not None or workload is not None or (done is not None and done.absent):
                whole = observe(workload, done or Done(), container)
                spec = workload.spec if workload else None
                observed[uuid] = capsules.observed(spec, whole, members.get(uuid, {}))
        return observed

    def compare(self, listed: list[Listed]) -> set[str]:
        """The workloads to look at because a list of the engine differs from what was last seen."""
        with self._lock:
            strays = {item.uuid for item in listed} - self._desired.keys()
        for uuid in strays:
            self._say_once(uuid, "a container of this installation is here that is not in this host's set; left alone")
        return self._looks.differing_from(listed) | strays

    # a pass

    def reconcile(self, uuid: str) -> float | None:
        """Look at one workload and do what is to be done; after how many seconds to try again, if at all."""
        with self._lock:
            desired = self._desired.get(uuid)
        with request_ids.working_for(desired.request_id if desired else None):
            return self._reconcile(uuid, desired)

    def _reconcile(self, uuid: str, desired: Desired | None) -> float | None:
        generation = desired.generation if desired else 0
        try:
            ordered_epoch = self._removals.pending(uuid)
            if ordered_epoch is not None:
                self._remove_up_to(uuid, ordered_epoch)
                return None
            if desired is None:
                self._look_at_stray(uuid)
                return None
            done = self._journal.read(uuid)
            container = self._look_for_pass(uuid, done)
            turn = Turn(desired, done or Done(), container)
            if capsules.is_capsule(turn):
                turn.members = self._look_at_members(uuid)
        except errors.ZunError as error:
            LOG.warning("workload %s: %s", uuid, error.message)
            retry_seconds = self._seconds_to_next_try(uuid, generation, error)
            self._progress.fail(uuid, reason(error.message), retry_seconds)
            return retry_seconds
        if done is None and capsules.is_capsule(turn):
            turn.done = capsules.recovered(turn)
        elif done is None:
            turn.done = recovered(desired.goal, container.seen if container else None)
        return self._pass(turn)

    def _pass(self, turn: Turn) -> float | None:
        desired, done = turn.desired, turn.done
        making = desired.goal.presence != ABSENT
        if making and not desired.ready:
            if turn.container is not None:
                self._tell(turn)
            return None
        if _is_outdated(turn):
            self._say_once(turn.uuid, "its order is older than what was done here, and is not followed")
            self._tell(turn)
            return None
        if making and done.failed_generation == desired.generation:
            self._tell(turn)
            return None
        return self._carry_out(turn)

    def _carry_out(self, turn: Turn) -> float | None:
        began = self._clock.monotonic()
        steps = self._plan(turn)
        self._progress.begin(turn.uuid, steps)
        failure: tuple[CapsuleStep, errors.ZunError] | None = None
        for at, step in enumerate(steps):
            self._progress.reach(turn.uuid, at)
            try:
                self._performer.perform(step, turn)
            except Waiting:
                self._journal.write(turn.uuid, turn.done)
                self._tell(turn)
                return None
            except errors.ZunError as error:
                failure = step, error
                break
            if step is Step.NOTE_BUILD:
                self._tell(turn, hold_seconds=PROGRESS_AFTER_SECONDS)
        self._look_again(turn)
        if failure is not None:
            return self._fail(turn, *failure)
        if steps and not turn.lost:
            milliseconds = 1000 * (self._clock.monotonic() - began)
            LOG.info("workload %s: %s, in %.0f ms", turn.uuid, ", ".join(map(str, steps)), milliseconds)
        self._settle(turn)
        # A capsule's plan goes as far as can be foreseen; what can be seen now may take it further.
        return MORE_AFTER_SECONDS if steps and capsules.is_capsule(turn) and not turn.lost else None

    def _plan(self, turn: Turn) -> Sequence[CapsuleStep]:
        if capsules.is_capsule(turn):
            return capsules.plan(turn, self._boot_id)
        spec, container = turn.desired.spec, turn.container
        policy = spec.restart_policy.name if spec.restart_policy else "no"
        return plan(
            turn.desired.goal,
            turn.desired.epoch,
            turn.done,
            container.seen if container else None,
            boot_id=self._boot_id,
            auto_heal=spec.auto_heal,
            restarts=policy in ("always", "unless-stopped"),
            limits=limits_of(spec),
            ports=turn.desired.wiring.ports,
        )

    def _settle(self, turn: Turn) -> None:
        self._tries.pop(turn.uuid, None)
        self._progress.end(turn.uuid)
        if turn.lost:
            self._say_once(turn.uuid, LOST)
        turn.done = replace(
            turn.done,
            generation=turn.desired.generation,
            failed_generation=turn.desired.generation if turn.lost else 0,
            error=LOST if turn.lost else "",
            failed_step="",
            spared=False,
            boot_id=self._boot_id,
            was_running=turn.container is not None and turn.container.seen.alive,
        )
        if capsules.is_capsule(turn):
            turn.done = capsules.settled(turn)
        self._journal.write(turn.uuid, turn.done)
        self._tell(turn)

    def _fail(self, turn: Turn, step: CapsuleStep, error: errors.ZunError) -> float | None:
        generation = turn.desired.generation
        retry_seconds = self._seconds_to_next_try(turn.uuid, generation, error)
        kept_up = turn.desired.goal.presence == ABSENT or capsules.is_made(turn)
        final = not kept_up and self._is_final(turn.uuid, step, error)
        LOG.warning("workload %s: %s failed%s: %s", turn.uuid, step, " for good" if final else "", error.message)
        told = reason(error.message)
        self._progress.fail(turn.uuid, told, None if final else retry_seconds)
        if final:
            self._tries.pop(turn.uuid, None)
            turn.done = replace(
                abandoned(step, turn),
                generation=generation,
                failed_generation=generation,
                error=told,
                failed_step=_named(step),
                spared=step in _SPARING,
                boot_id=self._boot_id,
                was_running=turn.container is not None and turn.container.seen.alive,
            )
        self._journal.write(turn.uuid, turn.done)
        self._tell(turn, error=told, step=_named(step))
        return None if final else retry_seconds

    def _is_final(self, uuid: str, step: CapsuleStep, error: errors.ZunError) -> bool:
        step = step.step if isinstance(step, MemberStep) else step
        if isinstance(error, errors.Invalid) or (step is Step.DISKS and isinstance(error, errors.NotFound)):
            return True
        return step in (*_MAKING, *_SPARING) and self._tries[uuid].refused >= FINAL_AFTER_TRIES

    def _seconds_to_next_try(self, uuid: str, generation: int, error: errors.ZunError) -> float:
        """Longer each time for one goal. What is away for a while is no refusal, however long it is away."""
        before = self._tries.get(uuid)
        if before is None or before.generation != generation:
            before = _Tries(generation)
        refused = before.refused + 1 if isinstance(error, (errors.Failed, errors.NotFound)) else 0
        self._tries[uuid] = _Tries(generation, before.all + 1, refused)
        return min(MAX_RETRY_SECONDS, 2.0 ** min(before.all, 10))

    # looking and telling

    def _look_for_pass(self, uuid: str, done: Done | None) -> Container | None:
        ready = self._looks.take(uuid)
        return ready.container if ready else self._look(uuid, done.container_id if done else "")

    def _look(self, uuid: str, known_id: str = "", *, unused: bool = False) -> Container | None:
        """By name, and by id too, for someone may have renamed the container."""
        began_at = self._looks.began()
        container = self._runtime.inspect(names.docker_name(uuid))
        if container is None and known_id:
            container = self._runtime.inspect(known_id)
        if container is not None and (container.uuid != uuid or container.member):
            container = None
        self._looks.keep(uuid, container, began_at, unused=unused)
        return container

    def _look_at_members(self, uuid: str) -> dict[str, Container]:
        """After a look at the sandbox, whose time counts for both."""
        members = capsules.look(self._runtime, uuid)
        self._looks.keep_members(uuid, members)
        return members

    def _look_again(self, turn: Turn) -> None:
        if not turn.touched:
            if turn.container is None:
                self._looks.keep(turn.uuid, None, self._looks.began())
            return
        try:
            turn.container = self._look(turn.uuid, turn.container.container_id if turn.container else "")
            if capsules.is_capsule(turn):
                turn.members = self._look_at_members(turn.uuid)
        except errors.ZunError as error:
            LOG.debug("workload %s: no look after the steps: %s", turn.uuid, error.message)

    def _look_at_stray(self, uuid: str) -> None:
        """Tell of a container that is not in the set, so that the API can order what to do with it."""
        done = self._journal.read(uuid)
        container = self._look(uuid, done.container_id if done else "")
        container = container or next(iter(self._look_at_members(uuid).values()), None)
        if container is not None:
            self._observer.changed(uuid, observe(None, done or Done(), container))
            return
        if self._told_by_api and (done is None or done.absent or not done.attachments):
            self._journal.forget(uuid)
            self._looks.forget(uuid)
            self._observer.forget(uuid)
            self._progress.end(uuid)
            self._tries.pop(uuid, None)

    def _tell(self, turn: Turn, *, error: str = "", step: str = "", hold_seconds: float = 0.0) -> None:
        whole = observe(turn.desired, turn.done, turn.container, error, step)
        self._observer.changed(turn.uuid, capsules.observed(turn.desired.spec, whole, turn.members), hold_seconds)

    def _say_once(self, uuid: str, what: str) -> None:
        line = f"workload {uuid}: {what}"
        if line not in self._said:
            self._said.add(line)
            LOG.warning("%s", line)

    # orders to remove

    def _remove_up_to(self, uuid: str, epoch: int) -> None:
        with self._lock:
            desired = self._desired.get(uuid)
            if desired is not None and desired.epoch <= epoch:
                del self._desired[uuid]
        done = self._journal.read(uuid) or Done()
        found = (*self._runtime.members(uuid), self._look(uuid, done.container_id))
        leaving = [container for container in found if container is not None and container.epoch <= epoch]
        # they are removed last: what is told of them is all that brings the order again when this is cut off
        for container in leaving:
            if container.seen.alive:
                self._runtime.stop(container.container_id, REMOVAL_GRACE_SECONDS)
            self._netd.unplug(container.container_id)
        for volume_id, attached_epoch in done.attachments if done.epoch <= epoch else ():
            self._disks.detach(volume_id, attached_epoch)
        for container in leaving:
            self._runtime.remove(container.container_id)
            LOG.info("workload %s: removed its container of epoch %s, as ordered", uuid, container.epoch)
        if done.epoch <= epoch:
            self._journal.forget(uuid)
        self._looks.forget(uuid)
        self._observer.forget(uuid)
        self._progress.end(uuid)
        self._removals.done(uuid)


def observe(
    desired: Desired | None, done: Done, container: Container | None, error: str = "", step: str = ""
) -> Observed:
    """What to report. error: why this turn failed, in step; without one, the journal's last word counts."""
    given_up = done.error != "" and (desired is None or done.failed_generation == desired.generation)
    epoch = desired.epoch if desired is not None else max(done.epoch, container.epoch if container else 0)
    common = Observed(
        generation=done.generation,
        epoch=epoch,
        run=done.run,
        build=done.build,
        state="absent" if done.absent else "missing",
        error=error or (done.error if given_up else "") or None,
        failed_step=step or (done.failed_step if given_up else ""),
        final=given_up,
        spared=given_up and done.spared,
        signals=done.signals,
        formatted=done.formatted,
    )
    if container is None:
        return common
    return replace(
        common,
        state=container.state,
        container_id=container.container_id,
        hostname=container.hostname,
        exit_code=container.exit_code,
        out_of_memory=container.out_of_memory,
        started_at=container.started_at or None,
        finished_at=container.finished_at or None,
        command=container.command,
        entrypoint=container.entrypoint,
        ports=container.ports,
        health=container.health,
        plugged=done.ports,
    )


def _named(step: CapsuleStep) -> str:
    return str(step.step if isinstance(step, MemberStep) else step)


def _is_outdated(turn: Turn) -> bool:
    """Whether the order is older than what this host has already done: the API's memory went back."""
    desired, done, container = turn.desired, turn.done, turn.container
    if done.epoch > desired.epoch or (container is not None and container.epoch > desired.epoch):
        return True
    return done.epoch == desired.epoch and desired.generation < done.generation
