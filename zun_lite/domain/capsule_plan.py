# SPDX-License-Identifier: Apache-2.0
"""What a host still has to do for one capsule.

plan() is pure, as the plan of a container is. The sandbox comes first, then one init member after the
other, then all members. Docker's restart policies keep members up; what Docker cannot know is done
here: a member joined the network of the sandbox as it was when the member started, so that a sandbox
that was started anew leaves behind members whose network is gone, and they are started anew too.

A plan goes as far as can be foreseen. What is to be done after an init member has ended, or after
something old was removed, is said by the next plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from zun_lite.domain.capsule import ALWAYS, NEVER, CapsuleSpec, Member
from zun_lite.domain.lifecycle import ABSENT, Goal, Observed
from zun_lite.domain.plan import Done, MemberDone, Seen, Step

SANDBOX = ""


@dataclass(frozen=True)
class MemberStep:
    """A step on some of a capsule's containers: members by uuid, the sandbox as SANDBOX."""

    step: Step
    members: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.step} {', '.join(uuid or 'the sandbox' for uuid in self.members)}"


CapsuleStep = Step | MemberStep


@dataclass(frozen=True)
class CapsuleSeen:
    """A capsule's containers as Docker shows them now; members by uuid."""

    sandbox: Seen | None
    members: Mapping[str, Seen]

    @property
    def every(self) -> dict[str, Seen]:
        """By uuid, in the order in which they are to go: the sandbox last."""
        return {**self.members, **({SANDBOX: self.sandbox} if self.sandbox else {})}


def plan(
    spec: CapsuleSpec, goal: Goal, epoch: int, done: Done, seen: CapsuleSeen, *, boot_id: str
) -> tuple[CapsuleStep, ...]:
    """The steps from what is to what should be; empty when there is nothing to do but to wait."""
    if done.epoch > epoch or any(one.epoch > epoch for one in seen.every.values()):
        return ()
    if goal.presence == ABSENT:
        return _plan_absence(done, seen)
    known = {member.uuid for member in spec.every_member} | {SANDBOX}
    old_sandbox = seen.sandbox is not None and seen.sandbox.epoch < epoch
    outdated = {uuid: one for uuid, one in seen.every.items() if old_sandbox or one.epoch < epoch or uuid not in known}
    if outdated:
        return _plan_removal(outdated)
    here = _Place(done, seen, boot_id)
    if done.build >= goal.build and done.epoch == epoch:
        if seen.sandbox is None or any(member.uuid not in seen.members for member in spec.members):
            return (Step.REPORT_LOST,)
        return _with_disks(_plan_sandbox(seen.sandbox), _plan_members(spec.members, here))
    return _plan_making(spec, here)


def recovered(spec: CapsuleSpec, goal: Goal, seen: CapsuleSeen) -> Done:
    """What must have been done, judged by Docker alone, when the journal has no word of a capsule.

    A member that started after its sandbox did is taken to have joined it.
    """
    if seen.sandbox is None:
        return Done()
    started = {uuid: one for uuid, one in seen.members.items() if one.ever_started}
    made = all(member.uuid in started for member in spec.members)
    notes = tuple(
        (
            uuid,
            MemberDone(
                one.container_id,
                joined=seen.sandbox.started_at if _is_later(one.started_at, seen.sandbox.started_at) else "",
                was_running=one.alive,
            ),
        )
        for uuid, one in sorted(started.items())
    )
    return Done(
        epoch=seen.sandbox.epoch if made else 0,
        run=goal.run if made else 0,
        build=seen.sandbox.build if made else 0,
        container_id=seen.sandbox.container_id if made else "",
        was_running=seen.sandbox.alive,
        members=notes,
    )


@dataclass(frozen=True)
class _Place:
    """What is known of the members' past and present."""

    done: Done
    seen: CapsuleSeen
    boot_id: str

    @property
    def sandbox_started_at(self) -> str | None:
        """None where the sandbox is yet to be started, so that nobody has joined it."""
        sandbox = self.seen.sandbox
        return sandbox.started_at if sandbox is not None and sandbox.alive else None

    def note_of(self, uuid: str, container_id: str) -> MemberDone:
        note = dict(self.done.members).get(uuid)
        return note if note is not None and note.container_id == container_id else MemberDone(container_id)

    def rebooted(self, note: MemberDone) -> bool:
        return note.was_running and self.done.boot_id not in ("", self.boot_id)


def _plan_absence(done: Done, seen: CapsuleSeen) -> tuple[CapsuleStep, ...]:
    if done.absent and not seen.every:
        return ()
    return (*_plan_removal(seen.every), Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT)


def _plan_removal(leaving: Mapping[str, Seen]) -> tuple[CapsuleStep, ...]:
    """Unplugged before it is removed, so that what is cut off in between is still seen to be done."""
    alive = tuple(uuid for uuid, one in leaving.items() if one.alive)
    steps: list[CapsuleStep] = [MemberStep(Step.STOP, alive)] if alive else []
    for uuid in leaving:
        steps += [MemberStep(Step.UNPLUG, (uuid,)), MemberStep(Step.REMOVE, (uuid,))]
    return tuple(steps)


def _plan_making(spec: CapsuleSpec, here: _Place) -> tuple[CapsuleStep, ...]:
    sandbox = _plan_sandbox(here.seen.sandbox)
    for member in spec.init_members:
        seen = here.seen.members.get(member.uuid)
        steps = _plan_members((member,), here)
        if steps or seen is None or seen.alive:
            return _with_disks(sandbox, steps)
        if seen.exit_code != 0:
            return (MemberStep(Step.REPORT_FAILED, (member.uuid,)),)
    return (*_with_disks(sandbox, _plan_members(spec.members, here)), Step.NOTE_BUILD, Step.NOTE_RUN)


def _plan_sandbox(sandbox: Seen | None) -> tuple[CapsuleStep, ...]:
    if sandbox is None:
        return (*_on(SANDBOX, Step.CREATE, Step.PLUG, Step.START),)
    return () if sandbox.alive else _on(SANDBOX, Step.PLUG, Step.START)


def _plan_members(members: tuple[Member, ...], here: _Place) -> tuple[CapsuleStep, ...]:
    """Make and start them, and start anew those that lost their network or that Docker left lying."""
    leaving: list[str] = []
    steps: list[CapsuleStep] = []
    for member in members:
        seen = here.seen.members.get(member.uuid)
        if seen is None:
            steps += _on(member.uuid, Step.CREATE, Step.PLUG, Step.START)
            continue
        note = here.note_of(member.uuid, seen.container_id)
        if _took_hold(note, seen, here.sandbox_started_at):
            steps += _on(member.uuid, Step.NOTE_RUN)
        elif _should_start(member, note, seen, here):
            leaving += [member.uuid] if seen.alive else []
            steps += _on(member.uuid, Step.PLUG, Step.START)
    return ((MemberStep(Step.STOP, tuple(leaving)),) if leaving else ()) + tuple(steps)


def _took_hold(note: MemberDone, seen: Seen, sandbox_started_at: str | None) -> bool:
    """Whether a start that was cut off did start it."""
    if not note.intent or note.intent != sandbox_started_at:
        return False
    return seen.ever_started and seen.started_at != note.intent_started_at


def _should_start(member: Member, note: MemberDone, seen: Seen, here: _Place) -> bool:
    if not seen.ever_started:
        return True
    left_behind = here.sandbox_started_at is None or note.joined != here.sandbox_started_at
    if seen.alive:
        return left_behind
    if here.rebooted(note):
        return True
    if _policy(member) == ALWAYS:
        return True
    # Docker may have tried to start it again while there was no sandbox to join.
    return _returns(member) and seen.exit_code != 0 and left_behind


def _with_disks(sandbox: tuple[CapsuleStep, ...], members: tuple[CapsuleStep, ...]) -> tuple[CapsuleStep, ...]:
    steps = sandbox + members
    made = any(isinstance(step, MemberStep) and step.step is Step.CREATE for step in steps)
    started = any(isinstance(step, MemberStep) and step.step is Step.START for step in steps)
    return (*((Step.IMAGE,) if made else ()), *((Step.DISKS,) if started else ()), *steps)


def _on(uuid: str, *steps: Step) -> tuple[CapsuleStep, ...]:
    return tuple(MemberStep(step, (uuid,)) for step in steps)


def settled(done: Done, seen: CapsuleSeen) -> Done:
    """The journal's word at the end of a pass: which members run, to tell a reboot from an end."""
    notes = tuple(
        (uuid, replace(note, was_running=uuid in seen.members and seen.members[uuid].alive))
        for uuid, note in done.members
    )
    return replace(done, members=notes)


def summed_up(spec: CapsuleSpec, observed: Observed) -> Observed:
    """A capsule as a whole, given what was seen of its members once all were made.

    It runs while one of them does; it has ended when all have ended well; it has failed when one has
    failed that nobody will start again.
    """
    seen = dict(observed.members)
    present = [(member, seen[member.uuid]) for member in spec.members if member.uuid in seen]
    state = _state([one.state for _, one in present])
    failed = [(member, one) for member, one in present if _ended(one) and one.exit_code != 0 and not _returns(member)]
    if failed:
        error = ended_badly(failed[0][0], failed[0][1].exit_code)
        return replace(observed, state=state, error=error, final=True)
    pending = any(_policy(member) == ALWAYS or one.exit_code != 0 for member, one in present if _ended(one))
    return replace(observed, state="restarting" if state == "exited" and pending else state)


def ended_badly(member: Member, exit_code: int | None) -> str:
    return f"Container {member.name} ended with exit code {exit_code if exit_code is not None else 'unknown'}."


def _policy(member: Member) -> str:
    return member.spec.restart_policy.name if member.spec.restart_policy else NEVER


def _returns(member: Member) -> bool:
    """Whether Docker starts it again after it has failed."""
    return _policy(member) != NEVER


def _ended(one: Observed) -> bool:
    return one.state in ("exited", "dead")


def _state(states: list[str]) -> str:
    return next((state for state in ("restarting", "running", "paused") if state in states), "exited")


def _is_later(moment: str, other: str) -> bool:
    """Of Docker's times, whose fractions of a second have as many digits as they need."""
    return _sortable(moment) >= _sortable(other)


def _sortable(moment: str) -> tuple[str, str]:
    seconds, _, fraction = moment.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
