# SPDX-License-Identifier: Apache-2.0
"""The whole agent with its threads, over a fake engine and a fake API: who is told what, and when."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from tests.unit.agent.fakes import IMAGE, FakeApi, FakeNetd, a_workload, an_attachment, deleted, started, stopped
from zun_lite.agent.loop import Agent, Settings
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.fake_images import FakeImages
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, names
from zun_lite.domain.wiring import Wiring


class AgentBase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-agent-", ignore_cleanup_errors=True)
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.api, self.netd = FakeApi(), FakeNetd()
        self.runtime = FakeRuntime(images=(IMAGE,))

    def start(self, **changes) -> Agent:
        settings = {
            "pool_dir": str(self.folder / "volumes"),
            "journal_dir": str(self.folder / "agent"),
            "boot_id": "boot-1",
            "interval_seconds": 30.0,
            "heartbeat_seconds": 30.0,
            "resync_seconds": 30.0,
            **changes,
        }
        agent = Agent(self.api, self.runtime, FakeImages(self.runtime), self.netd, Settings(**settings), Clock())
        agent.start()
        self.addCleanup(self.stop, agent)
        return agent

    def stop(self, agent) -> None:
        self.assertTrue(agent.stop())
        self.runtime.hang_up()

    def assert_state(self, uuid: str, state: str) -> None:
        self.assertTrue(self.api.wait_for(lambda: self.api.state(uuid) == state), self.api.observed.get(uuid))

    def follow(self, agent, workload, state) -> None:
        self.api.put(workload)
        agent.nudge()
        self.assert_state(workload.uuid, state)
        self.assertTrue(self.api.wait_for(lambda: self.api.observed[workload.uuid].generation == workload.generation))


class AgentAtWork(AgentBase):
    def test_it_tells_what_is_there_before_it_asks_what_should_be(self):
        self.start()
        self.assertTrue(self.api.wait_for(lambda: "fetch" in self.api.calls))
        self.assertLess(self.api.calls.index("report"), self.api.calls.index("fetch"))
        first = self.api.reports[0]
        self.assertTrue(first.full)
        self.assertEqual((first.inventory.capacity.cpus, first.boot_id), (8.0, "boot-1"))

    def test_a_nudge_makes_it_run_stop_and_remove(self):
        agent, workload = self.start(), a_workload()
        self.follow(agent, workload, "running")
        self.follow(agent, workload := stopped(workload), "exited")
        self.follow(agent, workload := started(workload), "running")
        self.follow(agent, deleted(workload), "absent")
        self.assertEqual(self.runtime.containers(), [])

    def test_a_lost_nudge_is_made_good_by_a_heartbeat(self):
        self.start(heartbeat_seconds=0.05)
        self.assertTrue(self.api.wait_for(lambda: "fetch" in self.api.calls))
        workload = a_workload()
        self.api.put(workload)
        self.assert_state(workload.uuid, "running")

    def test_one_that_ends_by_itself_is_told_within_a_second(self):
        workload = a_workload()
        self.api.put(workload)
        self.start()
        self.assert_state(workload.uuid, "running")
        self.runtime.exit(workload.uuid, 7)
        self.assertTrue(self.api.wait_for(lambda: self.api.state(workload.uuid) == "exited", 1.0))
        self.assertEqual(self.api.observed[workload.uuid].exit_code, 7)

    def test_a_lost_event_is_made_good_by_comparing(self):
        workload = a_workload()
        self.api.put(workload)
        self.start(resync_seconds=0.1)
        self.assert_state(workload.uuid, "running")
        self.runtime.hang_up()
        self.runtime.exit(workload.uuid)
        self.assert_state(workload.uuid, "exited")

    def test_an_api_that_is_away_costs_no_report(self):
        workload = a_workload()
        self.api.put(workload)
        self.start()
        self.assert_state(workload.uuid, "running")
        self.api.away = True
        self.runtime.exit(workload.uuid, 1)
        self.assertTrue(self.api.wait_for(lambda: self.api.calls[-1] == "report"))
        self.assertEqual(self.api.state(workload.uuid), "running")
        self.api.away = False
        self.assert_state(workload.uuid, "exited")

    def test_an_api_that_missed_the_host_for_long_is_told_everything(self):
        agent = self.start(heartbeat_seconds=0.02, silent_after_seconds=0.2)
        self.assertTrue(agent.wait_until_registered(5))
        self.assertTrue(self.api.wait_for(lambda: None in self.api.beats))
        self.api.away = True
        calls = len(self.api.calls)
        self.assertTrue(self.api.wait_for(lambda: len(self.api.calls) > calls + 20))
        reports = len(self.api.reports)
        self.api.away = False
        self.assertTrue(self.api.wait_for(lambda: any(report.full for report in self.api.reports[reports:])))

    def test_an_api_that_wants_a_report_gets_all_of_it_with_the_next_heartbeat(self):
        agent = self.start(heartbeat_seconds=0.05)
        self.assertTrue(agent.wait_until_registered(5))
        self.assertTrue(self.api.wait_for(lambda: None in self.api.beats))
        self.assertTrue(self.api.wait_for(lambda: len(self.api.reports) > 1))
        reports = len(self.api.reports)
        self.api.report_wanted = True
        self.assertTrue(self.api.wait_for(lambda: any(report.full for report in self.api.reports[reports:])))

    def test_an_engine_that_is_away_is_said_and_loses_nothing(self):
        workload = a_workload()
        agent = self.start(heartbeat_seconds=0.05)
        self.assertTrue(agent.wait_until_registered(5))
        self.runtime.deaf = True
        self.runtime.hang_up()
        self.assertTrue(self.api.wait_for(lambda: "The host's Docker Engine does not answer." in self.api.beats))
        self.api.put(workload)
        agent.nudge()
        self.runtime.deaf = False
        self.assert_state(workload.uuid, "running")
        self.assertTrue(self.api.wait_for(lambda: self.api.beats[-1] is None))

    def test_an_engine_that_hangs_is_said_though_its_events_do_not_break(self):
        agent = self.start(heartbeat_seconds=0.05, resync_seconds=0.05)
        self.assertTrue(agent.wait_until_registered(5))
        self.assertTrue(self.api.wait_for(lambda: None in self.api.beats))
        self.runtime.deaf = True
        self.assertTrue(self.api.wait_for(lambda: "The host's Docker Engine does not answer." in self.api.beats))
        self.runtime.deaf = False
        self.assertTrue(self.api.wait_for(lambda: self.api.beats[-1] is None))

    def test_an_engine_without_our_runtime_is_a_problem(self):
        self.start(heartbeat_seconds=0.05, docker_runtime="other")
        self.assertTrue(
            self.api.wait_for(lambda: "The host's Docker Engine does not know the runtime other." in self.api.beats)
        )

    def test_what_was_reported_is_not_reported_again(self):
        workload = a_workload()
        self.api.put(workload)
        agent = self.start()
        self.assert_state(workload.uuid, "running")
        self.assertTrue(agent.wait_until_idle(5))
        words = [pair for report in self.api.reports if not report.full for pair in report.workloads]
        self.assertEqual(len(words), len(set(words)))

    def test_the_pool_is_bounded_as_the_host_was_told(self):
        agent = self.start(pool_reserve_gib=float(10**9))
        workload = a_workload(wiring=Wiring((), (an_attachment(),)))
        self.api.put(workload)
        agent.nudge()
        self.assertTrue(
            self.api.wait_for(lambda: "insufficient free space" in str(self.api.observed.get(workload.uuid))),
            self.api.observed.get(workload.uuid),
        )
        self.assertEqual([], list((self.folder / "volumes").glob("*.img")))

    def test_a_doomed_volume_goes_unless_a_workload_names_it(self):
        doomed, named = names.new_id(), an_attachment()
        agent = self.start()
        self.assertTrue(agent.wait_until_registered(5))
        (self.folder / "volumes").mkdir(exist_ok=True)
        for name in (f"{doomed}.img", f"{doomed}.img.lock"):
            (self.folder / "volumes" / name).touch()
        workload = a_workload(wiring=Wiring((), (named,)))
        self.api.doomed = (doomed, named.volume_id)
        self.api.put(workload)
        agent.nudge()
        self.assert_state(workload.uuid, "running")
        self.assertTrue(self.api.wait_for(lambda: any(doomed in report.removed_volumes for report in self.api.reports)))
        self.assertEqual([path.name for path in (self.folder / "volumes").glob("*.img")], [f"{named.volume_id}.img"])

    def test_a_doomed_volume_goes_though_the_disk_is_full_and_the_set_is_written_later(self):
        doomed, in_the_way = names.new_id(), self.folder / "agent" / "desired.json.tmp"
        in_the_way.mkdir(parents=True)
        (self.folder / "volumes").mkdir()
        (self.folder / "volumes" / f"{doomed}.img").touch()
        self.start(interval_seconds=0.05)
        self.api.doomed = (doomed,)
        self.api.put(a_workload())
        self.assertTrue(self.api.wait_for(lambda: any(doomed in report.removed_volumes for report in self.api.reports)))
        in_the_way.rmdir()
        seen = len(self.api.calls)
        self.assertTrue(self.api.wait_for(lambda: self.api.calls[seen:].count("fetch") > 2))
        self.assertIn(doomed, (self.folder / "agent" / "desired.json").read_text())

    def test_a_doomed_volume_that_is_being_worked_on_waits_and_is_no_failure(self):
        doomed = names.new_id()
        (self.folder / "volumes").mkdir()
        (self.folder / "volumes" / f"{doomed}.img").touch()
        self.netd.refusals["detach"] = [errors.Busy("it is being copied")]
        self.start(interval_seconds=0.05)
        self.api.doomed = (doomed,)
        self.api.put(a_workload())
        self.assertTrue(self.api.wait_for(lambda: any(doomed in report.removed_volumes for report in self.api.reports)))
        self.assertEqual([], [news for report in self.api.reports for news in report.volumes])
        self.assertEqual([], self.netd.refusals["detach"])

    def test_orders_to_remove_are_followed(self):
        workload = a_workload()
        self.api.put(workload)
        agent = self.start(heartbeat_seconds=0.05)
        self.assert_state(workload.uuid, "running")
        self.api.drop(workload.uuid)
        self.api.orders = [(workload.uuid, 1)]
        agent.nudge()
        self.runtime.exit(workload.uuid)
        self.assertTrue(self.api.wait_for(lambda: not self.runtime.containers()))

    def test_eight_workloads_at_once_each_run_once(self):
        workloads = [a_workload() for _ in range(8)]
        self.api.put(*workloads)
        self.start()
        for workload in workloads:
            self.assert_state(workload.uuid, "running")
        self.assertEqual(self.runtime.verbs().count("start"), 8)

    def test_a_second_agent_on_the_same_folder_goes_on_where_the_first_ended(self):
        workload = a_workload()
        self.api.put(workload)
        first = self.start()
        self.assert_state(workload.uuid, "running")
        self.assertTrue(first.wait_until_idle(5))
        first.stop()
        self.runtime.hang_up()
        calls = list(self.runtime.calls)
        self.api.observed.clear()
        second = self.start()
        self.assert_state(workload.uuid, "running")
        self.assertTrue(second.wait_until_registered(5) and second.wait_until_idle(5))
        self.assertEqual(self.runtime.calls, calls)
