# SPDX-License-Identifier: Apache-2.0
"""Accepting a workload: quota, placement, record and action are one transaction, raced or not."""

from __future__ import annotations

import functools
import threading

import testtools

from tests.builders import YesVolumes, a_caller, a_host, a_spec, means_of, page_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import actions, create, quotas
from zun_lite.control.place import NO_HOST
from zun_lite.db import workloads
from zun_lite.domain import errors
from zun_lite.domain.resources import Limits, Ratios, Resources
from zun_lite.domain.spec import MountRequest


@on_every_database
class AcceptTest(DatabaseTestCase):
    def test_a_container_gets_a_host_and_an_action(self):
        means = means_of(self.db)
        host = a_host(means)
        made = create.create_container(means, a_caller(), "web", a_spec(), run=True)
        self.assertEqual((host.uuid, "Creating", 1), (made.host, made.status, made.generation))
        self.assertEqual(["create"], [action.action for action in actions.history(means, made)])

    def test_without_a_host_the_record_says_so_and_its_action_has_failed(self):
        means = means_of(self.db)
        made = create.create_container(means, a_caller(), None, a_spec(), run=True)
        self.assertEqual((None, "Error", NO_HOST), (made.host, made.status, made.status_reason))
        self.assertEqual(["Error"], [action.message for action in actions.history(means, made)])

    def test_the_operators_log_says_why_each_host_would_not_do(self):
        means = means_of(self.db, limits=Limits(memory=10**9))
        host = a_host(means)
        with self.assertLogs("zun_lite.control.place", "INFO") as logs:
            create.create_container(means, a_caller(), None, a_spec(memory_mib=10**9), run=True)
        self.assertIn(f"{host.name}: it lacks memory", logs.output[0])

    def test_over_quota_nothing_is_recorded(self):
        means = means_of(self.db, limits=Limits(memory=100))
        a_host(means)
        create.create_container(means, a_caller(), None, a_spec(memory_mib=60), run=True)
        refused = self.assertRaises(
            errors.OverQuota, create.create_container, means, a_caller(), None, a_spec(memory_mib=60), run=True
        )
        self.assertIn("memory", refused.message)
        self.assertEqual(1, len(page_of(means, a_caller(), filters={}, limit=10)))

    def test_a_volume_pins_its_container_to_its_host(self):
        means = means_of(self.db)
        hosts = [a_host(means, f"host{number}") for number in range(4)]
        pinned = means_of(self.db, volumes=YesVolumes(hosts[2].uuid))
        spec = a_spec(mounts=(MountRequest("/data", "v1"),))
        self.assertEqual(hosts[2].uuid, create.create_container(pinned, a_caller(), None, spec, run=True).host)

    def test_racing_creates_never_pass_the_quota(self):
        """A8."""
        means = means_of(self.db, limits=Limits(containers=10, cpu=-1, memory=-1))
        a_host(means, capacity=Resources(1000, 1000000, 0))
        accepted = _race(64, lambda: create.create_container(means, a_caller(), None, a_spec(), run=True))
        self.assertEqual(10, len(accepted))
        self.assertEqual(10, len(page_of(means, a_caller(), filters={}, limit=100)))

    def test_racing_creates_never_pass_a_quota_of_amounts(self):
        """A8."""
        for limit in ({"cpu": 10}, {"memory": 640}, {"disk": 10}):
            means = means_of(self.db, limits=Limits(**{"containers": -1, "cpu": -1, "memory": -1, "disk": -1, **limit}))
            project = next(iter(limit))
            a_host(means, project, capacity=Resources(1000, 1000000, 1000))
            caller, spec = a_caller(project), a_spec(disk_gib=1)
            made = _race(16, functools.partial(create.create_container, means, caller, None, spec, run=True))
            self.assertEqual(10, len(made), project)

    def test_racing_creates_never_pass_a_quota_of_the_projects_own(self):
        means = means_of(self.db, limits=Limits(containers=-1, cpu=-1, memory=-1))
        a_host(means, capacity=Resources(1000, 1000000, 0))
        quotas.change_class(means, "default", {"containers": 2})
        quotas.change(means, "p1", {"containers": 7})
        accepted = _race(24, lambda: create.create_container(means, a_caller(), None, a_spec(), run=True))
        self.assertEqual(7, len(accepted))
        others = _race(8, lambda: create.create_container(means, a_caller("p2"), None, a_spec(), run=True))
        self.assertEqual(2, len(others))
        quotas.reset(means, "p1")
        refused = self.assertRaises(
            errors.OverQuota, create.create_container, means, a_caller(), None, a_spec(), run=True
        )
        self.assertIn("containers", refused.message)

    def test_racing_creates_of_many_projects_never_overfill_a_host(self):
        means = means_of(self.db, ratios=Ratios(1, 1, 1))
        host = a_host(means, capacity=Resources(100, 640, 0))
        projects = iter([f"p{number}" for number in range(24)])
        made = _race(24, lambda: create.create_container(means, a_caller(next(projects)), None, a_spec(), run=True))
        placed = [workload for workload in made if workload.host]
        self.assertEqual(10, len(placed))
        with self.db.read() as tx:
            self.assertEqual(640, workloads.usage_of_host(tx, host.uuid).memory_mib)


@on_every_database
class LookUpTest(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.means = means_of(self.db)
        a_host(self.means)

    def make(self, name, project="p1"):
        return create.create_container(self.means, a_caller(project), name, a_spec(), run=False)

    def test_another_projects_container_is_not_found(self):
        """A4."""
        made = self.make("web", "p2")
        for ident in (made.uuid, "web"):
            self.assertRaises(errors.NotFound, actions.find, self.means, a_caller("p1"), ident)

    def test_an_admin_finds_it(self):
        made = self.make("web", "p2")
        self.assertEqual(made.uuid, actions.find(self.means, a_caller("p1", "admin"), made.uuid).uuid)

    def test_a_uuid_without_dashes_is_understood(self):
        made = self.make("web")
        self.assertEqual(made.uuid, actions.find(self.means, a_caller(), made.uuid.replace("-", "").upper()).uuid)

    def test_a_name_that_two_bear_is_ambiguous(self):
        self.make("web")
        self.make("web")
        self.assertRaises(errors.Ambiguous, actions.find, self.means, a_caller(), "web")

    def test_names_differ_by_case(self):
        self.make("Web")
        self.assertRaises(errors.NotFound, actions.find, self.means, a_caller(), "web")

    def test_pages_follow_each_other_without_gaps(self):
        made = [self.make(f"c{number % 3}").uuid for number in range(7)]
        for key, descending in (("id", False), ("id", True), ("name", False), ("name", True)):
            seen: list[str] = []
            marker = None
            while page := page_of(
                self.means, a_caller(), filters={}, limit=3, marker=marker, sort_key=key, descending=descending
            ):
                seen += [workload.uuid for workload in page]
                marker = seen[-1]
            self.assertEqual(sorted(made), sorted(seen))

    def test_filters_are_exact(self):
        self.make("web")
        self.make("webby")
        found = page_of(self.means, a_caller(), filters={"name": "web"}, limit=10)
        self.assertEqual(["web"], [workload.name for workload in found])


class WrongStateTest(DatabaseTestCase):
    def test_a_verb_that_the_status_forbids_says_what_would_allow_it(self):
        means = means_of(self.db)
        a_host(means)
        made = create.create_container(means, a_caller(), "web", a_spec(), run=True)
        refused = self.assertRaises(errors.WrongState, actions.act, means, a_caller(), made, "start")
        self.assertIn("Creating", refused.message)
        self.assertIn("Stopped", refused.message)
        self.assertEqual(1, len(actions.history(means, made)))


def _race(count, work):
    """Run work in that many threads at once; the results of those that were not refused."""
    done: list[object] = []
    wrong: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run():
        barrier.wait()
        try:
            done.append(work())
        except (errors.OverQuota, errors.Busy):
            pass
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise testtools.MultipleExceptions(*[(type(error), error, error.__traceback__) for error in wrong[:1]])
    return done
