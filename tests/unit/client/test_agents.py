# SPDX-License-Identifier: Apache-2.0
"""What the control plane makes of hosts that answer badly, over a real connection."""

from __future__ import annotations

import os
import socket
import threading
import unittest
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.client.agents import AgentsClient
from zun_lite.common.clock import Clock
from zun_lite.domain import errors, names

HALF = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"output": "'
WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"output": ""}'


class AgentsClientTests(unittest.TestCase):
    def setUp(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.agents = AgentsClient(Ed25519PrivateKey.generate(), Clock())

    def logs(self, answer: bytes) -> str:
        """Ask a host that answers so and hangs up."""

        def serve() -> None:
            connection, _ = self.listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        return self.agents.logs(names.new_id(), address, names.new_id(), "req-1", {})

    def test_a_host_that_dies_in_the_middle_of_its_answer_is_one_that_does_not_answer(self) -> None:
        self.assertRaises(errors.Unavailable, self.logs, HALF)

    def test_a_host_that_is_busy_or_away_from_its_engine_is_one_to_ask_again(self) -> None:
        for status, expected in (("503 Later", errors.Unavailable), ("429 Full", errors.TooMany)):
            body = b'{"error": {"code": "x", "message": "The host copies too many files already."}}'
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            self.assertRaisesRegex(expected, "copies too many", self.logs, head + body)

    def test_c4_a_redirect_leads_nowhere_and_an_answer_without_end_is_cut(self) -> None:
        """C4."""
        with socket.create_server(("127.0.0.1", 0)) as elsewhere:
            elsewhere.settimeout(0.3)
            port = elsewhere.getsockname()[1]
            for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent", "101 Switching Protocols"):
                head = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
                self.assertRaises(errors.ZunError, self.logs, head.encode())
            self.assertRaises(TimeoutError, elsewhere.accept)
        huge = b"HTTP/1.1 200 OK\r\nContent-Length: 20971520\r\n\r\n" + b"x" * 20 * 1024 * 1024
        self.assertRaisesRegex(errors.Failed, "more than can be passed on", self.logs, huge)
        self.assertRaises(errors.ZunError, self.logs, b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1024 * 1024)

    def test_grants_go_straight_to_the_host_whatever_proxy_the_environment_names(self) -> None:
        with mock.patch.dict(os.environ, {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}):
            self.assertEqual("", self.logs(WHOLE))
