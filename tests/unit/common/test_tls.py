# SPDX-License-Identifier: Apache-2.0
"""How long a server that speaks TLS waits for its clients."""

from __future__ import annotations

import socket
import ssl
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.certificates import Authority
from zun_lite.common import tls

SECONDS = 1.0
CONTENT = bytes(2 * 1024 * 1024)


class ImpatientTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        authority = Authority(Path(folder.name))
        pair = authority.pair("server", "localhost")
        self.trust = tls.trust(authority.file)
        self.context = tls.impatient(tls.serve("api", pair.certificate, pair.key), SECONDS)
        self.near, self.far = socket.socketpair()
        self.addCleanup(self.near.close)
        self.addCleanup(self.far.close)
        self.threads = ThreadPoolExecutor(1)
        self.addCleanup(self.threads.shutdown)

    def serve(self, work):
        """What work answers or raises, given the server's end after the handshake."""

        def run():
            with self.context.wrap_socket(self.near, server_side=True) as server:
                return work(server)

        return self.threads.submit(run)

    def connected(self) -> ssl.SSLSocket:
        client = self.trust.wrap_socket(self.far, server_hostname="localhost")
        self.addCleanup(client.close)
        return client

    def test_a_client_that_says_nothing_is_given_up_in_the_handshake_and_after_it(self) -> None:
        with self.assertRaises(TimeoutError):
            self.serve(lambda server: server.recv(1)).result(20)
        self.near, self.far = socket.socketpair()
        served = self.serve(lambda server: server.recv(1))
        self.connected()
        with self.assertRaises(TimeoutError):
            served.result(20)

    def test_blocking_is_never_for_good(self) -> None:
        def work(server):
            server.setblocking(False)
            with self.assertRaises(ssl.SSLWantReadError):
                server.recv(1)
            server.setblocking(True)
            return server.recv(1)

        served = self.serve(work)
        self.connected()
        with self.assertRaises(TimeoutError):
            served.result(20)

    def test_one_that_takes_nothing_is_given_up_and_one_that_takes_it_slowly_is_not(self) -> None:
        served = self.serve(lambda server: server.sendall(CONTENT))
        self.connected()
        with self.assertRaises(TimeoutError):
            served.result(20)
        self.near, self.far = socket.socketpair()
        began = time.monotonic()
        served = self.serve(lambda server: server.sendall(CONTENT))
        client, taken = self.connected(), 0
        while taken < len(CONTENT):
            taken += len(client.recv(16 * 1024))
            # slower than all of it would be in the time that is given
            time.sleep(2 * SECONDS * 16 * 1024 / len(CONTENT))
        served.result(20)
        self.assertGreater(time.monotonic() - began, SECONDS)
