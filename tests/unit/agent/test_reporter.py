# SPDX-License-Identifier: Apache-2.0
"""Reports: the newest word of each workload reaches the API, whatever happens on the way."""

from __future__ import annotations

import unittest
from unittest import mock

from tests.unit.agent.fakes import FakeApi
from zun_lite.agent.reporter import Reporter
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors
from zun_lite.domain.desired import SNAPSHOT, VOLUME, Inventory, VolumeNews
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.resources import Resources

CREATED, RUNNING = Observed(state="created"), Observed(state="running")
INVENTORY = Inventory(Resources(1, 1, 1))


class PickyApi(FakeApi):
    """Refuses reports that speak of one workload or volume."""

    def __init__(self, poison: str) -> None:
        super().__init__()
        self.poison = poison

    def report(self, report):
        said = [uuid for uuid, _ in report.workloads] + [news.uuid for news in report.volumes]
        if self.poison in said:
            raise errors.Invalid("cannot be read")
        return super().report(report)


class Reports(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = StoppedClock()
        self.ordered: list[tuple[str, int]] = []
        self.use(FakeApi())

    def use(self, api) -> None:
        self.api = api
        self.reporter = Reporter(api, "boot-1", self.ordered.extend, self.clock)

    def words(self):
        return [report.workloads for report in self.api.reports]

    def test_what_changed_together_goes_together(self):
        self.reporter.changed("a", RUNNING)
        self.reporter.changed("b", CREATED)
        self.assertFalse(self.reporter.flush())
        self.assertTrue(self.reporter.flush())
        self.assertEqual(self.words(), [(("a", RUNNING), ("b", CREATED))])

    def test_only_the_newest_word_counts(self):
        self.reporter.changed("a", CREATED)
        self.reporter.changed("a", RUNNING)
        self.reporter.flush()
        self.assertEqual(self.words(), [(("a", RUNNING),)])

    def test_the_same_word_is_not_said_twice(self):
        for _ in range(2):
            self.reporter.changed("a", RUNNING)
            self.reporter.flush()
        self.assertEqual(len(self.api.reports), 1)

    def test_progress_is_told_only_when_nothing_else_comes_soon(self):
        self.reporter.changed("a", CREATED, hold_seconds=0.5)
        self.assertTrue(self.reporter.flush())
        self.clock.advance(0.6)
        self.assertFalse(self.reporter.flush())
        self.reporter.changed("b", CREATED, hold_seconds=0.5)
        self.reporter.changed("b", RUNNING)
        self.reporter.flush()
        self.assertEqual(self.words(), [(("a", CREATED),), (("b", RUNNING),)])

    def test_a_word_that_was_taken_back_is_not_told(self):
        self.reporter.changed("a", RUNNING)
        self.reporter.flush()
        self.reporter.changed("a", CREATED, hold_seconds=0.5)
        self.reporter.changed("a", RUNNING)
        self.clock.advance(1)
        self.assertTrue(self.reporter.flush())

    def test_what_was_not_taken_is_kept(self):
        self.api.away = True
        self.reporter.changed("a", CREATED)
        self.reporter.removed_volume("v")
        self.reporter.volume(VolumeNews("c", VOLUME, 1))
        self.reporter.volume(VolumeNews("s", SNAPSHOT, 1, "no room"))
        with self.assertRaises(errors.Unavailable):
            self.reporter.flush()
        self.reporter.changed("a", RUNNING)
        self.reporter.volume(VolumeNews("c", VOLUME, 2, "gone"))
        self.api.away = False
        self.reporter.flush()
        self.assertEqual(self.words(), [(("a", RUNNING),)])
        self.assertEqual(self.api.reports[0].removed_volumes, ("v",))
        news = (VolumeNews("c", VOLUME, 2, "gone"), VolumeNews("s", SNAPSHOT, 1, "no room"))
        self.assertEqual(news, self.api.reports[0].volumes)
        self.assertTrue(self.reporter.flush())

    def test_what_was_answered_with_nonsense_is_kept_too(self):
        report, self.api.report = self.api.report, mock.Mock(side_effect=ValueError("not JSON"))
        self.reporter.changed("a", RUNNING)
        self.assertRaises(ValueError, self.reporter.flush)
        self.api.report = report
        self.clock.advance(1)
        self.reporter.flush()
        self.assertEqual([("a", RUNNING)], [pair for report in self.api.reports for pair in report.workloads])

    def test_a_full_report_that_was_not_taken_stays_a_full_one(self):
        self.reporter.changed("a", RUNNING)
        self.reporter.report_all(INVENTORY)
        self.api.away = True
        with self.assertRaises(errors.Unavailable):
            self.reporter.flush()
        self.api.away = False
        self.reporter.flush()
        self.assertTrue(self.api.reports[0].full)
        self.assertEqual((self.words(), self.api.reports[0].inventory), ([(("a", RUNNING),)], INVENTORY))

    def test_a_full_report_speaks_of_everything_that_is_not_forgotten(self):
        for uuid in ("a", "b", "c"):
            self.reporter.changed(uuid, RUNNING)
        self.reporter.flush()
        self.reporter.forget("b")
        self.reporter.report_all(INVENTORY)
        self.reporter.flush()
        self.assertEqual(self.words()[1], (("a", RUNNING), ("c", RUNNING)))

    def test_one_word_that_is_refused_does_not_silence_the_others(self):
        self.use(PickyApi("b"))
        for uuid in ("a", "b", "c"):
            self.reporter.changed(uuid, RUNNING)
        with self.assertLogs("zun_lite.agent.reporter", "ERROR"):
            self.reporter.flush()
        self.assertEqual(sorted(self.api.observed), ["a", "c"])
        self.assertTrue(self.reporter.flush())

    def test_news_of_one_volume_that_is_refused_does_not_silence_the_others(self):
        self.use(PickyApi("b"))
        for uuid in ("a", "b", "c"):
            self.reporter.volume(VolumeNews(uuid, VOLUME, 1))
        with self.assertLogs("zun_lite.agent.reporter", "ERROR"):
            self.reporter.flush()
        told = [news.uuid for report in self.api.reports for news in report.volumes]
        self.assertEqual(["a", "c"], told)
        self.assertTrue(self.reporter.flush())

    def test_orders_in_the_answer_are_handed_on(self):
        self.api.orders = [("a", 1)]
        self.reporter.changed("a", RUNNING)
        self.reporter.flush()
        self.assertEqual(self.ordered, [("a", 1)])
