# SPDX-License-Identifier: Apache-2.0
"""netd's socket: the form of requests and answers, and who may serve."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
from typing import Any

import testtools

from zun_lite.client.netd import NetdClient
from zun_lite.domain import errors
from zun_lite.netd.server import DESCRIPTOR, Server


def perform(request: Any) -> dict[str, Any]:
    kind = request.get("raise")
    if kind:
        raise {"invalid": errors.Invalid, "missing": errors.NotFound, "held": errors.InUse, "oops": KeyError}[kind](
            "why"
        )
    return {"echo": request["op"]}


class ServerTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "run/netd.sock")
        self.server = Server(self.path)
        self.server.claim()
        self.client = NetdClient(self.path)

    def started(self, perform: Any = perform) -> None:
        self.server.start(perform)
        self.addCleanup(self.server.stop, 1)

    def test_answers_and_errors_reach_the_client_as_what_they_are(self) -> None:
        self.started()

        self.assertEqual({"echo": "hello"}, self.client.ask("hello"))
        self.assertRaises(errors.Invalid, self.client.ask, "x", **{"raise": "invalid"})
        self.assertRaises(errors.NotFound, self.client.ask, "x", **{"raise": "missing"})
        self.assertRaises(errors.Conflict, self.client.ask, "x", **{"raise": "held"})
        self.assertRaises(errors.Failed, self.client.ask, "x", **{"raise": "oops"})

    def test_a_socket_comes_along_with_an_answer(self) -> None:
        pair = socket.socketpair()
        self.addCleanup(pair[1].close)
        self.started(lambda request: {DESCRIPTOR: pair[0].detach()} if request["family"] == 4 else perform(request))

        with self.client.socket_in("c" * 64, 4) as got:
            got.sendall(b"through")
            self.assertEqual(b"through", pair[1].recv(10))
        self.assertEqual(b"", pair[1].recv(10), "nobody else keeps it open")
        self.assertRaises(errors.Unavailable, self.client.socket_in, "c" * 64, 6)

    def test_several_requests_go_over_one_connection(self) -> None:
        self.started()
        with socket.socket(socket.AF_UNIX) as sock, sock.makefile("rwb") as stream:
            sock.connect(self.path)
            stream.write(b'{"op": "a"}\n{"op": "b"}\nnonsense\n{"op": "c"}\n')
            stream.flush()
            answers = [json.loads(stream.readline()) for _ in range(4)]

        self.assertEqual([True, True, False, True], [answer["ok"] for answer in answers])

    def test_what_nobody_waits_for_any_more_is_not_done(self) -> None:
        release, done = threading.Event(), []

        def slow(request: Any) -> dict[str, Any]:
            done.append(request["op"])
            if request["op"] == "slow":
                release.wait(20)
            return {}

        self.started(slow)
        with socket.socket(socket.AF_UNIX) as leaving, socket.socket(socket.AF_UNIX) as staying:
            for sock, second in ((leaving, b"left"), (staying, b"waited-for")):
                sock.connect(self.path)
                sock.sendall(b'{"op": "slow"}\n{"op": "' + second + b'"}\n')
            leaving.close()
            release.set()
            with staying.makefile("rb") as answers:
                self.assertEqual([True, True], [json.loads(answers.readline())["ok"] for _ in range(2)])
        self.server.stop(5)
        self.assertIn("waited-for", done)
        self.assertNotIn("left", done)

    def test_one_slow_request_does_not_hold_up_another(self) -> None:
        release = threading.Event()

        def slow(request: Any) -> dict[str, Any]:
            if request["op"] == "slow":
                release.wait(20)
            return {"echo": request["op"]}

        self.started(slow)
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(self.client.ask("slow")))
        thread.start()

        self.assertEqual({"echo": "quick"}, self.client.ask("quick"))
        self.assertEqual([], answers)
        release.set()
        thread.join(20)
        self.assertEqual([{"echo": "slow"}], answers)

    def test_a_request_under_way_is_finished_before_the_server_stops(self) -> None:
        entered, release = threading.Event(), threading.Event()

        def slow(request: Any) -> dict[str, Any]:
            entered.set()
            release.wait(20)
            return {}

        self.server.start(slow)
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(self.client.ask("slow")))
        asking.start()
        self.assertTrue(entered.wait(20))
        stopping = threading.Thread(target=self.server.stop, args=(20,))
        stopping.start()
        release.set()
        stopping.join(20)
        asking.join(20)

        self.assertEqual([{}], answers)
        self.assertRaises(errors.Unavailable, self.client.ask, "more")

    def test_a_second_server_is_refused_and_a_stale_socket_is_not_in_the_way(self) -> None:
        self.assertRaises(errors.Conflict, Server(self.path).claim)
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(self.path)
        self.assertRaises(errors.Unavailable, self.client.ask, "x")

        self.started()

        self.assertEqual({"echo": "x"}, self.client.ask("x"))
        self.assertEqual(0o600, os.stat(self.path).st_mode & 0o777)
