# SPDX-License-Identifier: Apache-2.0
"""plan(): whatever the host looks like, following the plan leads to what should be, and then it is empty."""

from __future__ import annotations

import unittest
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zun_lite.domain.lifecycle import ABSENT, OFF, ON, PAUSED, PRESENT, UNHEALTHY, Goal
from zun_lite.domain.plan import Done, Seen, Step, noted_run, noted_signal, plan, recovered

NEVER = "0001-01-01T00:00:00Z"
EARLIER, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
LIMITS = (1.0, 64)
PORTS = ("p1", "p2")


class Model:
    """What performing the steps does to an engine and a journal."""

    def __init__(
        self, goal: Goal, epoch: int, done: Done, seen: Seen | None, boot_id: str = "b2", deaf: bool = False
    ) -> None:
        """deaf: no signal ends what runs."""
        self.deaf = deaf
        self.goal, self.epoch, self.done, self.seen, self.boot_id = goal, epoch, done, seen, boot_id
        self.starts = 0
        self.connected = False

    def perform(self, step: Step) -> None:
        if step is Step.CREATE:
            assert self.seen is None, "made beside another"
            self.seen = Seen("new", "created", self.epoch, self.goal.build, NEVER)
        elif step is Step.PLUG:
            assert self.seen is not None
            self.connected = True
            self.done = replace(self.done, ports=PORTS)
        elif step is Step.NOTE_BUILD:
            assert self.seen is not None
            self.done = replace(
                self.done,
                epoch=self.seen.epoch,
                build=self.seen.build,
                container_id=self.seen.container_id,
                run=0,
                intent_run=0,
                intent_started_at="",
                signals=self.goal.signals,
                limits=LIMITS if self.seen.container_id == "new" else None,
                absent=False,
            )
        elif step is Step.START:
            assert self.seen is not None and not self.seen.alive, "started what runs"
            self.done = replace(self.done, intent_run=self.goal.run, intent_started_at=self.seen.started_at)
            self.seen = replace(self.seen, state="running", started_at=NOW, health=None)
            self.starts += 1
        elif step is Step.NOTE_RUN:
            self.done = noted_run(self.goal, self.done, self.boot_id)
        elif step is Step.INTEND:
            self.done = replace(self.done, intent_run=self.goal.run, intent_started_at=self.seen.started_at)
        elif step is Step.PAUSE:
            if self.seen.state == "running":
                self.seen = replace(self.seen, state="paused")
        elif step is Step.UNPAUSE:
            if self.seen.state == "paused":
                self.seen = replace(self.seen, state="running")
        elif step is Step.SIGNAL:
            self.done = noted_signal(self.goal, self.done, self.seen)
            if self.seen.alive and self.goal.signal == "SIGKILL" and not self.deaf:
                self.seen = replace(self.seen, state="exited")
        elif step is Step.REWIRE:
            assert self.seen is not None and self.done.container_id == self.seen.container_id
            self.done = replace(self.done, ports=PORTS)
        elif step is Step.LIMITS:
            assert self.seen is not None
            self.done = replace(self.done, limits=LIMITS, limits_refused=False)
        elif step is Step.STOP:
            assert self.seen is not None
            if self.seen.alive:
                self.seen = replace(self.seen, state="exited")
        elif step is Step.REMOVE:
            assert self.seen is not None and not self.seen.alive, "removed what runs"
            self.seen = None
        elif step is Step.NOTE_ABSENT:
            assert self.seen is None
            self.done = replace(self.done, epoch=self.epoch, absent=True, container_id="")

    def plan(self, **options) -> tuple[Step, ...]:
        wanted = {"limits": LIMITS, "ports": PORTS}
        return plan(self.goal, self.epoch, self.done, self.seen, boot_id=self.boot_id, **wanted, **options)

    def settle(self) -> None:
        self.done = replace(self.done, boot_id=self.boot_id, was_running=self.seen is not None and self.seen.alive)

    def is_as_wanted(self) -> bool:
        if self.goal.presence == ABSENT:
            return self.seen is None and self.done.absent
        if self.seen is None or self.seen.build < self.goal.build or self.seen.epoch != self.epoch:
            return False
        if self.done.signals < self.goal.signals or (self.done.limits, self.done.ports) != (LIMITS, PORTS):
            return False
        if self.goal.power == OFF:
            return not self.seen.alive
        return self.done.run >= self.goal.run and self.seen.state != (
            "running" if self.goal.power == PAUSED else "paused"
        )


goals = st.builds(
    Goal,
    presence=st.sampled_from((PRESENT, PRESENT, ABSENT)),
    power=st.sampled_from((ON, OFF, PAUSED)),
    run=st.integers(0, 3),
    build=st.integers(1, 3),
    signals=st.integers(0, 2),
    signal=st.sampled_from(("SIGKILL", "SIGHUP")),
)
seens = st.none() | st.builds(
    Seen,
    container_id=st.sampled_from(("c1", "c2")),
    state=st.sampled_from(("created", "running", "paused", "restarting", "exited", "dead")),
    epoch=st.integers(1, 2),
    build=st.integers(1, 3),
    started_at=st.sampled_from((NEVER, EARLIER)),
    health=st.sampled_from((None, "healthy", UNHEALTHY)),
)
dones = st.builds(
    Done,
    epoch=st.integers(0, 2),
    run=st.integers(0, 3),
    build=st.integers(0, 3),
    container_id=st.sampled_from(("", "c1", "c2")),
    absent=st.booleans(),
    intent_run=st.integers(0, 3),
    intent_started_at=st.sampled_from(("", NEVER, EARLIER)),
    signals=st.integers(0, 2),
    ended_started_at=st.sampled_from(("", NEVER, EARLIER)),
    limits=st.sampled_from((None, (0.5, 64), (1.0, 64))),
    limits_refused=st.booleans(),
    boot_id=st.sampled_from(("", "b1", "b2")),
    was_running=st.booleans(),
    ports=st.sampled_from((None, (), ("p1",), PORTS)),
)


class PlanLeadsToTheGoal(unittest.TestCase):
    @settings(max_examples=1000, deadline=None)
    @given(goals, dones, seens, st.booleans(), st.booleans(), st.booleans())
    def test_a_plan_that_is_followed_leaves_nothing_to_do(self, goal, done, seen, auto_heal, restarts, deaf):
        model = Model(goal, 2, done, seen, deaf=deaf)
        options = {"auto_heal": auto_heal, "restarts": restarts}
        steps = model.plan(**options)
        if steps == (Step.REPORT_LOST,):
            return
        for step in steps:
            model.perform(step)
        model.settle()
        self.assertEqual(model.plan(**options), ())
        self.assertTrue(model.is_as_wanted(), (steps, model.done, model.seen))

    @settings(max_examples=1000, deadline=None)
    @given(goals, dones, seens, st.booleans(), st.integers(0, 12))
    def test_dying_after_any_step_and_planning_anew_ends_at_the_goal_with_one_start(
        self, goal, done, seen, auto_heal, steps_done
    ):
        # no agent notes a newer container than the one that is there
        assume(seen is None or (done.epoch, done.build) <= (seen.epoch, seen.build))
        model = Model(goal, 2, done, seen)
        steps = model.plan(auto_heal=auto_heal)
        if steps == (Step.REPORT_LOST,):
            return
        for step in steps[:steps_done]:
            model.perform(step)
        for step in model.plan(auto_heal=auto_heal):
            model.perform(step)
        model.settle()
        self.assertEqual(model.plan(auto_heal=auto_heal), ())
        self.assertTrue(model.is_as_wanted(), (steps, model.done, model.seen))
        self.assertLessEqual(model.starts, 1)

    @given(goals, dones, seens)
    def test_a_start_is_always_after_the_container_was_connected(self, goal, done, seen):
        steps = plan(goal, 2, done, seen, boot_id="b2")
        if Step.START in steps:
            self.assertIn(Step.PLUG, steps[: steps.index(Step.START)])

    @given(goals, dones, seens)
    def test_an_order_older_than_the_container_plans_nothing(self, goal, done, seen):
        if seen is not None:
            self.assertEqual(plan(goal, seen.epoch - 1, done, seen, boot_id="b2"), ())


class PlanInWords(unittest.TestCase):
    made = Done(epoch=1, run=1, build=1, container_id="c1", boot_id="b1", was_running=True)
    running = Seen("c1", "running", 1, 1, EARLIER)

    def plan(self, goal=None, done=None, seen=None, boot_id="b1", **options):
        return plan(goal or Goal(PRESENT, ON, 1, 1), 1, done or self.made, seen, boot_id=boot_id, **options)

    def test_one_that_ended_by_itself_is_left_so(self):
        self.assertEqual(self.plan(seen=replace(self.running, state="exited")), ())

    def test_one_that_ran_before_a_boot_runs_after_it(self):
        steps = self.plan(seen=replace(self.running, state="exited"), boot_id="b2")
        self.assertEqual(steps, (Step.DISKS, Step.PLUG, Step.START, Step.NOTE_RUN))

    def test_one_that_had_ended_before_a_boot_does_not_run_after_it(self):
        done = replace(self.made, was_running=False)
        self.assertEqual(self.plan(done=done, seen=replace(self.running, state="exited"), boot_id="b2"), ())

    def test_a_restart_policy_that_docker_gave_up_on_is_kept(self):
        gone = replace(self.running, state="exited")
        self.assertIn(Step.START, self.plan(seen=gone, restarts=True))
        self.assertEqual(self.plan(seen=replace(self.running, state="restarting"), restarts=True), ())

    def test_a_start_that_took_hold_is_noted_and_not_repeated(self):
        done = replace(self.made, intent_run=2, intent_started_at="2025-01-01T00:00:00Z")
        self.assertEqual(self.plan(Goal(PRESENT, ON, 2, 1), done, self.running), (Step.NOTE_RUN,))

    def test_a_new_run_of_what_runs_is_a_restart(self):
        steps = self.plan(Goal(PRESENT, ON, 2, 1), seen=self.running)
        self.assertEqual(steps, (Step.STOP, Step.DISKS, Step.PLUG, Step.START, Step.NOTE_RUN))

    def test_a_rebuild_gets_its_image_before_it_stops_what_runs(self):
        steps = self.plan(Goal(PRESENT, ON, 1, 2), seen=self.running)
        self.assertEqual(steps[:4], (Step.IMAGE, Step.STOP, Step.REMOVE, Step.UNPLUG))
        self.assertEqual(steps[-2:], (Step.START, Step.NOTE_RUN))

    def test_one_that_is_gone_is_lost_unless_it_heals(self):
        self.assertEqual(self.plan(), (Step.REPORT_LOST,))
        self.assertIn(Step.CREATE, self.plan(auto_heal=True))

    def test_one_made_but_not_noted_after_healing_is_started(self):
        steps = self.plan(seen=Seen("c2", "created", 1, 1, NEVER), auto_heal=True)
        self.assertEqual(steps, (Step.DISKS, Step.PLUG, Step.NOTE_BUILD, Step.START, Step.NOTE_RUN))

    def test_a_lost_journal_restarts_nothing_that_runs(self):
        goal = Goal(PRESENT, ON, 4, 1)
        self.assertEqual(self.plan(goal, recovered(goal, self.running), self.running), ())

    def test_a_lost_journal_still_starts_what_never_ran(self):
        goal, made = Goal(PRESENT, ON, 1, 1), Seen("c1", "created", 1, 1, NEVER)
        self.assertIn(Step.START, self.plan(goal, recovered(goal, made), made))

    def test_what_runs_is_rewired_as_it_runs_and_what_lies_still_has_its_wiring_recorded(self):
        done = replace(self.made, ports=("p1",))
        for state, steps in (("running", (Step.REWIRE,)), ("paused", (Step.UNPAUSE, Step.REWIRE))):
            seen = replace(self.running, state=state)
            self.assertEqual(self.plan(done=done, seen=seen, ports=PORTS), steps)
        gone = replace(self.running, state="exited")
        self.assertEqual(self.plan(done=done, seen=gone, ports=PORTS), (Step.PLUG,))
        self.assertEqual(self.plan(Goal(PRESENT, OFF, 1), done, self.running, ports=PORTS), (Step.STOP, Step.PLUG))
        self.assertEqual(self.plan(done=done, seen=self.running, ports=("p1",)), ())

    def test_a_start_connects_anyway(self):
        done = replace(self.made, ports=("p1",))
        steps = self.plan(Goal(PRESENT, ON, 2, 1), done, self.running, ports=PORTS)
        self.assertNotIn(Step.REWIRE, steps)
        self.assertEqual(steps.count(Step.PLUG), 1)

    def test_a_journal_that_does_not_know_the_wiring_rewires_once(self):
        self.assertEqual(self.plan(seen=self.running, ports=PORTS), (Step.REWIRE,))

    def test_what_was_never_made_is_absent_at_once(self):
        steps = self.plan(Goal(ABSENT), Done())
        self.assertEqual(steps, (Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT))

    def test_a_journal_survives_its_json(self):
        done = replace(self.made, formatted=("v1",), attachments=(("v1", 3),))
        self.assertEqual(Done.from_json(done.to_json()), done)
