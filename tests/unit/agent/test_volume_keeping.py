# SPDX-License-Identifier: Apache-2.0
"""Orders about volumes are carried out once, told, tried again where waiting helps, and never two at a time."""

from __future__ import annotations

import threading
import unittest
from dataclasses import replace
from unittest import mock

from zun_lite.agent.pool import AT_THE_NEXT_MOUNT, NOW
from zun_lite.agent.volume_keeping import VolumeKeeping
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.desired import COPY, DESTROY, GROW, MAKE, SNAPSHOT, TAKE, VOLUME, VolumeNews, VolumeOrder
from zun_lite.domain.names import new_id


class MemoryPool:
    """A pool of names; answers with what a test put into refusals first."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.refusals: list[errors.ZunError] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()
        self.inside: list[str] = []
        self.guard = threading.Lock()
        self.doubled = False

    def _did(self, verb: str, file_id: str, *more: object) -> None:
        with self.guard:
            self.doubled |= file_id in self.inside
            self.inside.append(file_id)
        self.begun.set()
        try:
            if not self.may_go.wait(10):
                raise AssertionError("nobody let the pool go on")
            with self.guard:
                self.calls.append((verb, file_id, *more))
                if self.refusals:
                    raise self.refusals.pop(0)
        finally:
            with self.guard:
                self.inside.remove(file_id)

    def make(self, volume_id: str, size_gib: int, fs_type: str) -> None:
        self._did("make", volume_id, size_gib, fs_type)

    def copy(self, volume_id: str, size_gib: int, source: str) -> None:
        self._did("copy", volume_id, size_gib, source)

    def snapshot(self, snapshot_id: str, volume_id: str) -> None:
        self._did("snapshot", snapshot_id, volume_id)

    def grow(self, volume_id: str, size_gib: int) -> str:
        self._did("grow", volume_id, size_gib)
        return "now"

    def destroy_snapshot(self, snapshot_id: str) -> None:
        self._did("destroy_snapshot", snapshot_id)

    def path(self, volume_id: str) -> str:
        return f"/pool/{volume_id}.img"

    def snapshot_path(self, snapshot_id: str) -> str:
        return f"/pool/{snapshot_id}.snap"


class VolumeKeepingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.pool = MemoryPool()
        self.told: list[VolumeNews] = []
        self.keeping = VolumeKeeping(self.pool, self.told.append, pauses_seconds=(0.01,))
        self.addCleanup(self.keeping.stop)
        self.addCleanup(self.pool.may_go.set)
        self.uuid, self.other = new_id(), new_id()

    def obey(self, *orders: VolumeOrder) -> None:
        self.keeping.accept(orders)
        self.assertTrue(self.keeping.wait_until_idle(10))

    def test_each_order_is_a_call_of_the_pool(self) -> None:
        uuid, other = self.uuid, self.other
        for order, *calls in (
            (VolumeOrder(uuid, VOLUME, MAKE, 1, 2, "ext4"), ("make", uuid, 2, "ext4")),
            (
                VolumeOrder(uuid, VOLUME, COPY, 2, 3, source_kind=VOLUME, source_id=other),
                ("copy", uuid, 3, f"/pool/{other}.img"),
            ),
            (
                VolumeOrder(uuid, VOLUME, COPY, 3, 3, source_kind=SNAPSHOT, source_id=other),
                ("copy", uuid, 3, f"/pool/{other}.snap"),
            ),
            (VolumeOrder(uuid, VOLUME, GROW, 4, 5, made=True), ("grow", uuid, 5)),
            (VolumeOrder(uuid, VOLUME, GROW, 5, 6), ("make", uuid, 6, "xfs"), ("grow", uuid, 6)),
            (VolumeOrder(uuid, SNAPSHOT, TAKE, 1, 1, source_id=other), ("snapshot", uuid, other)),
            (VolumeOrder(uuid, SNAPSHOT, DESTROY, 2, 1), ("destroy_snapshot", uuid)),
        ):
            self.pool.calls.clear()
            self.told.clear()
            self.obey(order)
            self.assertEqual(calls, self.pool.calls)
            self.assertEqual([VolumeNews(uuid, order.kind, order.attempt)], self.told)

    def test_a_volume_that_grows_at_its_next_mount_is_told_as_that(self) -> None:
        for attempt, how in ((1, NOW), (2, AT_THE_NEXT_MOUNT)):
            with mock.patch.object(self.pool, "grow", return_value=how):
                self.obey(VolumeOrder(self.uuid, VOLUME, GROW, attempt, 5, made=True))
        self.assertEqual([False, True], [news.later for news in self.told])

    def test_the_same_order_is_carried_out_once_and_a_later_attempt_again(self) -> None:
        order = VolumeOrder(self.uuid, VOLUME, MAKE, 1, 1)
        self.obey(order)
        self.obey(order)
        self.assertEqual(1, len(self.pool.calls))
        self.obey(VolumeOrder(self.uuid, VOLUME, MAKE, 2, 1))
        self.assertEqual(2, len(self.pool.calls))

    def test_a_failure_is_told_with_its_reason_and_not_tried_again(self) -> None:
        self.pool.refusals = [errors.Failed("The pool is full.")]
        self.obey(VolumeOrder(self.uuid, VOLUME, COPY, 1, 1, source_kind=VOLUME, source_id=self.other))
        self.assertEqual([VolumeNews(self.uuid, VOLUME, 1, "The pool is full.")], self.told)
        self.assertEqual(1, len(self.pool.calls))

    def test_what_is_only_away_is_tried_until_it_is_there_and_told_once(self) -> None:
        told = threading.Event()
        self.keeping = VolumeKeeping(
            self.pool, lambda news: (self.told.append(news), told.set()), pauses_seconds=(0.01,)
        )
        self.addCleanup(self.keeping.stop)
        self.pool.refusals = [errors.Unavailable("netd is away"), errors.Busy("frozen by another")]
        self.keeping.accept([VolumeOrder(self.uuid, SNAPSHOT, TAKE, 1, 1, source_id=self.other)])
        self.assertTrue(told.wait(10))
        self.assertEqual([VolumeNews(self.uuid, SNAPSHOT, 1)], self.told)
        self.assertEqual(3, len(self.pool.calls))

    def test_the_pauses_between_tries_grow_to_the_last_one_and_begin_anew(self) -> None:
        asked: list[float] = []
        pauses = (0.001, 0.002, 0.003)

        def timer(seconds: float, work, arguments) -> threading.Timer:
            asked.append(seconds)
            return real(0.001, work, arguments)

        real = threading.Timer
        order = VolumeOrder(self.uuid, VOLUME, MAKE, 1, 1)
        with mock.patch.object(threading, "Timer", timer):
            for attempt in (1, 2):
                told = threading.Event()
                self.pool.refusals = [errors.Unavailable("netd is away") for _ in range(4)]
                keeping = VolumeKeeping(self.pool, lambda news, told=told: told.set(), pauses)
                self.addCleanup(keeping.stop)
                keeping.accept([replace(order, attempt=attempt)])
                self.assertTrue(told.wait(10))
        self.assertEqual([*pauses, pauses[-1]] * 2, asked)

    def test_a_removal_that_fails_is_told_and_tried_on(self) -> None:
        gone = threading.Event()

        def hear(news: VolumeNews) -> None:
            self.told.append(news)
            if news.problem is None:
                gone.set()

        self.keeping = VolumeKeeping(self.pool, hear, pauses_seconds=(0.01,))
        self.addCleanup(self.keeping.stop)
        self.pool.refusals = [errors.Failed("read-only")]
        self.keeping.accept([VolumeOrder(self.uuid, SNAPSHOT, DESTROY, 1, 1)])
        self.assertTrue(gone.wait(10))
        self.assertEqual(["read-only", None], [news.problem for news in self.told])

    def test_what_breaks_unforeseen_is_told_and_the_next_order_is_carried_out(self) -> None:
        with mock.patch.object(self.pool, "make", side_effect=RuntimeError("a bug")), self.assertLogs(level="ERROR"):
            self.obey(VolumeOrder(self.uuid, VOLUME, MAKE, 1, 1))
        self.assertEqual([VolumeNews(self.uuid, VOLUME, 1, "The host failed; its log says why.")], self.told)
        self.obey(VolumeOrder(self.other, VOLUME, MAKE, 1, 1))
        self.assertEqual(VolumeNews(self.other, VOLUME, 1), self.told[-1])

    def test_one_volume_is_never_in_two_hands_and_a_long_copy_holds_nothing_else_up(self) -> None:
        self.pool.may_go.clear()
        first = VolumeOrder(self.uuid, VOLUME, COPY, 1, 1, source_kind=VOLUME, source_id=new_id())
        self.keeping.accept([first])
        self.assertTrue(self.pool.begun.wait(10))
        later = VolumeOrder(self.uuid, VOLUME, GROW, 2, 2, made=True)
        self.keeping.accept([later, VolumeOrder(self.other, VOLUME, MAKE, 1, 1)])
        self.assertFalse(self.keeping.wait_until_idle(0))
        self.pool.may_go.set()
        self.assertTrue(self.keeping.wait_until_idle(10))
        self.assertFalse(self.pool.doubled)
        mine = [call[0] for call in self.pool.calls if call[1] == self.uuid]
        self.assertEqual(["copy", "grow"], mine)
        self.assertIn(("make", self.other, 1, "xfs"), self.pool.calls)

    def test_an_order_that_left_the_set_before_its_turn_is_dropped(self) -> None:
        self.pool.may_go.clear()
        busy = [VolumeOrder(new_id(), VOLUME, MAKE, 1, 1) for _ in range(2)]
        self.keeping.accept(busy)
        self.keeping.accept([*busy, VolumeOrder(self.uuid, VOLUME, MAKE, 1, 1)])
        self.keeping.accept(busy)
        self.pool.may_go.set()
        self.assertTrue(self.keeping.wait_until_idle(10))
        self.assertEqual([], [call for call in self.pool.calls if call[1] == self.uuid])

    def test_an_act_that_this_host_does_not_know_is_told(self) -> None:
        self.obey(VolumeOrder(self.uuid, VOLUME, "melt", 1, 1))
        (news,) = self.told
        self.assertIn("does not know how to melt a volume", news.problem)

    def test_dying_at_its_crash_points_leaves_the_order_to_the_next(self) -> None:
        for point, calls in (("agent.volume.before", 0), ("agent.volume.done", 1)):
            self.pool.calls.clear()
            died = threading.Event()

            def die(name: str, point: str = point, died: threading.Event = died) -> None:
                if name == point:
                    died.set()
                    raise SystemExit

            keeping = VolumeKeeping(self.pool, self.told.append)
            self.addCleanup(keeping.stop)
            with mock.patch.object(crash, "point", die):
                keeping.accept([VolumeOrder(self.uuid, VOLUME, MAKE, 1, 1)])
                self.assertTrue(died.wait(10))
            self.assertEqual((calls, []), (len(self.pool.calls), self.told), point)


if __name__ == "__main__":
    unittest.main()
