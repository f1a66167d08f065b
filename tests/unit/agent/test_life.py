# SPDX-License-Identifier: Apache-2.0
"""What a host does when a container is to stand still, take a signal, be held to other limits, or heal."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.agent.fakes import IMAGE, Killed, a_workload, ordered
from tests.unit.agent.test_reconciler import Base
from zun_lite.domain import errors
from zun_lite.domain.lifecycle import OFF, ON, PAUSED, PRESENT, Goal, status_of
from zun_lite.domain.plan import Step
from zun_lite.domain.spec import ContainerSpec, RestartPolicy

HEALING = ContainerSpec(IMAGE, auto_heal=True)


class LifeCase(Base):
    def shown(self, workload) -> tuple[str, str | None, str | None]:
        status = status_of(workload.goal, workload.generation, self.host.observed(workload.uuid))
        return status.status, status.task_state, status.reason

    def fresh(self) -> None:
        """Forget what was asked of the engine so far."""
        self.host.runtime.calls.clear()

    def verbs(self) -> list[str]:
        return self.host.runtime.verbs()


class Pauses(LifeCase):
    def test_pause_and_its_end(self):
        workload = ordered(self.running(), power=PAUSED)
        self.follow(workload)
        self.assertEqual(("Paused", None, None), self.shown(workload))
        workload = ordered(workload, power=ON)
        self.follow(workload)
        self.assertEqual(("Running", None, None), self.shown(workload))
        self.assertEqual(["create", "start", "pause", "unpause"], self.verbs())

    def test_a_stranger_who_pauses_it_does_not_win(self):
        workload = self.running()
        self.host.runtime.freeze(workload.uuid)
        self.host.look(workload.uuid)
        self.assertEqual("Running", self.status(workload))

    def test_a_pause_that_fails_is_given_up_and_what_runs_runs_on(self):
        workload = ordered(self.running(), power=PAUSED)
        self.host.runtime.fail_next("pause", *[errors.Failed("cannot freeze")] * 3)
        self.host.put(workload)
        for _ in range(3):
            self.assertEqual("Running", self.status(workload))
            self.host.look(workload.uuid)
        self.assertEqual(("Running", None, "cannot freeze"), self.shown(workload))
        self.host.look(workload.uuid)
        self.assertEqual(3, self.verbs().count("pause"))

    def test_what_was_paused_before_a_boot_runs_and_pauses_after_it(self):
        workload = ordered(self.running(), power=PAUSED)
        self.follow(workload)
        self.host.runtime.reboot()
        self.host.boot_id = "boot-2"
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual("Paused", self.status(workload))

    def test_what_ended_while_it_was_paused_is_stopped(self):
        workload = ordered(self.running(), power=PAUSED)
        self.follow(workload)
        self.host.runtime.exit(workload.uuid, 9)
        self.host.look(workload.uuid)
        self.assertEqual(("Stopped", None, None), self.shown(workload))


class Signals(LifeCase):
    def test_a_kill_is_carried_out_once(self):
        workload = ordered(self.running(), signals=1, signal="SIGHUP")
        self.follow(workload)
        self.host.look(workload.uuid)
        self.assertEqual(("Running", None, None), self.shown(workload))
        self.assertEqual([("signal", "SIGHUP")], [call for call in self.host.runtime.calls if call[0] == "signal"])

    def test_what_was_killed_stays_down_whatever_its_restart_policy(self):
        spec = ContainerSpec(IMAGE, restart_policy=RestartPolicy("always"))
        workload = ordered(self.running(spec=spec), signals=1, signal="SIGKILL")
        self.follow(workload)
        for _ in range(3):
            self.host.look(workload.uuid)
        self.assertEqual(("Stopped", None, None), self.shown(workload))
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual("Stopped", self.status(workload))

    def test_one_that_was_killed_once_is_kept_running_again_after_its_next_start(self):
        spec = ContainerSpec(IMAGE, restart_policy=RestartPolicy("always"))
        workload = ordered(self.running(spec=spec), signals=1, signal="SIGKILL")
        self.follow(workload)
        workload = ordered(workload, run=2)
        self.follow(workload)
        self.host.runtime.exit(workload.uuid)
        self.host.look(workload.uuid)
        self.assertEqual("Running", self.status(workload))

    def test_a_signal_that_came_too_late_is_dropped(self):
        workload = self.running()
        self.host.runtime.exit(workload.uuid)
        workload = ordered(workload, signals=1, signal="SIGKILL")
        self.follow(workload)
        self.assertEqual(("Stopped", None, None), self.shown(workload))
        self.assertNotIn("signal", self.verbs())

    def test_a_signal_before_a_restart_goes_with_what_ran(self):
        workload = ordered(ordered(self.running(), signals=1, signal="SIGKILL"), run=2)
        self.follow(workload)
        self.assertEqual(("Running", None, None), self.shown(workload))
        self.assertNotIn("signal", self.verbs())

    def test_a_signal_that_is_refused_is_not_sent_with_the_next_goal(self):
        workload = ordered(self.running(), signals=1, signal="SIGHUP")
        self.host.runtime.fail_next("signal", *[errors.Failed("no")] * 3)
        self.host.put(workload)
        for _ in range(3):
            self.host.look(workload.uuid)
        self.assertEqual(("Running", None, "no"), self.shown(workload))
        self.fresh()
        self.follow(ordered(workload))
        self.assertEqual([], self.verbs())


class Limits(LifeCase):
    def resized(self, workload, cpus=2.0, memory_mib=64):
        return replace(ordered(workload), spec=replace(workload.spec, cpus=cpus, memory_mib=memory_mib))

    def limits(self, workload) -> tuple[float, int]:
        spec = self.host.runtime.order_of(workload.uuid).spec
        return spec.cpus, spec.memory_mib

    def test_other_limits_hold_without_a_restart(self):
        workload = self.resized(self.running())
        self.follow(workload)
        self.host.look(workload.uuid)
        self.assertEqual((2.0, 64), self.limits(workload))
        self.assertEqual(["create", "start", "limit"], self.verbs())

    def test_limits_that_are_refused_are_said_and_what_runs_runs_on(self):
        workload = self.resized(self.running())
        self.host.runtime.fail_next("limit", *[errors.Failed("in use")] * 3)
        self.host.put(workload)
        for _ in range(3):
            self.host.look(workload.uuid)
        self.assertEqual(("Running", None, "in use"), self.shown(workload))
        self.assertTrue(self.host.observed(workload.uuid).final)
        self.fresh()
        workload = ordered(workload, power=PAUSED)
        self.follow(workload)
        self.assertEqual((["pause"], "Paused"), (self.verbs(), self.status(workload)))
        workload = ordered(workload, power=ON, run=2)
        self.follow(workload)
        self.assertEqual((2.0, 64), self.limits(workload))
        self.assertEqual(("Running", None, None), self.shown(workload))

    def test_refused_limits_do_not_keep_it_from_stopping(self):
        workload = self.resized(ordered(self.running(), power=OFF))
        self.host.runtime.fail_next("limit", errors.Failed("in use"))
        self.follow(workload)
        self.assertEqual("exited", self.host.seen(workload.uuid).state)

    def test_one_made_before_the_agent_died_is_held_to_the_limits_of_now(self):
        workload = a_workload()
        self.host.put(workload)
        self.host.performer.die_at = (Step.CREATE, "after")
        with self.assertRaises(Killed):
            self.host.look(workload.uuid)
        self.host.restart()
        workload = self.resized(workload)
        self.follow(workload)
        self.assertEqual((2.0, 64), self.limits(workload))
        self.assertEqual("Running", self.status(workload))

    def test_a_lost_journal_changes_no_limits(self):
        workload = self.running()
        self.host.journal.forget(workload.uuid)
        self.host.restart()
        self.fresh()
        self.host.look(workload.uuid)
        self.assertEqual([], self.verbs())


class Healing(LifeCase):
    def test_an_unhealthy_one_is_restarted_if_it_heals(self):
        workload = self.running(spec=HEALING)
        self.host.runtime.say_health(workload.uuid, "unhealthy")
        self.fresh()
        self.host.look(workload.uuid)
        self.assertEqual(["stop", "start"], self.verbs())
        self.assertEqual(("Running", None, None), self.shown(workload))
        self.host.runtime.say_health(workload.uuid, "healthy")
        self.host.look(workload.uuid)
        self.assertEqual(["stop", "start"], self.verbs())
        self.assertEqual("healthy", self.host.observed(workload.uuid).health)

    def test_an_unhealthy_one_that_does_not_heal_runs_on_and_says_so(self):
        workload = self.running()
        self.host.runtime.say_health(workload.uuid, "unhealthy")
        self.fresh()
        self.host.look(workload.uuid)
        self.assertEqual([], self.verbs())
        self.assertEqual(("Running", None, "The container runs, but its health check fails."), self.shown(workload))

    def test_a_healing_that_was_cut_off_is_ended(self):
        for when in ((Step.INTEND, "after"), (Step.STOP, "after"), (Step.START, "before"), (Step.START, "after")):
            with self.subTest(when=when):
                workload = self.running(spec=HEALING)
                self.host.runtime.say_health(workload.uuid, "unhealthy")
                self.host.performer.die_at = when
                with self.assertRaises(Killed):
                    self.host.look(workload.uuid)
                self.host.restart()
                self.fresh()
                self.host.look(workload.uuid)
                self.host.look(workload.uuid)
                self.assertEqual("running", self.host.seen(workload.uuid).state)
                self.assertIsNone(self.host.seen(workload.uuid).health)
                self.assertLessEqual(self.verbs().count("start"), 1)

    def test_what_a_user_killed_is_not_healed(self):
        workload = ordered(self.running(spec=HEALING), signals=1, signal="SIGKILL")
        self.host.runtime.say_health(workload.uuid, "unhealthy")
        self.follow(workload)
        self.host.look(workload.uuid)
        self.assertEqual("Stopped", self.status(workload))

    def test_what_is_paused_is_not_healed(self):
        workload = ordered(self.running(spec=HEALING), power=PAUSED)
        self.host.runtime.say_health(workload.uuid, "unhealthy")
        self.follow(workload)
        self.assertEqual("Paused", self.status(workload))

    def test_a_restart_while_only_created_is_its_first_start(self):
        workload = a_workload(Goal(PRESENT, OFF, 0, 1))
        self.follow(workload)
        workload = ordered(workload, power=ON, run=1, reboot_run=1)
        self.assertEqual(("Restarting", "container_rebooting", None), self.shown(workload))
        self.follow(workload)
        self.assertEqual(("Running", None, None), self.shown(workload))
