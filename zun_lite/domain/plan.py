# SPDX-License-Identifier: Apache-2.0
"""What a host still has to do for one workload.

plan() is pure: it sees the goal, what the journal says was carried out, and what Docker shows,
and answers with steps. The reconciler performs them in order and stops at the first failure;
the next pass plans anew. Every step looks first, so that any may be performed twice.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

from zun_lite.domain.lifecycle import ABSENT, ON, Goal


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
    NOTE_BUILD = "note_build"
    NOTE_RUN = "note_run"
    NOTE_ABSENT = "note_absent"
    REPORT_LOST = "report_lost"


@dataclass(frozen=True)
class Seen:
    """One container of ours as Docker shows it now.

    state: created, running, paused, restarting, exited or dead. started_at: Docker's own text, which
    changes at each start. epoch, build: from its labels.
    """

    container_id: str
    state: str
    epoch: int
    build: int
    started_at: str

    @property
    def alive(self) -> bool:
        return self.state in ("running", "paused", "restarting")

    @property
    def ever_started(self) -> bool:
        """Docker says the year 1 until the first start."""
        return self.started_at != "" and not self.started_at.startswith("0001-")


@dataclass(frozen=True)
class Done:
    """What the journal says was carried out for one workload in one epoch.

    container_id: the container that build speaks of; one of another id was made, yet not noted.
    intent_run, intent_started_at: the run that was about to be started, and Docker's started_at just
    before; a later start of Docker's shows that the start took hold though its end was not written.
    boot_id, was_running: when last looked at, to tell a reboot from a container that ended by itself.
    generation: of the last goal that was carried out or given up; failed_generation, error: which goal
    was given up, and why. formatted: volumes that were given their file system.
    attachments: (volume id, epoch) of what was attached here and not yet detached.
    """

    epoch: int = 0
    run: int = 0
    build: int = 0
    container_id: str = ""
    absent: bool = False
    intent_run: int = 0
    intent_started_at: str = ""
    boot_id: str = ""
    was_running: bool = False
    generation: int = 0
    failed_generation: int = 0
    error: str = ""
    formatted: tuple[str, ...] = ()
    attachments: tuple[tuple[str, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Done:
        names = {item.name for item in fields(cls)}
        known = {key: value for key, value in body.items() if key in names}
        known["formatted"] = tuple(known.get("formatted", ()))
        known["attachments"] = tuple((volume_id, epoch) for volume_id, epoch in known.get("attachments", ()))
        return cls(**known)


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
        was_running=seen.alive,
    )


def plan(
    goal: Goal,
    epoch: int,
    done: Done,
    seen: Seen | None,
    *,
    boot_id: str,
    auto_heal: bool = False,
    restarts: bool = False,
) -> tuple[Step, ...]:
    """The steps from what is to what should be; empty when there is nothing to do.

    auto_heal: a container that is gone is made anew. restarts: its restart policy keeps it running, so
    that one left exited is one that Docker gave up on.
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
        return (*_CONNECT, Step.NOTE_BUILD, *_plan_first_run(goal, seen))
    return _plan_power(goal, done, seen, boot_id, restarts)


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
    first_run = _START if goal.power == ON and goal.run > 0 else ()
    return (Step.IMAGE, *gone, Step.DISKS, Step.CREATE, Step.PLUG, Step.NOTE_BUILD, *first_run)


def _plan_first_run(goal: Goal, seen: Seen) -> tuple[Step, ...]:
    stop = (Step.STOP,) if seen.alive else ()
    if goal.power != ON:
        return stop
    return (*stop, *_START) if goal.run > 0 else ()


def _plan_power(goal: Goal, done: Done, seen: Seen, boot_id: str, restarts: bool) -> tuple[Step, ...]:
    if goal.power != ON:
        return (Step.STOP,) if seen.alive else ()
    if done.intent_run == goal.run > 0 and seen.ever_started and seen.started_at != done.intent_started_at:
        return (Step.NOTE_RUN,)
    if done.run < goal.run:
        stop = (Step.STOP,) if seen.alive else ()
        return (*stop, *_CONNECT, *_START)
    if seen.alive or goal.run == 0:
        return ()
    rebooted = done.was_running and done.boot_id not in ("", boot_id)
    given_up = restarts and seen.state == "exited"
    return (*_CONNECT, *_START) if rebooted or given_up else ()
