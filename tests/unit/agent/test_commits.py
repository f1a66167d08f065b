# SPDX-License-Identifier: Apache-2.0
"""Images made of containers: once each, whatever breaks in between, and with nobody else at the container."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import unittest
from pathlib import Path

from tests.unit.agent.fakes import IMAGE
from zun_lite.agent import commits
from zun_lite.agent.commits import Commits
from zun_lite.agent.image_book import ImageBook
from zun_lite.agent.runtime.base import Order
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.runtime.fake_images import FakeImages
from zun_lite.agent.worklist import Worklist
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, image_reference, names
from zun_lite.domain.desired import CommitOrder
from zun_lite.domain.spec import ContainerSpec


class Sent:
    """The image service: takes bytes, or refuses with what a test put there."""

    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}
        self.refusals: list[errors.ZunError] = []

    def send(self, image_id, blocks):
        if self.refusals:
            raise self.refusals.pop(0)
        self.images[image_id] = b"".join(blocks)


class CommitsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-commits-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "images.json"
        self.runtime = FakeRuntime(images=(IMAGE,))
        self.engine, self.sent = FakeImages(self.runtime), Sent()
        self.news, self.alone_with, self.changed = [], [], threading.Condition()
        self.retry, commits.FIRST_RETRY_SECONDS = commits.FIRST_RETRY_SECONDS, 0.01
        self.addCleanup(setattr, commits, "FIRST_RETRY_SECONDS", self.retry)
        self.workload = names.new_id()
        self.runtime.create(Order(self.workload, 1, 1, ContainerSpec(IMAGE)))
        self.restart()

    def restart(self) -> None:
        book = ImageBook(self.path, self.engine, Clock())
        self.commits = Commits(self.runtime, self.engine, book, self.sent, self.alone, self.tell)

    @contextlib.contextmanager
    def alone(self, uuid):
        self.alone_with.append(uuid)
        yield

    def tell(self, news) -> None:
        with self.changed:
            self.news.append(news)
            self.changed.notify_all()

    def order(self, image_id: str, workload: str | None = None) -> None:
        self.commits.accept((CommitOrder(image_id, workload or self.workload),))

    def wait_until_sent(self, image_id: str) -> None:
        waited = threading.Event()
        for _ in range(500):
            if image_id in self.sent.images:
                return
            waited.wait(0.01)
        self.fail("it was not sent")

    def test_a_container_is_copied_alone_and_once_and_sent(self):
        for _ in range(3):
            self.order("i1")
        self.wait_until_sent("i1")
        self.assertEqual(([self.workload], 1), (self.alone_with, len(self.engine.committed)))
        self.assertIn(image_reference.embedded("i1").encode(), self.sent.images["i1"])

    def test_what_cannot_be_sent_now_is_sent_later_without_another_copy(self):
        self.sent.refusals = [errors.Unavailable("away"), errors.Busy("busy")]
        with self.assertLogs("zun_lite.agent.commits", "WARNING"):
            self.order("i1")
            self.wait_until_sent("i1")
        self.assertEqual(1, len(self.engine.committed))

    def test_an_agent_that_died_after_the_copy_sends_it_without_another_one(self):
        self.runtime.images.add(image_reference.embedded("i1"))
        self.restart()
        self.order("i1")
        self.wait_until_sent("i1")
        self.assertEqual([], self.engine.committed)

    def test_a_container_that_is_gone_is_told_with_the_reason(self):
        with self.assertLogs("zun_lite.agent.commits", "WARNING"), self.changed:
            self.order("i1", names.new_id())
            self.assertTrue(self.changed.wait_for(lambda: self.news, 5))
        self.assertEqual("i1", self.news[0].uuid)
        self.assertIn("gone", self.news[0].problem)

    def test_what_is_refused_for_good_is_told_and_leaves_no_copy(self):
        self.sent.refusals = [errors.TooLarge("larger than images may be")]
        with self.assertLogs("zun_lite.agent.commits", "WARNING"), self.changed:
            self.order("i1")
            self.assertTrue(self.changed.wait_for(lambda: self.news, 5))
        self.assertIn("larger", self.news[0].problem)
        self.assertIsNone(self.engine.find(image_reference.embedded("i1")))

    def test_one_that_was_sent_before_is_done(self):
        self.sent.refusals = [errors.Conflict("it has its bytes")]
        self.order("i1")
        waited = threading.Event()
        for _ in range(500):
            if not self.sent.refusals:
                break
            waited.wait(0.01)
        self.order("i2")
        self.wait_until_sent("i2")
        self.assertEqual([], self.news)


class AloneTest(unittest.TestCase):
    def test_nobody_works_on_a_workload_that_somebody_is_alone_with(self):
        begun, seen, go_on = threading.Event(), [], threading.Event()

        def work(uuid):
            seen.append(uuid)
            begun.set()
            go_on.wait(5)

        worklist = Worklist(work, 2, Clock())
        worklist.start()
        self.addCleanup(worklist.stop, 5)
        with worklist.alone("a"):
            worklist.mark("a")
            worklist.mark("b")
            self.assertTrue(begun.wait(5))
            self.assertEqual(["b"], seen)
            go_on.set()
        self.assertTrue(worklist.wait_until_idle(5))
        self.assertEqual(["b", "a"], seen)

    def test_being_alone_waits_for_who_is_at_work(self):
        begun, go_on = threading.Event(), threading.Event()
        worklist = Worklist(lambda uuid: begun.set() or go_on.wait(5) and None, 1, Clock())
        worklist.start()
        self.addCleanup(worklist.stop, 5)
        worklist.mark("a")
        self.assertTrue(begun.wait(5))
        got = threading.Event()

        def be_alone():
            with worklist.alone("a"):
                got.set()

        threading.Thread(target=be_alone, daemon=True).start()
        self.assertFalse(got.wait(0.05))
        go_on.set()
        self.assertTrue(got.wait(5))
