# SPDX-License-Identifier: Apache-2.0
"""Growing what exists: quota and host are held and counted as at a create, raced or not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import actions, create, reports, update
from zun_lite.control.loop import Controller
from zun_lite.control.update import Change
from zun_lite.db import workloads
from zun_lite.domain import errors
from zun_lite.domain.desired import Report
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.resources import Limits, Ratios, Resources

Item = TypeVar("Item")
PLENTY = Resources(1000, 1000000, 0)


class UpdateCase(DatabaseTestCase):
    def set_up(self, limits: Limits, capacity: Resources = PLENTY, **more) -> None:
        self.means = means_of(self.db, limits=limits, **more)
        self.host = a_host(self.means, capacity=capacity)

    def running(self, project: str = "p1", **changes) -> workloads.Workload:
        made = create.create_container(self.means, a_caller(project), None, a_spec(**changes), run=True)
        self.see(made, "running")
        return made

    def see(self, workload: workloads.Workload, state: str) -> None:
        now = self.read(workload)
        seen = Observed(now.generation, now.epoch, now.goal.run, now.goal.build, state, signals=now.goal.signals)
        reports.take(self.means, self.host, Report("boot1", None, False, ((workload.uuid, seen),)))

    def read(self, workload: workloads.Workload) -> workloads.Workload:
        with self.db.read() as tx:
            found = workloads.get(tx, workload.uuid)
        assert found is not None
        return found


@on_every_database
class UpdateTest(UpdateCase):
    def test_racing_resizes_never_pass_the_quota(self):
        """A8."""
        self.set_up(Limits(containers=-1, cpu=-1, memory=8 * 64 + 5 * 36))
        made = [self.running() for _ in range(8)]
        grown = _race(made * 2, lambda workload: update.update(self.means, workload, Change(memory_mib=100)))
        self.assertEqual(5, len({workload.uuid for workload in grown}))
        with self.db.read() as tx:
            self.assertEqual(8 * 64 + 5 * 36, workloads.usage_of_project(tx, "p1")[1].memory_mib)

    def test_resizes_and_creates_never_pass_the_quota_together(self):
        self.set_up(Limits(containers=-1, cpu=-1, memory=4 * 64 + 200))
        made = [self.running() for _ in range(4)]

        def work(workload: workloads.Workload | None) -> object:
            if workload is None:
                return create.create_container(self.means, a_caller(), None, a_spec(), run=True)
            return update.update(self.means, workload, Change(memory_mib=128))

        self.assertEqual(3, len(_race([*made, *[None] * 6], work)))
        with self.db.read() as tx:
            self.assertEqual(7 * 64, workloads.usage_of_project(tx, "p1")[1].memory_mib)

    def test_racing_resizes_of_many_projects_never_overfill_a_host(self):
        self.set_up(Limits(), Resources(100, 12 * 64 + 4 * 64, 0), ratios=Ratios(1, 1, 1))
        made = [self.running(f"p{number}") for number in range(12)]
        grown = _race(made, lambda workload: update.update(self.means, workload, Change(memory_mib=128)))
        self.assertEqual(4, len(grown))
        with self.db.read() as tx:
            self.assertEqual(16 * 64, workloads.usage_of_host(tx, self.host.uuid).memory_mib)

    def test_no_way_around_the_quota_by_a_rebuild(self):
        self.set_up(Limits(containers=1, cpu=1, memory=64))
        made = self.running()
        self.assertRaises(errors.OverQuota, update.update, self.means, made, Change(cpus=1.1))
        actions.act(self.means, a_caller(), made, "rebuild", image="other:1")
        self.see(made, "running")
        self.assertRaises(errors.OverQuota, update.resize, self.means, made, Change(memory_mib=65))
        claim = self.read(made).spec.claim
        self.assertEqual((1.0, 64), (claim.cpus, claim.memory_mib))

    def test_a_refused_change_changes_nothing_of_it(self):
        self.set_up(Limits(cpu=1))
        made = self.running()
        self.assertRaises(errors.OverQuota, update.update, self.means, made, Change(name="new", cpus=2.0))
        now = self.read(made)
        self.assertEqual((made.name, 1.0, 1), (now.name, now.spec.cpus, now.generation))

    def test_less_is_allowed_even_above_a_limit_that_was_lowered(self):
        self.set_up(Limits())
        made = self.running(cpus=2.0, memory_mib=512)
        self.means = means_of(self.db, limits=Limits(cpu=1, memory=100))
        update.update(self.means, made, Change(cpus=1.5))
        self.assertRaises(errors.OverQuota, update.update, self.means, made, Change(cpus=1.6))
        update.update(self.means, made, Change(memory_mib=256))
        claim = self.read(made).spec.claim
        self.assertEqual((1.5, 256), (claim.cpus, claim.memory_mib))

    def test_the_host_is_told_of_new_limits_and_not_of_a_new_name(self):
        self.set_up(Limits())
        made = self.running()
        Controller(self.means).run_once()
        before = reports.desired_set(self.means, self.host)
        update.update(self.means, made, Change(name="new-name"))
        self.assertEqual(1, self.read(made).generation)
        update.update(self.means, made, Change(memory_mib=128))
        (after,) = reports.desired_set(self.means, self.host).workloads
        self.assertEqual((2, 128, True), (after.generation, after.spec.memory_mib, after.ready))
        self.assertEqual(before.workloads[0].goal, after.goal)

    def test_goals_are_kept_as_they_are(self):
        self.set_up(Limits())
        made = self.running()
        for verb, state in (("reboot", "running"), ("kill", "running"), ("pause", "paused")):
            actions.act(self.means, a_caller(), made, verb, signal="SIGHUP" if verb == "kill" else None)
            self.see(made, state)
        goal = self.read(made).goal
        self.assertEqual(
            ("paused", 2, 2, 1, "SIGHUP"), (goal.power, goal.run, goal.reboot_run, goal.signals, goal.signal)
        )


def _race(items: list[Item], work: Callable[[Item], object]) -> list[object]:
    """work(item) for each in a thread of its own, at once; the results of those that were not refused."""
    done: list[object] = []
    wrong: list[BaseException] = []
    barrier = threading.Barrier(len(items))

    def run(item: Item) -> None:
        barrier.wait()
        try:
            done.append(work(item))
        except (errors.OverQuota, errors.Conflict):
            pass
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return done
