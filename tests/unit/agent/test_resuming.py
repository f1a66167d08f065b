# SPDX-License-Identifier: Apache-2.0
"""An agent that dies at any step of any plan is taken up by its next start, and nothing happens twice."""

from __future__ import annotations

import unittest

from tests.unit.agent.fakes import Host, Killed, a_workload, an_attachment, deleted, rebuilt, started
from zun_lite.domain.plan import Step
from zun_lite.domain.wiring import Wiring

MAKING = (Step.IMAGE, Step.DISKS, Step.CREATE, Step.PLUG, Step.NOTE_BUILD, Step.START, Step.NOTE_RUN)
REPLACING = (Step.IMAGE, Step.STOP, Step.REMOVE, Step.UNPLUG, *MAKING[1:])
RESTARTING = (Step.STOP, Step.DISKS, Step.PLUG, Step.START, Step.NOTE_RUN)
REMOVING = (Step.STOP, Step.REMOVE, Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT)
MOMENTS = ("before", "after")


class Resuming(unittest.TestCase):
    def test_a_create_ends_running_once(self):
        for step in MAKING:
            for moment in MOMENTS:
                with self.subTest(step=step, moment=moment):
                    host, workload = Host(self), a_volume_workload()
                    self.die_and_resume(host, workload, step, moment)
                    self.assert_runs_once(host, workload)
                    self.assertEqual(host.runtime.verbs(), ["create", "start"])

    def test_a_rebuild_ends_running_once(self):
        for step in REPLACING:
            for moment in MOMENTS:
                with self.subTest(step=step, moment=moment):
                    host, workload = self.a_host_with_one_running()
                    self.die_and_resume(host, rebuilt(workload), step, moment)
                    self.assert_runs_once(host, workload, build=2)
                    self.assertEqual(host.runtime.verbs().count("start"), 2)

    def test_a_reboot_stops_and_starts_once(self):
        for step in RESTARTING:
            for moment in MOMENTS:
                with self.subTest(step=step, moment=moment):
                    host, workload = self.a_host_with_one_running()
                    self.die_and_resume(host, started(workload), step, moment)
                    self.assert_runs_once(host, workload)
                    self.assertEqual(host.observed(workload.uuid).run, 2)
                    self.assertEqual(host.runtime.verbs().count("start"), 2)

    def test_a_delete_leaves_nothing(self):
        for step in REMOVING:
            for moment in MOMENTS:
                with self.subTest(step=step, moment=moment):
                    host, workload = self.a_host_with_one_running()
                    self.die_and_resume(host, deleted(workload), step, moment)
                    self.assertEqual(host.observed(workload.uuid).state, "absent")
                    self.assertEqual(host.runtime.containers(), [])
                    self.assertEqual((host.netd.plugged, host.netd.attached), ({}, {}))

    def test_one_that_ended_by_itself_after_an_unnoted_start_is_not_started_again(self):
        host, workload = Host(self), a_workload()
        host.put(workload)
        host.performer.die_at = (Step.START, "after")
        with self.assertRaises(Killed):
            host.look(workload.uuid)
        host.runtime.exit(workload.uuid, 0)
        host.restart()
        host.look(workload.uuid)
        observed = host.observed(workload.uuid)
        self.assertEqual((observed.state, observed.run, observed.exit_code), ("exited", 1, 0))
        self.assertEqual(host.runtime.verbs().count("start"), 1)

    def die_and_resume(self, host, workload, step, moment) -> None:
        host.put(workload)
        host.performer.die_at = (step, moment)
        with self.assertRaises(Killed):
            host.look(workload.uuid)
        host.restart()
        self.assertIsNone(host.look(workload.uuid))
        self.assertEqual(host.observed(workload.uuid).generation, workload.generation)
        before = list(host.runtime.calls)
        host.look(workload.uuid)
        self.assertEqual(host.runtime.calls, before)

    def a_host_with_one_running(self):
        host, workload = Host(self), a_volume_workload()
        host.put(workload)
        host.look(workload.uuid)
        return host, workload

    def assert_runs_once(self, host, workload, build=1) -> None:
        observed = host.observed(workload.uuid)
        self.assertEqual((observed.state, observed.build), ("running", build))
        self.assertEqual(len(host.runtime.containers()), 1)
        self.assertEqual(list(host.netd.plugged), [observed.container_id])
        self.assertEqual(len(host.netd.attached), 1)


def a_volume_workload():
    return a_workload(wiring=Wiring((), (an_attachment(),)))
