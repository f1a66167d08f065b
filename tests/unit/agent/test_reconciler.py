# SPDX-License-Identifier: Apache-2.0
"""The reconciler over a fake engine: what a host does about each goal, and what it says of it."""

from __future__ import annotations

import unittest
from dataclasses import replace

from tests.unit.agent.fakes import (
    IMAGE,
    Host,
    Killed,
    a_workload,
    an_attachment,
    an_endpoint,
    deleted,
    rebuilt,
    started,
    stopped,
)
from zun_lite.domain import errors, names
from zun_lite.domain.lifecycle import OFF, PRESENT, Goal, status_of
from zun_lite.domain.spec import ContainerSpec, RestartPolicy
from zun_lite.domain.wiring import Wiring


class Base(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host(self)

    def running(self, **changes):
        """A workload that was made and runs."""
        workload = a_workload(**changes)
        self.host.put(workload)
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(self.host.observed(workload.uuid).state, "running")
        return workload

    def follow(self, workload):
        self.host.put(workload)
        return self.host.look(workload.uuid)

    def status(self, workload) -> str:
        return status_of(workload.goal, workload.generation, self.host.observed(workload.uuid)).status


class Life(Base):
    def test_a_created_container_runs_and_is_reported(self):
        workload = self.running()
        self.assertEqual(self.host.runtime.verbs(), ["create", "start"])
        observed = self.host.observed(workload.uuid)
        self.assertEqual((observed.generation, observed.epoch, observed.run, observed.build), (1, 1, 1, 1))
        self.assertEqual(observed.hostname, observed.container_id[:12])
        self.assertEqual(observed.command, ("sleep", "60"))
        self.assertEqual(self.host.netd.plugged, {observed.container_id: (workload.uuid, 1)})
        self.assertEqual(self.host.runtime.order_of(workload.uuid).dns, ("10.0.0.2",))

    def test_one_that_is_only_created_is_made_and_not_started(self):
        workload = a_workload(Goal(PRESENT, OFF, 0, 1))
        self.follow(workload)
        self.assertEqual(self.status(workload), "Created")
        self.assertNotIn("start", self.host.runtime.verbs())

    def test_a_second_look_does_nothing(self):
        workload = self.running()
        before, written = list(self.host.runtime.calls), self.host.journal.read(workload.uuid)
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(self.host.runtime.calls, before)
        self.assertIs(self.host.journal.read(workload.uuid), written)

    def test_one_that_ends_by_itself_stays_ended(self):
        workload = self.running()
        self.host.runtime.exit(workload.uuid, 3)
        self.host.look(workload.uuid)
        self.assertEqual(self.host.observed(workload.uuid).exit_code, 3)
        self.assertEqual(self.status(workload), "Stopped")
        self.assertEqual(self.host.runtime.verbs().count("start"), 1)

    def test_stop_and_start_again(self):
        workload = self.running()
        workload = stopped(workload)
        self.follow(workload)
        self.assertEqual(self.status(workload), "Stopped")
        workload = started(workload)
        self.follow(workload)
        self.assertEqual(self.status(workload), "Running")
        self.assertEqual(self.host.observed(workload.uuid).run, 2)

    def test_a_rebuild_replaces_the_container_and_starts_it(self):
        workload = rebuilt(self.running())
        old = self.host.seen(workload.uuid).container_id
        self.follow(workload)
        new = self.host.observed(workload.uuid)
        self.assertEqual((new.state, new.build), ("running", 2))
        self.assertEqual(list(self.host.netd.plugged), [new.container_id])
        self.assertNotEqual(new.container_id, old)

    def test_a_deleted_one_leaves_nothing(self):
        workload = deleted(self.running(wiring=Wiring((), (an_attachment(),))))
        self.follow(workload)
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")
        self.assertEqual(self.host.observed(workload.uuid).generation, 2)
        self.assertIsNone(self.host.seen(workload.uuid))
        self.assertEqual((self.host.netd.plugged, self.host.netd.attached), ({}, {}))
        self.host.drop(workload.uuid)
        self.host.look(workload.uuid)
        self.assertEqual(self.host.journal.uuids(), [])
        self.assertNotIn(workload.uuid, self.host.notes.last)

    def test_one_that_was_never_made_is_absent_when_deleted(self):
        workload = deleted(a_workload())
        self.follow(workload)
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")

    def test_one_that_is_not_ready_is_not_touched(self):
        workload = a_workload(ready=False)
        self.follow(workload)
        self.assertEqual(self.host.runtime.calls, [])
        self.assertNotIn(workload.uuid, self.host.notes.last)

    def test_one_that_is_not_ready_can_be_deleted(self):
        self.follow(replace(deleted(a_workload()), ready=False))
        self.assertEqual([observed.state for observed in self.host.notes.last.values()], ["absent"])

    def test_a_boot_of_the_host_starts_again_what_ran(self):
        ran, ended = self.running(), self.running()
        self.host.runtime.exit(ended.uuid)
        self.host.look(ended.uuid)
        self.host.runtime.reboot()
        self.host.boot_id = "boot-2"
        self.host.restart()
        for workload in (ran, ended):
            self.host.look(workload.uuid)
        self.assertEqual(self.status(ran), "Running")
        self.assertEqual(self.status(ended), "Stopped")

    def test_a_restart_policy_holds_where_docker_gave_up(self):
        spec = ContainerSpec(IMAGE, restart_policy=RestartPolicy("always"))
        workload = self.running(spec=spec)
        self.host.runtime.exit(workload.uuid, 128)
        self.host.look(workload.uuid)
        self.assertEqual(self.status(workload), "Running")


class Losses(Base):
    def test_a_lost_container_is_an_error_and_is_not_made_again(self):
        workload = self.running()
        self.host.runtime.lose(workload.uuid)
        for _ in range(3):
            self.host.look(workload.uuid)
        observed = self.host.observed(workload.uuid)
        self.assertEqual((observed.state, observed.error), ("missing", "The container is gone from its host."))
        self.assertEqual(self.status(workload), "Error")
        self.assertEqual(self.host.runtime.verbs().count("create"), 1)

    def test_a_lost_container_that_heals_is_made_again(self):
        workload = self.running(spec=ContainerSpec(IMAGE, auto_heal=True))
        self.host.runtime.lose(workload.uuid)
        self.host.look(workload.uuid)
        self.assertEqual(self.status(workload), "Running")

    def test_a_lost_container_can_be_rebuilt_and_deleted(self):
        workload = self.running()
        self.host.runtime.lose(workload.uuid)
        self.host.look(workload.uuid)
        workload = rebuilt(workload)
        self.follow(workload)
        self.assertEqual(self.status(workload), "Running")
        self.host.runtime.lose(workload.uuid)
        self.follow(deleted(workload))
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")

    def test_a_lost_journal_restarts_nothing(self):
        workload = started(stopped(self.running()))
        self.follow(workload)
        (self.host.folder / "agent/workloads" / f"{workload.uuid}.json").unlink()
        self.host.restart()
        before = list(self.host.runtime.calls)
        self.host.look(workload.uuid)
        self.assertEqual(self.host.runtime.calls, before)
        observed = self.host.observed(workload.uuid)
        self.assertEqual((observed.run, observed.build, observed.generation), (2, 1, 3))

    def test_a_damaged_journal_is_a_lost_one(self):
        workload = self.running()
        (self.host.folder / "agent/workloads" / f"{workload.uuid}.json").write_text("{half")
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual(self.status(workload), "Running")
        self.assertEqual(self.host.runtime.verbs().count("start"), 1)

    def test_an_empty_set_removes_nothing(self):
        workloads = [self.running() for _ in range(8)]
        self.host.drop(*[workload.uuid for workload in workloads])
        for workload in workloads:
            self.host.look(workload.uuid)
        self.assertNotIn("remove", self.host.runtime.verbs())
        self.assertNotIn("stop", self.host.runtime.verbs())
        self.assertEqual({observed.state for observed in self.host.notes.last.values()}, {"running"})

    def test_a_stray_is_said_once_and_left_alone(self):
        workload = self.running()
        self.host.drop(workload.uuid)
        listed = self.host.runtime.containers()
        with self.assertLogs("zun_lite.agent.reconciler", "WARNING") as logs:
            for _ in range(3):
                self.assertEqual(self.host.reconciler.compare(listed), {workload.uuid})
        self.assertEqual(len(logs.output), 1)
        self.assertIsNotNone(self.host.seen(workload.uuid))


class Failures(Base):
    def test_an_image_that_does_not_exist_is_final(self):
        workload = a_workload(spec=ContainerSpec("nosuch:latest"))
        self.pull(workload)
        observed = self.host.observed(workload.uuid)
        self.assertTrue(observed.final)
        self.assertIn("nosuch:latest", observed.error)
        self.assertEqual(self.status(workload), "Error")
        self.host.look(workload.uuid)
        self.assertEqual(self.host.runtime.verbs().count("pull"), 1)
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual(self.host.observed(workload.uuid), observed)

    def test_an_image_that_is_pulled_is_used(self):
        self.host.runtime.pullable.add("other:1")
        workload = a_workload(spec=ContainerSpec("other:1", image_pull_policy="always"))
        self.pull(workload)
        self.assertEqual(self.status(workload), "Running")
        self.assertEqual(self.host.runtime.verbs(), ["pull", "create", "start"])

    def test_a_policy_of_never_does_not_pull(self):
        workload = a_workload(spec=ContainerSpec("other:1", image_pull_policy="never"))
        self.follow(workload)
        self.assertTrue(self.host.observed(workload.uuid).final)
        self.assertEqual(self.host.runtime.calls, [])

    def test_a_deaf_registry_is_tried_three_times(self):
        self.host.runtime.fail_next("pull", *[errors.Failed("no answer")] * 3)
        workload = a_workload(spec=ContainerSpec("other:1"))
        for final in (False, False, True):
            self.pull(workload)
            self.assertEqual(self.host.observed(workload.uuid).final, final)
        self.assertEqual(self.host.runtime.verbs().count("pull"), 3)

    def test_a_deleted_one_does_not_wait_for_its_image(self):
        workload = a_workload(spec=ContainerSpec("other:1"))
        self.host.put(workload)
        self.host.look(workload.uuid)
        self.follow(deleted(workload))
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")

    def test_a_command_that_cannot_run_is_final_and_can_be_deleted(self):
        self.host.runtime.fail_next("start", errors.Invalid('The container could not be started: exec: "x": not found'))
        workload = a_workload()
        self.assertIsNone(self.follow(workload))
        self.assertEqual(self.status(workload), "Error")
        self.assertIn('"x"', self.host.observed(workload.uuid).error)
        self.follow(deleted(workload))
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")

    def test_an_engine_that_does_not_answer_loses_nothing(self):
        workload = a_workload()
        self.host.put(workload)
        self.host.runtime.deaf = True
        waits = [self.host.look(workload.uuid) for _ in range(7)]
        self.assertEqual(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0])
        self.host.runtime.deaf = False
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(self.status(workload), "Running")

    def test_an_engine_that_was_away_is_no_reason_to_give_up(self):
        workload = a_workload()
        self.host.put(workload)
        away, refused = errors.Unavailable("away"), errors.Failed("shutting down")
        self.host.runtime.fail_next("start", away, away, refused, refused, away, refused, refused)
        for _ in range(7):
            self.assertIsNotNone(self.host.look(workload.uuid))
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(self.status(workload), "Running")

    def test_netd_that_does_not_answer_is_tried_for_ever(self):
        self.host.netd.refusals["plug"] = [errors.Unavailable("netd does not answer")] * 5
        workload = a_workload()
        self.host.put(workload)
        for _ in range(5):
            self.assertIsNotNone(self.host.look(workload.uuid))
            self.assertFalse(self.host.observed(workload.uuid).final)
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(self.host.runtime.verbs().count("start"), 1)

    def test_a_removal_that_fails_is_tried_for_ever_and_never_said_to_be_done(self):
        workload = deleted(self.running())
        self.host.runtime.fail_next("remove", *[errors.Failed("device busy")] * 5)
        self.host.put(workload)
        for _ in range(5):
            self.assertIsNotNone(self.host.look(workload.uuid))
            self.assertNotEqual(self.host.observed(workload.uuid).state, "absent")
            self.assertEqual(self.host.observed(workload.uuid).error, "device busy")
        self.host.look(workload.uuid)
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")

    def test_a_generation_is_not_claimed_before_it_is_carried_out(self):
        workload = self.running()
        self.host.runtime.fail_next("stop", errors.Failed("later"))
        self.follow(stopped(workload))
        self.assertEqual(self.host.observed(workload.uuid).generation, 1)
        self.host.look(workload.uuid)
        self.assertEqual(self.host.observed(workload.uuid).generation, 2)

    def pull(self, workload) -> None:
        """A pass that begins a pull, its end, and the pass that is woken by it."""
        self.host.put(workload)
        self.host.woken.clear()
        self.host.look(workload.uuid)
        self.host.images.wait(5.0)
        self.assertEqual(self.host.woken, [workload.uuid])
        self.host.look(workload.uuid)


class Volumes(Base):
    def test_a_volume_is_made_once_and_its_folder_bound(self):
        attachment = an_attachment()
        workload = self.running(wiring=Wiring((), (attachment,)))
        order = self.host.runtime.order_of(workload.uuid)
        self.assertEqual([(bind.source, bind.target) for bind in order.binds],
                         [(f"/mounts/{attachment.volume_id}/data", "/data")])  # fmt: skip
        self.assertEqual(self.host.observed(workload.uuid).formatted, (attachment.volume_id,))
        self.assertEqual(self.host.netd.attached, {attachment.volume_id: 1})

    def test_lost_data_is_final_and_no_new_file_is_made(self):
        attachment = an_attachment(formatted=True)
        workload = a_workload(wiring=Wiring((), (attachment,)))
        self.follow(workload)
        self.assertEqual(
            self.host.observed(workload.uuid).error,
            f"The data of volume {attachment.volume_id} is not on this host.",
        )
        self.assertTrue(self.host.observed(workload.uuid).final)
        self.assertFalse(self.host.disks.exists(attachment.volume_id))

    def test_a_host_that_cannot_reach_the_api_attaches_and_detaches_nothing(self):
        held = self.running(wiring=Wiring((), (an_attachment(),)))
        plain = self.running()
        self.host.connected = False
        self.assertIsNotNone(self.follow(a_workload(wiring=Wiring((), (an_attachment(),)))))
        self.assertIsNotNone(self.follow(deleted(held)))
        self.assertEqual(len(self.host.netd.attached), 1)
        self.follow(deleted(plain))
        self.assertEqual(self.host.observed(plain.uuid).state, "absent")
        self.host.connected = True
        self.host.look(held.uuid)
        self.assertEqual(self.host.netd.attached, {})

    def test_a_volume_that_a_newer_attachment_holds_is_left_to_it(self):
        attachment = an_attachment()
        workload = self.running(wiring=Wiring((), (attachment,)))
        self.host.netd.attached[attachment.volume_id] = 2
        self.follow(deleted(workload))
        self.assertEqual(self.host.observed(workload.uuid).state, "absent")
        self.assertEqual(self.host.netd.attached, {attachment.volume_id: 2})


class Epochs(Base):
    def test_a_newer_epoch_replaces_the_container(self):
        workload = replace(self.running(), epoch=2, generation=2)
        self.follow(workload)
        observed = self.host.observed(workload.uuid)
        self.assertEqual((observed.epoch, observed.state, self.host.seen(workload.uuid).epoch), (2, "running", 2))

    def test_an_older_order_is_not_followed(self):
        workload = self.running(epoch=2, generation=5)
        before = list(self.host.runtime.calls)
        self.follow(replace(deleted(workload), epoch=1))
        self.follow(replace(stopped(workload), generation=3))
        self.assertEqual(self.host.runtime.calls, before)

    def test_an_order_removes_an_old_epoch_with_its_links_and_volumes(self):
        workload = self.running(wiring=Wiring((), (an_attachment(),)))
        self.host.drop(workload.uuid)
        self.assertEqual(self.host.reconciler.order_removals([(workload.uuid, 1)]), [workload.uuid])
        self.host.look(workload.uuid)
        self.assertIsNone(self.host.seen(workload.uuid))
        self.assertEqual((self.host.netd.plugged, self.host.netd.attached), ({}, {}))
        self.assertEqual(self.host.journal.uuids(), [])

    def test_an_order_that_is_cut_off_leaves_what_brings_it_again(self):
        workload = self.running(wiring=Wiring((an_endpoint(),), (an_attachment(),)))
        self.host.drop(workload.uuid)
        for verb in ("unplug", "detach"):
            self.host.netd.refusals[verb] = [Killed()]
            self.host.reconciler.order_removals([(workload.uuid, 1)])
            self.assertRaises(Killed, self.host.look, workload.uuid)
            self.host.restart()
            told = self.host.reconciler.survey(self.host.runtime.containers())
            self.assertEqual("exited", told[workload.uuid].state)
        self.host.reconciler.order_removals([(workload.uuid, 1)])
        self.host.look(workload.uuid)
        self.assertIsNone(self.host.seen(workload.uuid))
        self.assertEqual((self.host.netd.plugged, self.host.netd.attached), ({}, {}))
        self.assertEqual(self.host.journal.uuids(), [])

    def test_an_order_spares_a_newer_epoch(self):
        workload = self.running(epoch=3)
        self.host.reconciler.order_removals([(workload.uuid, 2)])
        self.host.look(workload.uuid)
        self.assertEqual(self.host.seen(workload.uuid).state, "running")

    def test_what_was_removed_by_order_is_not_made_again_from_an_old_set(self):
        workload = self.running()
        self.host.reconciler.order_removals([(workload.uuid, 1)])
        for _ in range(3):
            self.host.look(workload.uuid)
        self.assertIsNone(self.host.seen(workload.uuid))
        self.assertEqual(self.host.runtime.verbs().count("create"), 1)

    def test_the_brake_holds_many_orders_until_the_operator_lets_them_through(self):
        """F7."""
        workloads = [self.running() for _ in range(5)]
        orders = [(workload.uuid, 1) for workload in workloads]
        with self.assertLogs("zun_lite.agent.removals", "ERROR") as logs:
            self.assertEqual(self.host.reconciler.order_removals(orders), [])
            self.assertEqual(self.host.reconciler.order_removals(orders), [])
        self.assertEqual(len(logs.output), 1)
        self.assertEqual(len(self.host.runtime.containers()), 5)
        (self.host.folder / "agent/allow-removals").touch()
        self.assertEqual(len(self.host.reconciler.order_removals(orders)), 5)
        self.assertEqual(len(self.host.reconciler.order_removals([(orders[0][0], 1)])), 0)

    def test_the_brake_counts_orders_that_trickle_in(self):
        workloads = [self.running() for _ in range(5)]
        taken = [self.host.reconciler.order_removals([(workload.uuid, 1)]) for workload in workloads]
        self.assertEqual([len(uuids) for uuids in taken], [1, 1, 1, 0, 0])

    def test_orders_for_what_is_not_here_count_for_nothing(self):
        workload = self.running()
        orders = [(names.new_id(), 1) for _ in range(50)]
        self.assertEqual(self.host.reconciler.order_removals([*orders, (workload.uuid, 1)]), [workload.uuid])


class Surveys(Base):
    def test_a_survey_speaks_of_every_container_and_spares_the_next_look(self):
        workloads = [self.running() for _ in range(3)]
        self.host.restart()
        observed = self.host.reconciler.survey(self.host.runtime.containers())
        self.assertEqual({uuid: seen.state for uuid, seen in observed.items()},
                         {workload.uuid: "running" for workload in workloads})  # fmt: skip
        inspections = self.host.runtime.inspections
        for workload in workloads:
            self.host.reconciler.reconcile(workload.uuid)
        self.assertEqual(self.host.runtime.inspections, inspections)

    def test_a_comparison_names_only_what_changed(self):
        workloads = [self.running() for _ in range(3)]
        self.assertEqual(self.host.reconciler.compare(self.host.runtime.containers()), set())
        self.host.runtime.exit(workloads[0].uuid)
        self.host.runtime.lose(workloads[1].uuid)
        self.assertEqual(
            self.host.reconciler.compare(self.host.runtime.containers()), {workloads[0].uuid, workloads[1].uuid}
        )

    def test_a_poisoned_workload_leaves_the_others_alone(self):
        good, bad = a_workload(), a_workload(spec=replace(a_workload().spec, image=""))
        self.host.put(good, bad)
        self.host.look(bad.uuid)
        self.host.look(good.uuid)
        self.assertEqual(self.host.observed(good.uuid).state, "running")
