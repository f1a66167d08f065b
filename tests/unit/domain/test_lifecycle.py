# SPDX-License-Identifier: Apache-2.0
"""What users are told of a workload, out of goal and observed."""

import unittest
from dataclasses import replace

from zun_lite.domain.lifecycle import (
    ABSENT,
    ACTIONS,
    EVERY_STATUS,
    OFF,
    ON,
    Goal,
    Observed,
    carried_out,
    failed,
    status_of,
)

RUNNING = Observed(generation=1, epoch=1, run=1, build=1, state="running")
WANTED = Goal(power=ON, run=1)


class StatusTest(unittest.TestCase):
    def test_what_no_host_has_seen_is_creating(self):
        self.assertEqual(("Creating", "container_creating"), _shown(WANTED, 1, None))

    def test_a_created_container_that_is_to_run_is_starting(self):
        seen = Observed(generation=0, epoch=1, build=1, state="created")
        self.assertEqual(("Created", "container_starting"), _shown(WANTED, 1, seen))

    def test_a_container_that_was_only_to_be_created_is_idle(self):
        seen = Observed(generation=1, epoch=1, build=1, state="created")
        self.assertEqual(("Created", None), _shown(Goal(), 1, seen))

    def test_a_running_container_is_running(self):
        self.assertEqual(("Running", None), _shown(WANTED, 1, RUNNING))

    def test_a_container_that_ended_by_itself_is_stopped(self):
        seen = Observed(generation=1, epoch=1, run=1, build=1, state="exited", exit_code=0)
        self.assertEqual(("Stopped", None), _shown(WANTED, 1, seen))

    def test_a_stop_shows_while_it_is_carried_out(self):
        self.assertEqual(("Running", "container_stopping"), _shown(Goal(power=OFF, run=1), 2, RUNNING))

    def test_a_second_run_of_a_running_container_is_a_restart(self):
        self.assertEqual(("Restarting", "container_rebooting"), _shown(Goal(power=ON, run=2), 2, RUNNING))

    def test_a_final_error_of_this_generation_is_an_error_with_its_reason(self):
        seen = Observed(generation=1, epoch=1, error="no such image", final=True)
        status = status_of(WANTED, 1, seen)
        self.assertEqual(("Error", None, "no such image"), (status.status, status.task_state, status.reason))

    def test_an_error_of_an_older_generation_is_forgotten(self):
        seen = Observed(generation=1, epoch=1, error="no such image", final=True)
        self.assertEqual("Creating", status_of(WANTED, 2, seen).status)

    def test_an_error_that_will_be_tried_again_is_not_shown_as_one(self):
        seen = Observed(generation=1, epoch=1, error="registry is slow", final=False)
        self.assertEqual("Creating", status_of(WANTED, 1, seen).status)

    def test_what_its_host_waits_for_is_told_while_it_tries_again(self):
        away = "netd does not answer"
        for goal, seen, status in (
            (WANTED, Observed(generation=0, epoch=1, error=away), "Creating"),
            (replace(WANTED, build=2), replace(RUNNING, error=away), "Rebuilding"),
            (WANTED, replace(RUNNING, error=away), "Running"),
            (replace(WANTED, presence=ABSENT), replace(RUNNING, error=away), "Deleting"),
        ):
            shown = status_of(goal, 2, seen)
            self.assertEqual((status, away), (shown.status, shown.reason))
        self.assertIsNone(status_of(WANTED, 1, RUNNING).reason)
        self.assertIsNone(status_of(WANTED, 2, replace(RUNNING, error=away, final=True)).reason)

    def test_what_could_not_be_placed_is_an_error(self):
        self.assertEqual("Error", status_of(WANTED, 1, None, failure="There are not enough hosts available.").status)

    def test_a_silent_host_makes_its_workloads_unknown(self):
        self.assertEqual("Unknown", status_of(WANTED, 1, RUNNING, host_known=False).status)

    def test_an_unwanted_workload_is_deleting_whatever_was_seen(self):
        for seen in (None, RUNNING):
            self.assertEqual(("Deleting", "container_deleting"), _shown(Goal(presence=ABSENT), 2, seen))

    def test_a_container_gone_behind_our_back_is_an_error(self):
        seen = Observed(generation=1, epoch=1, run=1, build=1, state="missing")
        self.assertEqual("Error", status_of(WANTED, 1, seen).status)


class ActionsTest(unittest.TestCase):
    def test_every_allowed_status_exists(self):
        for action in ACTIONS.values():
            self.assertLessEqual(action.allowed, EVERY_STATUS)

    def test_a_start_is_a_new_run(self):
        self.assertEqual(Goal(power=ON, run=3), ACTIONS["start"].change(Goal(power=OFF, run=2), "Stopped"))

    def test_a_paused_container_cannot_be_deleted_even_by_force(self):
        for action in ("delete", "delete_stop", "delete_force"):
            self.assertNotIn("Paused", ACTIONS[action].allowed)

    def test_a_running_container_is_deleted_only_with_stop_or_force(self):
        self.assertEqual(
            [False, True, True],
            ["Running" in ACTIONS[name].allowed for name in ("delete", "delete_stop", "delete_force")],
        )


class CarriedOutTest(unittest.TestCase):
    def test_an_older_generation_has_not_carried_out_the_goal(self):
        self.assertFalse(carried_out(Goal(power=OFF, run=1), 2, RUNNING))

    def test_a_run_that_ended_has_been_carried_out(self):
        seen = Observed(generation=1, epoch=1, run=1, build=1, state="exited")
        self.assertTrue(carried_out(WANTED, 1, seen))

    def test_removal_is_carried_out_when_nothing_is_left(self):
        gone = Observed(generation=2, epoch=1, build=1, state="absent")
        self.assertTrue(carried_out(Goal(presence=ABSENT), 2, gone))

    def test_only_final_errors_are_failures(self):
        self.assertFalse(failed(1, Observed(generation=1, error="slow", final=False)))
        self.assertTrue(failed(1, Observed(generation=1, error="no", final=True)))


def _shown(goal, generation, observed):
    status = status_of(goal, generation, observed)
    return status.status, status.task_state


if __name__ == "__main__":
    unittest.main()
