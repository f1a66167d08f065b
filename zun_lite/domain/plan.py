# SPDX-License-Identifier: Apache-2.0
"""What a host still has to do for one workload.

plan() is pure: it sees the goal, what the journal says was carried out, and what Docker shows,
and answers with steps. The reconciler performs them in order and stops at the first failure;
the next pass plans anew. Every step looks first, so that any may be performed twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from zun_lite.domain.lifecycle import ABSENT, OFF, ON, PAUSED, UNHEALTHY, Goal
from zun_lite.domain.stored import known, read

# what a user sends to end a container: what Docker or we restart by ourselves stays ended after it
ENDING_SIGNALS = frozenset(("SIGKILL", "SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT"))


class Step(StrEnum):
    STOP = "stop"
    REMOVE = "remove"
    UNPLUG = "unplug"
    DETACH = "detach"
    IMAGE = "image"
    DISKS = "disks"
    CREATE = "create"
    PLUG = "plug"
    START = "start"
    INTEND = "intend"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SIGNAL = "signal"
    LIMITS = "limits"
    REWIRE = "rewire"
    NOTE_BUILD = "note_build"
    NOTE_RUN = "note_run"
    NOTE_ABSENT = "note_absent"
    REPORT_LOST = "report_lost"
    REPORT_FAILED = "report_failed"


@dataclass(frozen=True)
class Seen:
    """One container of ours as Docker shows it now.

    state: created, running, paused, restarting, exited or dead. started_at: Docker's own text, which
    changes at each start. epoch, build: from its labels. health: what its health check says, if it has one.
    """

    container_id: str
    state: str
    epoch: int
    build: int
    started_at: str
    health: str | None = None
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        return self.state in ("running", "paused", "restarting")

    @property
    def ever_started(self) -> bool:
        """Docker says the year 1 until the first start."""
        return self.started_at != "" and not self.started_at.startswith("0001-")


@dataclass(frozen=True)
class MemberDone:
    """What was carried out for one container of a capsule.

    joined: the sandbox's started_at when the member was last started. intent, intent_started_at: the
    sandbox that it was about to be started on, and Docker's started_at of the member just before.
    """

    container_id: str = ""
    joined: str = ""
    intent: str = ""
    intent_started_at: str = ""
    was_running: bool = False


@dataclass(frozen=True)
class Done:
    """What the journal says was carried out for one workload in one epoch.

    container_id: the container that build speaks of; one of another id was made, yet not noted.
    intent_run, intent_started_at: the run that was about to be started, and Docker's started_at just
    before; a later start of Docker's shows that the start took hold though its end was not written.
    signals: how many kills were carried out. ended_started_at: the started_at of what a user's signal was
    to end. limits: the CPUs and MiB that the engine was last told; limits_refused: it did not take them.
    boot_id, was_running: when last looked at, to tell a reboot from a container that ended by itself.
    generation: of the last goal that was carried out or given up; failed_generation, error: which goal
    was given up, and why; failed_step: at which step; spared: without harm to the container. formatted:
    volumes that were given their file system.
    attachments: (volume id, epoch) of what was attached here and not yet detached.
    ports: the ids of the ports that the container was connected to, in order; None: nobody knows.
    members: of a capsule, what was done for each of its containers.
    """

    epoch: int = 0
    run: int = 0
    build: int = 0
    container_id: str = ""
    absent: bool = False
    intent_run: int = 0
    intent_started_at: str = ""
    signals: int = 0
    ended_started_at: str = ""
    limits: tuple[float, int] | None = None
    limits_refused: bool = False
    boot_id: str = ""
    was_running: bool = False
    generation: int = 0
    failed_generation: int = 0
    error: str = ""
    failed_step: str = ""
    spared: bool = False
    formatted: tuple[str, ...] = ()
    attachments: tuple[tuple[str, int], ...] = ()
    ports: tuple[str, ...] | None = None
    members: tuple[tuple[str, MemberDone], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Done:
        found = known(cls, body)
        found["formatted"] = tuple(found.get("formatted", ()))
        found["members"] = tuple((uuid, read(MemberDone, note)) for uuid, note in found.get("members", ()))
        for key in ("limits", "ports"):
            if found.get(key) is not None:
                found[key] = tuple(found[key])
        found["attachments"] = tuple((volume_id, epoch) for volume_id, epoch in found.get("attachments", ()))
        return cls(**found)


def recovered(goal: Goal, seen: Seen | None) -> Done:
    """What must have been done, judged by Docker alone, when the journal has no word of a workload.

    A container that has ever started was wired before, and is taken to have carried out the run of
    the goal, so that a lost journal restarts nothing. One that never started is treated as not noted.
    """
    if seen is None or not seen.ever_started:
        return Done()
    return Done(
        epoch=seen.epoch,
        run=goal.run,
        build=seen.build,
        container_id=seen.container_id,
        signals=goal.signals,
        was_running=seen.alive,
    )


def noted_run(goal: Goal, done: Done, boot_id: str) -> Done:
    """The journal once the goal's run has begun; what was to be signalled before it is not there any more."""
    return replace(
        done,
        run=goal.run,
        intent_run=0,
        intent_started_at="",
        signals=goal.signals if done.run < goal.run else done.signals,
        boot_id=boot_id,
        was_running=True,
    )


def noted_signal(goal: Goal, done: Done, seen: Seen) -> Done:
    """The journal once the goal's signal was sent, or there was nothing left to send it to."""
    if goal.signal not in ENDING_SIGNALS:
        return replace(done, signals=goal.signals)
    return replace(done, signals=goal.signals, ended_started_at=seen.started_at, intent_run=0, intent_started_at="")


def plan(
    goal: Goal,
    epoch: int,
    done: Done,
    seen: Seen | None,
    *,
    boot_id: str,
    auto_heal: bool = False,
    restarts: bool = False,
    limits: tuple[float, int] | None = None,
    ports: tuple[str, ...] | None = None,
) -> tuple[Step, ...]:
    """The steps from what is to what should be; empty when there is nothing to do.

    auto_heal: a container that is gone is made anew, one whose health check fails is restarted. restarts: its
    restart policy keeps it running, so that one left exited is one that Docker gave up on. limits: the CPUs
    and MiB that it should be held to. ports: the ids of the ports that it should be connected to, in order.
    """
    if done.epoch > epoch or (seen is not None and seen.epoch > epoch):
        return ()
    if goal.presence == ABSENT:
        return _plan_absence(done, seen)
    if seen is None and done.build >= goal.build and done.epoch == epoch and not auto_heal:
        return (Step.REPORT_LOST,)
    if seen is None or seen.build < goal.build or seen.epoch < epoch:
        return _plan_making(goal, done, seen)
    if done.container_id != seen.container_id:
        return (*_CONNECT, Step.NOTE_BUILD, *_plan_first_run(goal, seen, limits))
    if goal.power == OFF:
        steps = _plan_rest(goal, done, seen, limits)
    else:
        steps = _plan_life(goal, done, seen, boot_id, auto_heal, restarts, limits)
    return (*steps, *_plan_wiring(done, seen, steps, ports))


_CONNECT = (Step.DISKS, Step.PLUG)
_START = (Step.START, Step.NOTE_RUN)


def _plan_absence(done: Done, seen: Seen | None) -> tuple[Step, ...]:
    if done.absent and seen is None:
        return ()
    return (*_plan_removal(seen), Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT)


def _plan_removal(seen: Seen | None) -> tuple[Step, ...]:
    if seen is None:
        return ()
    return (Step.STOP, Step.REMOVE) if seen.alive else (Step.REMOVE,)


def _plan_making(goal: Goal, done: Done, outdated: Seen | None) -> tuple[Step, ...]:
    # the image comes first, so that what runs goes on running until it can be replaced
    replaced = outdated is not None or done.container_id
    gone = (*_plan_removal(outdated), Step.UNPLUG) if replaced else ()
    first_run = (*_START, *_plan_pause(goal)) if goal.power != OFF and goal.run > 0 else ()
    return (Step.IMAGE, *gone, Step.DISKS, Step.CREATE, Step.PLUG, Step.NOTE_BUILD, *first_run)


def _plan_first_run(goal: Goal, seen: Seen, limits: tuple[float, int] | None) -> tuple[Step, ...]:
    """Of a container that was made, yet not noted, so that nobody knows what it was limited to."""
    limit = () if limits is None else (Step.LIMITS,)
    stop = (Step.STOP,) if seen.alive else ()
    if goal.power == OFF:
        return (*stop, *limit)
    if goal.run == 0:
        return (*limit, *_plan_power(goal, seen))
    return (*stop, *limit, *_START, *_plan_pause(goal))


def _plan_rest(goal: Goal, done: Done, seen: Seen, limits: tuple[float, int] | None) -> tuple[Step, ...]:
    stop = (Step.STOP,) if seen.alive else ()
    return (*stop, *_plan_signal(goal, done), *_plan_limits(done, limits))


def _plan_life(
    goal: Goal,
    done: Done,
    seen: Seen,
    boot_id: str,
    auto_heal: bool,
    restarts: bool,
    limits: tuple[float, int] | None,
) -> tuple[Step, ...]:
    stop = (Step.STOP,) if seen.alive else ()
    start = (*_plan_limits(done, limits, again=True), *_CONNECT, *_START, *_plan_pause(goal))
    if done.intent_run == goal.run > 0 and seen.ever_started and seen.started_at != done.intent_started_at:
        noted = noted_run(goal, done, boot_id)
        return (Step.NOTE_RUN, *_plan_life(goal, noted, seen, boot_id, auto_heal, restarts, limits))
    if done.run < goal.run:
        return (*stop, *start)
    signal = _plan_signal(goal, done)
    if goal.run == 0 or (signal and goal.signal in ENDING_SIGNALS):
        return (*signal, *_plan_power(goal, seen), *_plan_limits(done, limits))
    if _is_to_start(done, seen, goal, boot_id, restarts):
        return (*signal, *start)
    ill = seen.state == "running" and seen.health == UNHEALTHY
    if auto_heal and ill and goal.power == ON and not _was_ended(done, seen):
        return (*signal, Step.INTEND, Step.STOP, *start)
    return (*signal, *_plan_power(goal, seen), *_plan_limits(done, limits))


def _is_to_start(done: Done, seen: Seen, goal: Goal, boot_id: str, restarts: bool) -> bool:
    """Whether a container whose run is noted lies still though it should not."""
    if seen.alive:
        return False
    rebooted = done.was_running and done.boot_id not in ("", boot_id)
    cut_off = done.intent_run == goal.run and done.intent_started_at == seen.started_at
    given_up = restarts and seen.state == "exited" and not _was_ended(done, seen)
    return rebooted or cut_off or given_up


def _was_ended(done: Done, seen: Seen) -> bool:
    return done.ended_started_at != "" and done.ended_started_at == seen.started_at


def _plan_wiring(done: Done, seen: Seen, steps: tuple[Step, ...], ports: tuple[str, ...] | None) -> tuple[Step, ...]:
    """What runs is connected anew as it runs; of what lies still, it is enough to record the next start's wiring."""
    if ports is None or done.ports == ports or Step.PLUG in steps:
        return ()
    return (Step.REWIRE,) if seen.alive and Step.STOP not in steps else (Step.PLUG,)


def _plan_power(goal: Goal, seen: Seen) -> tuple[Step, ...]:
    if goal.power == PAUSED:
        return (Step.PAUSE,) if seen.state == "running" else ()
    return (Step.UNPAUSE,) if seen.state == "paused" else ()


def _plan_pause(goal: Goal) -> tuple[Step, ...]:
    return (Step.PAUSE,) if goal.power == PAUSED else ()


def _plan_signal(goal: Goal, done: Done) -> tuple[Step, ...]:
    return (Step.SIGNAL,) if done.signals < goal.signals else ()


def _plan_limits(done: Done, limits: tuple[float, int] | None, *, again: bool = False) -> tuple[Step, ...]:
    """again: also what was refused, for what was in the way may have ended with the process."""
    if limits is None or (done.limits == limits and not (again and done.limits_refused)):
        return ()
    return (Step.LIMITS,)
