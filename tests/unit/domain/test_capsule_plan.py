# SPDX-License-Identifier: Apache-2.0
"""The plan of a capsule against a world in which every step does what it says, or is cut off."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from zun_lite.domain.capsule import ALWAYS, NEVER, ON_FAILURE, Member, assemble
from zun_lite.domain.capsule_plan import SANDBOX, CapsuleSeen, MemberStep, plan, recovered, settled
from zun_lite.domain.lifecycle import ABSENT, Goal
from zun_lite.domain.plan import Done, MemberDone, Seen, Step
from zun_lite.domain.spec import ContainerSpec

GOAL = Goal(power="on", run=1, build=1)
NOT_STARTED = "0001-01-01T00:00:00Z"


def a_spec(containers: int, inits: int, policy: str):
    members = tuple(Member(f"c{number}", f"c{number}", ContainerSpec("demo")) for number in range(containers))
    init_members = tuple(Member(f"i{number}", f"i{number}", ContainerSpec("demo")) for number in range(inits))
    return assemble(members, init_members, (), policy)


@dataclass
class World:
    """Docker and the journal, as far as the plan knows of them. joined: what each member is really in."""

    spec: object
    goal: Goal = GOAL
    epoch: int = 1
    boot_id: str = "b1"
    done: Done = Done()
    containers: dict[str, Seen] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    plugged: set[str] = field(default_factory=set)
    log: list[tuple[Step, str]] = field(default_factory=list)
    clock: int = 0
    lost: bool = False
    failed: bool = False

    @property
    def seen(self) -> CapsuleSeen:
        members = {uuid: one for uuid, one in self.containers.items() if uuid != SANDBOX}
        return CapsuleSeen(self.containers.get(SANDBOX), members)

    def plan(self):
        return plan(self.spec, self.goal, self.epoch, self.done, self.seen, boot_id=self.boot_id)

    def pass_once(self, cut_after: int | None = None) -> bool:
        """Whether anything was done. cut_after: the agent dies after so many steps."""
        steps = self.plan()
        for number, step in enumerate(steps):
            if number == cut_after:
                return True
            if not self.perform(step):
                return False
        self.done = settled(replace(self.done, boot_id=self.boot_id), self.seen)
        return bool(steps) and not self.lost

    def settle(self) -> None:
        for _ in range(60):
            if not self.pass_once():
                return
        raise AssertionError(f"never settles: {self.log[-12:]}")

    def perform(self, step) -> bool:
        if not isinstance(step, MemberStep):
            return self._whole(step)
        for uuid in step.members:
            self.log.append((step.step, uuid))
            if step.step is Step.REPORT_FAILED:
                self.failed = True
                return False
            getattr(self, f"_{step.step.value}")(uuid)
        return True

    def _whole(self, step: Step) -> bool:
        if step is Step.REPORT_LOST:
            self.lost = True
        elif step is Step.NOTE_BUILD:
            sandbox_id = self.containers[SANDBOX].container_id
            self.done = replace(self.done, epoch=self.epoch, build=1, container_id=sandbox_id, absent=False)
        elif step is Step.NOTE_RUN:
            self.done = replace(self.done, run=1)
        elif step is Step.NOTE_ABSENT:
            self.done = replace(self.done, absent=True, epoch=self.epoch)
        elif step is Step.UNPLUG:
            self.plugged -= {note.container_id for _, note in self.done.members} | {self.done.container_id}
            self.done = replace(self.done, members=())
        return True

    def tick(self) -> str:
        self.clock += 1
        return f"2026-01-01T00:00:00.{self.clock:09d}Z"

    def _create(self, uuid: str) -> None:
        made = self.containers.get(uuid)
        if made is None or made.epoch < self.epoch:
            self.containers[uuid] = Seen(f"{uuid}@{self.tick()}", "created", self.epoch, 1, NOT_STARTED)

    def _plug(self, uuid: str) -> None:
        self.plugged.add(self.containers[uuid].container_id)

    def _start(self, uuid: str) -> None:
        before = self.containers[uuid]
        assert before.container_id in self.plugged
        if uuid != SANDBOX:
            sandbox = self.containers[SANDBOX]
            assert sandbox.alive, "a member has nothing to join"
            note = MemberDone(before.container_id, "", sandbox.started_at, before.started_at)
            self.note(uuid, note)
        self.start_by_docker(uuid)
        self.starts[uuid] = self.starts.get(uuid, 0) + 1
        if uuid != SANDBOX:
            self._note_run(uuid)

    def start_by_docker(self, uuid: str) -> None:
        self.containers[uuid] = replace(self.containers[uuid], state="running", started_at=self.tick(), exit_code=None)
        if uuid != SANDBOX:
            self.joined[uuid] = self.containers[SANDBOX].started_at

    def _note_run(self, uuid: str) -> None:
        note = dict(self.done.members)[uuid]
        self.note(uuid, MemberDone(note.container_id, joined=note.intent, was_running=True))

    def note(self, uuid: str, note: MemberDone) -> None:
        self.done = replace(self.done, members=tuple(sorted({**dict(self.done.members), uuid: note}.items())))

    def _stop(self, uuid: str) -> None:
        self.exit(uuid, 137)

    def exit(self, uuid: str, code: int) -> None:
        if uuid in self.containers and self.containers[uuid].alive:
            self.containers[uuid] = replace(self.containers[uuid], state="exited", exit_code=code)

    def _unplug(self, uuid: str) -> None:
        self.plugged.discard(self.containers[uuid].container_id)

    def _remove(self, uuid: str) -> None:
        assert not self.containers[uuid].alive
        del self.containers[uuid]

    def reboot(self, boot_id: str) -> None:
        self.boot_id = boot_id
        for uuid in self.containers:
            self.exit(uuid, 255)

    def forget(self) -> None:
        self.done = recovered(self.spec, self.goal, self.seen)


ONE = st.sampled_from(("c0", "c1", "i0", "i1"))
HAPPENINGS = st.one_of(
    st.tuples(st.just("exit"), ONE, st.sampled_from((0, 0, 1))),
    st.tuples(st.just("sandbox restarts"), st.none(), st.none()),
    st.tuples(st.just("sandbox ends"), st.none(), st.none()),
    st.tuples(st.just("reboot"), st.none(), st.none()),
    st.tuples(st.just("forget"), st.none(), st.none()),
    st.tuples(st.just("cut"), st.integers(0, 8), st.none()),
    st.tuples(st.just("pass"), st.none(), st.none()),
)
WORLDS = st.tuples(st.integers(1, 2), st.integers(0, 2), st.sampled_from((ALWAYS, ON_FAILURE, NEVER)))


class WhateverHappens(unittest.TestCase):
    @settings(max_examples=400, deadline=None)
    @given(WORLDS, st.lists(HAPPENINGS, max_size=14))
    def test_it_settles_in_one_network_after_all_inits_ended_well(self, shape, happenings) -> None:
        world = self._live(shape, happenings)
        world.settle()
        self._check(world)

    @settings(max_examples=200, deadline=None)
    @given(WORLDS, st.lists(HAPPENINGS, max_size=10), st.integers(0, 8))
    def test_deleting_it_leaves_nothing_wherever_it_is_cut_off(self, shape, happenings, cut) -> None:
        world = self._live(shape, happenings)
        world.goal = replace(world.goal, presence=ABSENT, power="off")
        world.lost = False
        world.pass_once(cut)
        world.settle()
        self.assertEqual(({}, True), (world.containers, world.done.absent))

    @settings(max_examples=200, deadline=None)
    @given(WORLDS, st.lists(HAPPENINGS, max_size=10), st.integers(0, 8))
    def test_a_new_epoch_replaces_all(self, shape, happenings, cut) -> None:
        world = self._live(shape, happenings)
        world.epoch, world.lost, world.failed = 2, False, False
        world.pass_once(cut)
        world.settle()
        self.assertEqual({2}, {one.epoch for one in world.containers.values()})

    def test_a_newer_epoch_is_left_alone(self) -> None:
        world = World(a_spec(1, 0, ALWAYS), epoch=2)
        world.settle()
        world.epoch = 1
        self.assertEqual((), world.plan())

    def _live(self, shape, happenings) -> World:
        world = World(a_spec(*shape))
        for number, (what, who, how) in enumerate(happenings):
            if what == "exit":
                world.exit(who, how)
            elif what == "cut":
                world.pass_once(who)
            elif what == "pass":
                world.pass_once()
            elif what == "reboot":
                world.reboot(f"boot {number}")
            elif what == "forget":
                world.forget()
            elif SANDBOX in world.containers:
                world.exit(SANDBOX, 137)
                if what == "sandbox restarts" and world.containers[SANDBOX].container_id in world.plugged:
                    world.start_by_docker(SANDBOX)
        return world

    def _check(self, world: World) -> None:
        self.assertEqual((), () if world.failed else world.plan())
        sandbox = world.containers[SANDBOX]
        self.assertTrue(sandbox.alive or world.failed)
        for uuid, one in world.containers.items():
            if uuid != SANDBOX and one.alive and not world.failed:
                self.assertEqual(sandbox.started_at, world.joined[uuid], f"{uuid} is in a network that is gone")
        made = [uuid for step, uuid in world.log if step is Step.CREATE]
        inits = [member.uuid for member in world.spec.init_members]
        self.assertEqual(sorted(made, key=lambda uuid: (uuid != SANDBOX, uuid[:1] == "c")), made)
        if any(uuid.startswith("c") for uuid in made):
            self.assertTrue(all(world.containers[uuid].exit_code == 0 for uuid in inits))
            if world.spec.restart_policy.name == ALWAYS:
                self.assertTrue(all(world.containers[member.uuid].alive for member in world.spec.members))
