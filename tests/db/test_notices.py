# SPDX-License-Identifier: Apache-2.0
"""Changes told to a webhook: in order, at least once, signed, and never in anybody's way."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import time
from typing import Any
from unittest import mock

import testtools

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.client import webhook
from zun_lite.client.webhook import Webhook
from zun_lite.common.clock import Clock
from zun_lite.control import notices
from zun_lite.control.notices import Notices
from zun_lite.db import revisions, status_events, webhook_marks
from zun_lite.domain import errors
from zun_lite.domain.resources import Resources


class Hook:
    """Takes what it is told, or refuses while it is told to."""

    url = "http://hook.example"

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.away = False
        self.guard = threading.Lock()

    def tell(self, document: dict[str, Any]) -> None:
        if self.away:
            raise errors.Unavailable("The webhook answered 503.")
        with self.guard:
            self.taken += document["events"]

    @property
    def numbers(self) -> list[int]:
        return [event["number"] for event in self.taken]


@on_every_database
class NoticesTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hook = Hook()
        self.notices = Notices(self.db, self.hook)

    def change(self, project_id: str = "p1", status: str = "Running", times: int = 1) -> None:
        def work(tx) -> None:
            revisions.raise_one(tx, revisions.project(project_id))
            status_events.add(
                tx,
                project_id,
                workload_uuid="w1",
                kind="container",
                name="web",
                status=status,
                task_state=None,
                status_reason=None,
                user_id="u1",
                claim=Resources(0.5, 64, 1),
            )

        for _ in range(times):
            self.db.transact(work)

    def test_each_change_is_told_once_in_its_order_with_what_billing_needs(self) -> None:
        self.change(times=3)
        self.change("p2", "Deleted")
        while self.notices.tell_once():
            pass
        self.assertEqual(
            [1, 2, 3], sorted(event["number"] for event in self.hook.taken if event["id"].startswith("p1."))
        )
        self.assertEqual(4, len(self.hook.taken))
        (gone,) = [event for event in self.hook.taken if event["id"].startswith("p2.")]
        self.assertEqual(
            ("Deleted", 0.5, 64, 1, "u1"), tuple(gone[key] for key in ("status", "cpu", "memory", "disk", "user_id"))
        )
        self.assertFalse(self.notices.tell_once())
        self.change()
        self.notices.tell_once()
        self.assertEqual(5, len(self.hook.taken))

    def test_more_than_one_message_takes_are_told_in_several(self) -> None:
        self.change(times=notices.AT_A_TIME + 20)
        while self.notices.tell_once():
            pass
        self.assertEqual(list(range(1, notices.AT_A_TIME + 21)), self.hook.numbers)

    def test_a_webhook_that_is_away_is_tried_again_and_misses_nothing(self) -> None:
        self.change(times=2)
        self.hook.away = True
        for seconds in (1.0, 2.0, 4.0):
            self.assertFalse(self.notices.tell_once())
            self.assertEqual(seconds, self.notices._pause_seconds)
        self.change()
        self.hook.away = False
        self.notices.tell_once()
        self.assertEqual([1, 2, 3], self.hook.numbers)
        self.assertEqual(0.0, self.notices._pause_seconds)

    def test_a_crash_after_the_telling_tells_again_under_the_same_id(self) -> None:
        self.change()
        with mock.patch.object(webhook_marks, "told", side_effect=KeyboardInterrupt):
            self.assertRaises(KeyboardInterrupt, self.notices.tell_once)
        self.assertFalse(Notices(self.db, self.hook).tell_once(), "claimed for a while yet")
        with self.db.transaction() as tx:
            webhook_marks.let_go(tx, "p1")
        Notices(self.db, self.hook).tell_once()
        self.assertEqual([1, 1], self.hook.numbers)
        self.assertEqual(1, len({event["id"] for event in self.hook.taken}))

    def test_several_controllers_tell_each_change_once(self) -> None:
        for project in range(12):
            self.change(f"p{project}", times=2)

        def run() -> None:
            mine = Notices(self.db, self.hook)
            for _ in range(6):
                mine.tell_once()

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = [event["id"] for event in self.hook.taken]
        self.assertEqual((24, 24), (len(ids), len(set(ids))))

    def test_marks_go_when_a_projects_events_are_forgotten_and_nothing_is_told_twice(self) -> None:
        self.change(times=2)
        self.notices.tell_once()
        self.assertEqual(0, self.db.transact(webhook_marks.forget_idle))
        with self.db.transaction() as tx:
            tx.execute(status_events.status_events.delete())
        self.assertEqual(1, self.db.transact(webhook_marks.forget_idle))
        self.change()
        self.notices.tell_once()
        self.assertEqual([1, 2, 3], self.hook.numbers)

    def test_changes_under_one_number_are_never_torn_apart(self) -> None:
        def work(tx) -> None:
            revisions.raise_one(tx, revisions.project("p1"))
            for number in range(5):
                status_events.add(
                    tx,
                    "p1",
                    workload_uuid=f"w{number}",
                    kind="container",
                    name="web",
                    status="Unknown",
                    task_state=None,
                    status_reason=None,
                    user_id="u1",
                    claim=Resources(),
                )

        self.db.transact(work)
        with self.db.read() as tx:
            self.assertEqual(5, len(status_events.after(tx, "p1", 0, 2)))


class Receiver(http.server.BaseHTTPRequestHandler):
    status, pause_seconds, drips = 204, 0.0, 0
    got: list[tuple[dict[str, str], bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((dict(self.headers), body))
        time.sleep(self.pause_seconds)
        if self.drips:
            with contextlib.suppress(OSError):
                self._drip()
            return
        self.send_response(self.status)
        if self.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def _drip(self) -> None:
        """An answer whose headers come byte by byte, never long after one another."""
        self.wfile.write(f"HTTP/1.1 {self.status} Well\r\nSlow: ".encode())
        for _ in range(self.drips):
            self.wfile.write(b"x")
            time.sleep(0.05)
        self.wfile.write(b"\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class WebhookTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.receiver = type("One", (Receiver,), {"got": []})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.receiver)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}/hook"

    def tell(self, timeout_seconds: float = 5.0) -> None:
        Webhook(self.url, b"the key", Clock(), timeout_seconds).tell({"events": [1]})

    def test_what_is_sent_can_be_checked_with_the_key_alone(self) -> None:
        self.tell()
        ((headers, body),) = self.receiver.got
        self.assertEqual({"events": [1]}, json.loads(body))
        moment = headers[webhook.TIMESTAMP]
        self.assertEqual(webhook.signature(b"the key", moment, body), headers[webhook.SIGNATURE])
        self.assertNotEqual(webhook.signature(b"another key", moment, body), headers[webhook.SIGNATURE])
        self.assertLess(abs(time.time() - int(moment)), 60)

    def test_anything_but_yes_is_no(self) -> None:
        for status in (302, 400, 500):
            self.receiver.status = status
            refused = self.assertRaises(errors.Unavailable, self.tell)
            self.assertIn(str(status), refused.message)
        self.assertEqual(3, len(self.receiver.got), "a redirect is not followed")

    def test_a_webhook_that_hangs_is_given_up(self) -> None:
        self.receiver.pause_seconds = 5.0
        before = time.monotonic()
        self.assertRaises(errors.Unavailable, self.tell, 0.3)
        self.assertLess(time.monotonic() - before, 4.0)

    def test_a_webhook_that_answers_byte_by_byte_is_given_up(self) -> None:
        self.receiver.drips = 3
        self.tell(10.0)
        self.receiver.drips = 60
        before = time.monotonic()
        refused = self.assertRaises(errors.Unavailable, self.tell, 0.3)
        self.assertLess(time.monotonic() - before, 2.0)
        self.assertIn("within 0.3 s", refused.message)

    def test_nobody_there_is_said_without_the_address(self) -> None:
        nobody = Webhook("http://user:secret@127.0.0.1:1/x", b"k", Clock(), 1.0)
        refused = self.assertRaises(errors.Unavailable, nobody.tell, {})
        self.assertNotIn("secret", refused.message)
