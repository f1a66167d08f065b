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


@dataclass(frozen=True)
class Done:
    """What the journal says was carried out for one workload in one epoch.

    intent_run, intent_started_at: the run that was about to be started, and Docker's started_at just
    before; a later start of Docker's shows that the start took hold though its end was not written.
    boot_id, was_running: when last looked at, to tell a reboot from a container that ended by itself.
    formatted: volumes that were given their file system.
    """

    epoch: int = 0
    run: int = 0
    build: int = 0
    absent: bool = False
    intent_run: int = 0
    intent_started_at: str = ""
    boot_id: str = ""
    was_running: bool = False
    formatted: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Done:
        names = {item.name for item in fields(cls)}
        known = {key: value for key, value in body.items() if key in names}
        known["formatted"] = tuple(known.get("formatted", ()))
        return cls(**known)


def plan(goal: Goal, epoch: int, done: Done, seen: Seen | None, *, boot_id: str, auto_heal: bool) -> tuple[Step, ...]:
    """The steps from what is to what should be; empty when there is nothing to do."""
    if goal.presence == ABSENT:
        return _plan_absence(done, seen)
    steps: list[Step] = []
    if seen is not None and (seen.build < goal.build or seen.epoch < epoch):
        steps += [Step.STOP] if seen.alive else []
        steps += [Step.REMOVE, Step.UNPLUG]
        seen = None
    elif seen is None and done.build >= goal.build and done.epoch == epoch and not auto_heal:
        return (Step.REPORT_LOST,)
    if seen is None:
        steps += [Step.IMAGE, Step.DISKS, Step.CREATE, Step.PLUG, Step.NOTE_BUILD]
    elif done.build < goal.build or done.epoch < epoch:
        steps += [Step.DISKS, Step.PLUG, Step.NOTE_BUILD]
    return (*steps, *_plan_power(goal, done, seen, boot_id))


def _plan_absence(done: Done, seen: Seen | None) -> tuple[Step, ...]:
    if done.absent and seen is None:
        return ()
    steps: list[Step] = []
    if seen is not None:
        steps += [Step.STOP] if seen.alive else []
        steps.append(Step.REMOVE)
    return (*steps, Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT)


def _plan_power(goal: Goal, done: Done, seen: Seen | None, boot_id: str) -> tuple[Step, ...]:
    if goal.power != ON:
        return (Step.STOP,) if seen is not None and seen.alive else ()
    if seen is None:
        return (Step.START, Step.NOTE_RUN) if goal.run > 0 else ()
    if done.run < goal.run:
        took_hold = done.intent_run == goal.run and seen.started_at != done.intent_started_at
        if took_hold:
            return (Step.NOTE_RUN,)
        return (Step.STOP, Step.START, Step.NOTE_RUN) if seen.alive else (Step.START, Step.NOTE_RUN)
    rebooted = done.was_running and done.boot_id != boot_id
    if rebooted and not seen.alive:
        return (Step.START, Step.NOTE_RUN)
    return ()
