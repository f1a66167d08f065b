# SPDX-License-Identifier: Apache-2.0
"""What hosts say: believed within their own workloads and epochs, and never a reason to forget."""

from __future__ import annotations

import datetime
import threading
import unittest.mock
from dataclasses import replace

from tests.builders import CAPACITY, a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import actions, create, loop, reports
from zun_lite.control.loop import Controller
from zun_lite.control.provision import provision
from zun_lite.control.release import release
from zun_lite.db import hosts, volumes, workloads
from zun_lite.domain import errors, names
from zun_lite.domain.desired import Inventory, Report
from zun_lite.domain.lifecycle import ABSENT, OFF, Observed
from zun_lite.domain.spec import NetworkRequest

RUNNING = Observed(generation=1, epoch=1, run=1, build=1, state="running", container_id="c1")


class ReportCase(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.means = means_of(self.db)
        self.host = a_host(self.means)
        self.controller = Controller(self.means)

    def make(self, **changes):
        spec = a_spec(networks=(NetworkRequest("n1"),), **changes)
        return create.create_container(self.means, a_caller(), "web", spec, run=True)

    def report(self, *pairs, host=None, full=False):
        return reports.take(self.means, host or self.host, Report("boot1", None, full, pairs))

    def read(self, workload):
        with self.db.read() as tx:
            return workloads.get(tx, workload.uuid)


@on_every_database
class LifeTest(ReportCase):
    def test_a_workload_is_provided_for_before_its_host_may_begin(self):
        made = self.make()
        before = reports.desired_set(self.means, self.host)
        self.assertEqual([False], [desired.ready for desired in before.workloads])
        self.controller.run_once()
        after = reports.desired_set(self.means, self.host)
        self.assertEqual([(made.uuid, True)], [(desired.uuid, desired.ready) for desired in after.workloads])
        self.assertGreater(after.revision, before.revision)
        self.assertIn(self.host.uuid, self.means.agents.nudged)

    def test_a_report_turns_the_status_and_ends_the_action(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self.assertEqual(("Running", None), (self.read(made).status, self.read(made).task_state))
        (action,) = actions.history(self.means, made)
        self.assertIsNotNone(action.finished_at)
        self.assertIsNone(action.message)

    def test_a_failure_on_the_host_ends_the_action_with_its_reason(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, Observed(generation=1, epoch=1, error="no such image", final=True)))
        self.assertEqual(("Error", "no such image"), (self.read(made).status, self.read(made).status_reason))
        self.assertEqual("Error", actions.history(self.means, made)[0].message)

    def test_a_refused_port_is_an_error_with_its_reason(self):
        self.means.networks.refusal = errors.InUse("Port p is in use.")
        made = self.make()
        self.controller.run_once()
        self.assertEqual(("Error", "Port p is in use."), (self.read(made).status, self.read(made).status_reason))

    def test_a_provider_that_does_not_answer_is_asked_again(self):
        self.means.networks.refusal = errors.Unavailable("down")
        made = self.make()
        self.controller.run_once()
        self.assertEqual("Creating", self.read(made).status)
        self.means.networks.refusal = None
        self.controller.run_once()
        self.assertTrue(self.read(made).ready)

    def test_a_workload_that_cannot_be_worked_on_holds_up_no_other(self):
        broken, whole = self.make(), self.make()
        provide = self.means.networks.provide

        def provide_or_break(workload_uuid, *args, **kwargs):
            if workload_uuid == broken.uuid:
                raise KeyError("a fault of ours")
            return provide(workload_uuid, *args, **kwargs)

        self.means.networks.provide = provide_or_break
        with self.assertLogs("zun_lite.control.loop", "ERROR") as logs:
            self.controller.run_once()
        self.assertEqual([False, True], [self.read(made).ready for made in (broken, whole)])
        self.assertIn(broken.uuid, logs.output[0])

    def test_as_many_as_a_batch_that_wait_for_their_provider_hold_up_nobody(self):
        made = [self.make() for _ in range(4)]
        self.means.networks.refusal = errors.Unavailable("down")
        self.means.networks.refuses = ("n1",)
        spec = a_spec(networks=(NetworkRequest("n2"),))
        last = create.create_container(self.means, a_caller(), "last", spec, run=True)
        with unittest.mock.patch.object(loop, "BATCH", 2):
            naps = self.run_until_idle()
            self.assertEqual([False] * 4 + [True], [self.read(one).ready for one in (*made, last)])
            self.means.networks.refusal = None
            naps += self.run_until_idle()
            self.assertEqual([True] * 4, [self.read(one).ready for one in made])

            for one in (*made, last):
                actions.delete(self.means, a_caller(), self.read(one), force=True)
                self.report((one.uuid, Observed(generation=2, epoch=1, state="absent")))
            give_back, waiting = self.means.volumes.release, {one.uuid for one in made}

            def busy(uuid):
                if uuid in waiting:
                    raise errors.Busy("not yet")
                give_back(uuid)

            self.means.volumes.release = busy
            naps += self.run_until_idle()
            self.assertEqual([True] * 4 + [False], [self.read(one) is not None for one in (*made, last)])
            waiting.clear()
            naps += self.run_until_idle()
        self.assertEqual([None] * 4, [self.read(one) for one in made])
        # each round goes on at once and ends in a sleep, also while somebody waits
        self.assertEqual([0.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0, 0.0, 5.0, 0.0, 0.0, 5.0], naps)

    def run_until_idle(self):
        """For how long the controller sleeps after each of its passes, up to the first real sleep."""
        naps, stopping = [], []

        class Bed:
            def sleep(self, seconds):
                naps.append(seconds)
                stopping.extend([True] if seconds or len(naps) > 9 else [])

        self.controller.run(Bed(), 5.0, stopping)
        return naps

    def test_a_deleted_workload_is_forgotten_only_after_its_host_let_go(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        actions.delete(self.means, a_caller(), made, stop=True)
        self.controller.run_once()
        self.assertEqual("Deleting", self.read(made).status)
        self.report((made.uuid, Observed(generation=2, epoch=1, run=1, build=1, state="absent")))
        self.controller.run_once()
        self.assertIsNone(self.read(made))
        self.assertEqual({}, self.means.networks.given)
        self.assertEqual([None, None, None], [action.message for action in actions.history(self.means, made)])

    def test_what_one_controller_provides_while_another_releases_is_taken_back(self):
        made = self.make()
        actions.delete(self.means, a_caller(), made, force=True)
        self.report((made.uuid, Observed(generation=2, epoch=1, state="absent")))
        give_back = self.means.volumes.release

        def provide_meanwhile(uuid):
            self.means.volumes.release = give_back
            give_back(uuid)
            # another controller, which began before the order to delete came
            provision(self.means, made)

        self.means.volumes.release = provide_meanwhile
        release(self.means, self.read(made))
        self.assertIsNone(self.read(made))
        self.assertEqual({}, self.means.networks.given)

    def test_an_unplaced_workload_is_deleted_without_a_host(self):
        made = create.create_container(means_of(self.db), a_caller(), None, a_spec(memory_mib=40000), run=True)
        self.assertEqual("Error", made.status)
        actions.delete(self.means, a_caller(), made)
        self.controller.run_once()
        self.assertIsNone(self.read(made))

    def test_a_container_to_be_removed_at_its_end_is(self):
        made = self.make(auto_remove=True)
        self.controller.run_once()
        self.report((made.uuid, Observed(generation=1, epoch=1, run=1, build=1, state="exited", exit_code=0)))
        self.assertEqual("Deleting", self.read(made).status)

    def test_one_that_was_stopped_is_removed_as_well_and_so_is_one_that_is_gone(self):
        stopped, gone = self.make(auto_remove=True), self.make(auto_remove=True)
        self.controller.run_once()
        self.report((stopped.uuid, RUNNING), (gone.uuid, RUNNING))
        actions.act(self.means, a_caller(), stopped, "stop")
        self.report((stopped.uuid, Observed(generation=2, epoch=1, run=1, build=1, state="exited")))
        lost = Observed(generation=1, epoch=1, run=1, build=1, error="It is gone.", final=True)
        self.report((gone.uuid, lost))
        self.assertEqual(["Deleting"] * 2, [self.read(made).status for made in (stopped, gone)])

    def test_one_that_is_about_to_be_started_again_is_kept(self):
        made = self.make(auto_remove=True)
        self.controller.run_once()
        in_between = Observed(generation=1, epoch=1, run=1, build=1, state="exited", error="netd is away")
        self.report((made.uuid, in_between))
        self.assertEqual("Stopped", self.read(made).status)


@on_every_database
class TrustTest(ReportCase):
    def test_another_host_is_not_believed_and_told_to_remove(self):
        """C1, C7."""
        other = a_host(self.means, "host2")
        made = self.make()
        stranger = other if made.host == self.host.uuid else self.host
        orders = self.report((made.uuid, RUNNING), host=stranger)
        self.assertEqual([(made.uuid, 1)], orders)
        self.assertIsNone(self.read(made).observed)

    def test_a_workload_that_is_not_recorded_is_not_ordered_away(self):
        """F7."""
        self.assertEqual([], self.report(("00000000-0000-4000-8000-000000000000", RUNNING)))

    def test_silence_removes_nothing(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self.report(full=True)
        self.assertEqual("Running", self.read(made).status)

    def test_an_older_generation_does_not_overwrite_a_newer(self):
        """C7."""
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self.report((made.uuid, Observed(generation=0, epoch=1, build=1, state="created")))
        self.assertEqual("Running", self.read(made).status)

    def test_a_host_says_of_its_own_volumes_only_that_they_have_a_file_system(self):
        """C1."""

        def insert(tx, uuid, host):
            volumes.insert(
                tx, uuid=uuid, project_id="p1", user_id="u1", name="", description=None, size_gib=1, volume_type="local"
            )
            volumes.update(tx, uuid, {"host": host})

        made, other = self.make(), a_host(self.means, "host2")
        stranger = other.uuid if made.host == self.host.uuid else self.host.uuid
        own, foreign = names.new_id(), names.new_id()
        self.db.transact(lambda tx: insert(tx, own, made.host))
        self.db.transact(lambda tx: insert(tx, foreign, stranger))
        placed = self.host if made.host == self.host.uuid else other
        self.report((made.uuid, replace(RUNNING, formatted=(own, foreign))), host=placed)
        with self.db.read() as tx:
            self.assertEqual([True, False], [volumes.get(tx, uuid).formatted for uuid in (own, foreign)])

    def test_a_report_from_the_future_is_not_believed(self):
        """C7."""
        made = self.make()
        self.report((made.uuid, Observed(generation=9, epoch=1, run=1, build=1, state="running")))
        self.assertIsNone(self.read(made).observed)


@on_every_database
class HostTest(ReportCase):
    def test_a_join_token_is_good_once_and_for_one_host(self):
        """C9."""

        def add(tx):
            hosts.add_join_token(tx, "secret", "h9", self.db.now(tx) + datetime.timedelta(minutes=1))

        self.db.transact(add)
        self.assertRaises(errors.Forbidden, reports.enrol, self.means, "secret", "h8", "h:1", "k")
        uuid = reports.enrol(self.means, "secret", "h9", "h:1", "k")
        self.assertRaises(errors.Forbidden, reports.enrol, self.means, "secret", "h9", "h:1", "k")
        with self.db.read() as tx:
            self.assertEqual(hosts.INITIALIZING, hosts.get(tx, uuid).state)

    def test_a_host_is_where_a_host_can_be_and_no_other_is(self):
        """C3."""
        self.db.transact(lambda tx: hosts.add_join_token(tx, "good", "h9", self.db.now(tx) + datetime.timedelta(1)))
        for address in (
            *(
                "169.254.169.254:80",
                "169.254.1.2:9518",
                "[fe80::1]:9518",
                "[fd00:ec2::254]:80",
                "0.0.0.0:9518",
                "[::]:1",
            ),
            *("[::ffff:169.254.169.254]:80", "224.0.0.1:1", "h9", "h9:", "h9:0", "a@h9:1", "h9:1/x", "h9:99999"),
        ):
            self.assertRaises(errors.Invalid, reports.enrol, self.means, "good", "h9", address, "k")
        self.assertRaises(errors.Conflict, reports.enrol, self.means, "good", "h9", self.host.address, "k")
        uuid = reports.enrol(self.means, "good", "h9", "10.0.0.9:9518", "k")
        with self.db.read() as tx:
            self.assertEqual("10.0.0.9:9518", hosts.get(tx, uuid).address)

    def test_an_expired_join_token_is_refused(self):
        """C9."""

        def add(tx):
            hosts.add_join_token(tx, "old", "h9", self.db.now(tx) - datetime.timedelta(seconds=1))

        self.db.transact(add)
        self.assertRaises(errors.Forbidden, reports.enrol, self.means, "old", "h9", "h:1", "k")

    def test_a_silent_host_becomes_unknown_and_a_full_report_brings_it_back(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self._silence(hours=1)
        self.means.clock.advance(100)
        self.controller.run_once()
        self.assertEqual("Unknown", self.read(made).status)
        with self.db.read() as tx:
            lost = hosts.get(tx, self.host.uuid)
        self.assertTrue(reports.heartbeat(self.means, lost, "boot1", None).report_wanted)
        self.assertEqual("Unknown", self.read(made).status)
        reports.take(self.means, lost, Report("boot1", Inventory(CAPACITY), True, ((made.uuid, RUNNING),)))
        self.assertEqual("Running", self.read(made).status)

    def test_a_host_that_was_lost_while_its_report_was_read_comes_back_with_its_workloads(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self._silence(hours=1)
        self.means.clock.advance(100)
        self.controller.run_once()
        # self.host is as it was when the report came in: ready
        reports.take(self.means, self.host, Report("boot1", Inventory(CAPACITY), True, ((made.uuid, RUNNING),)))
        self.assertEqual("Running", self.read(made).status)

    def test_a_host_that_is_heard_of_while_it_is_judged_is_not_lost(self):
        self._silence(hours=1)
        self.means.clock.advance(100)
        silent_since = hosts.silent_since

        def look(tx, moment):
            found = silent_since(tx, moment)
            reports.heartbeat(self.means, self.host, "boot1", None)
            return found

        with unittest.mock.patch.object(hosts, "silent_since", look):
            self.controller.run_once()
        with self.db.read() as tx:
            self.assertEqual(hosts.READY, hosts.get(tx, self.host.uuid).state)

    def test_what_users_see_of_a_lost_host_takes_a_change_that_is_under_way_into_account(self):
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))

        def lose():
            self.db.transact(lambda tx: workloads.host_changed(tx, self.host.uuid, known=False))

        with self.db.transaction() as tx:
            held = workloads.get(tx, made.uuid, lock=True)
            workloads.change(tx, held, replace(held.goal, presence=ABSENT, power=OFF))
            losing = threading.Thread(target=lose)
            losing.start()
            losing.join(0.3)
        losing.join(30)
        self.assertEqual("Deleting", self.read(made).status)

    def test_a_controller_that_just_started_judges_nobody(self):
        self._silence(hours=1)
        Controller(self.means).run_once()
        with self.db.read() as tx:
            self.assertEqual(hosts.READY, hosts.get(tx, self.host.uuid).state)

    def _silence(self, **ago):
        def age(tx):
            then = self.db.now(tx) - datetime.timedelta(**ago)
            tx.execute(hosts.hosts.update().values(seen_at=then))

        self.db.transact(age)
