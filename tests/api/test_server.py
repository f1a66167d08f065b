# SPDX-License-Identifier: Apache-2.0
"""The API as it is shipped: a gunicorn of its own, asked by keystoneauth and by a raw socket."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from keystoneauth1 import adapter, exceptions, session
from keystoneauth1.identity import v3

from tests.certificates import Authority
from zun_lite.common import config, tls
from zun_lite.db import schema
from zun_lite.db.engine import Database
from zun_lite.identity.bootstrap import bootstrap

OK = b"HTTP/1.1 200 "


class ServerCase(unittest.TestCase):
    """A gunicorn of two threads, which gives silent clients a second."""

    settings = ""
    scheme = "http"
    program = "zun_lite.cmd.api"

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.state_dir = folder.name
        cls.port = _free_port()
        with open(os.path.join(folder.name, "zun_lite.conf"), "w") as stream:
            stream.write(f"[api]\nport = {cls.port}\nmax_body_bytes = 65536\nsilent_seconds = 1\nthreads = 2\n")
            stream.write(cls.settings)
        conf = config.load([], state_dir=folder.name)
        db = Database(conf.database.connection)
        schema.sync(db)
        bootstrap(db, conf.identity.key_dir, "admin's", "demo's")
        db.close()
        cls.url = f"{cls.scheme}://127.0.0.1:{cls.port}"
        cls.server = subprocess.Popen(
            [sys.executable, "-m", cls.program],
            env={**os.environ, "ZUN_LITE_STATE_DIR": folder.name},
            stderr=subprocess.PIPE,
            text=True,
        )
        cls.addClassCleanup(cls._stop)
        for line in cls.server.stderr:
            if "Listening at" in line:
                return
        raise AssertionError("the server ended before it listened")

    @classmethod
    def _stop(cls) -> None:
        cls.server.send_signal(signal.SIGTERM)
        cls.server.communicate(timeout=30)


class ServerTest(ServerCase):
    def session(self, password: str = "demo's", **scope: str) -> session.Session:
        auth = v3.Password(
            f"{self.url}/identity", username="demo", password=password, user_domain_id="default", **scope
        )
        return session.Session(auth)

    def scoped(self) -> session.Session:
        return self.session(project_name="demo", project_domain_id="default")

    def test_keystoneauth_finds_every_service_in_the_catalogue(self) -> None:
        asked = self.scoped()
        for kind, path in (
            ("identity", "/identity"),
            ("network", "/network"),
            ("block-storage", "/volume/v3"),
            ("volumev3", "/volume/v3"),
            ("container", "/v1"),
        ):
            self.assertEqual(self.url + path, asked.get_endpoint(service_type=kind, interface="public"))

    def test_keystoneauth_discovers_the_range_of_microversions(self) -> None:
        found = self.scoped().get_endpoint_data(service_type="container", interface="public")
        self.assertEqual(((1, 1), (1, 40)), (found.min_microversion, found.max_microversion))

    def test_a_wrong_password_and_an_unscoped_token_are_what_keystoneauth_expects(self) -> None:
        with self.assertRaises(exceptions.Unauthorized):
            self.session("wrong").get_token()
        unscoped = self.session(unscoped=True)
        self.assertTrue(unscoped.get_token())
        self.assertIsNone(unscoped.get_project_id())

    def test_a_revoked_token_is_got_anew_and_the_request_repeated(self) -> None:
        asked = self.scoped()
        containers = adapter.Adapter(asked, service_type="container", interface="public")
        first = asked.get_token()
        asked.delete(
            "/v3/auth/tokens",
            endpoint_filter={"service_type": "identity", "interface": "public"},
            headers={"X-Subject-Token": first},
        )
        # Ask until every worker has noticed; each answers at once, and none for longer than a few seconds.
        while asked.get_token() == first:
            self.assertEqual(200, containers.get("/containers").status_code)
        self.assertEqual(200, containers.get("/containers").status_code)

    def test_a_chunked_body_is_read(self) -> None:
        asked = self.scoped()
        answer = asked.post(
            f"{self.url}/v1/containers",
            data=iter([b'{"image"', b': "Not A Reference"}']),
            headers={"Content-Type": "application/json"},
            raise_exc=False,
        )
        self.assertEqual(400, answer.status_code)
        self.assertIn("Not A Reference", answer.text)

    def test_a_body_over_the_limit_is_refused_while_the_client_still_holds_it(self) -> None:
        head = (
            "POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"X-Auth-Token: {self.scoped().get_token()}\r\nContent-Length: 65537\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(head.encode())
            self.assertTrue(client.recv(64).startswith(b"HTTP/1.1 413 "))

    def test_clients_that_fall_silent_do_not_keep_the_threads(self) -> None:
        head = b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        bodies = [head + b"Content-Length: 10\r\n\r\n{", head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"]
        # more than there are threads in all workers
        begun = [b"GET / HTTP/1.1\r\nHos"] * 6 + bodies
        with ThreadPoolExecutor(len(begun)) as clients:
            answers = [clients.submit(self._begin, request) for request in begun]
            self.assertEqual(200, self.scoped().get(f"{self.url}/").status_code)
            self.assertEqual([b""] * 6 + [b"HTTP/1.1 408"] * 2, [answer.result() for answer in answers])

    def test_d7_a_request_that_can_be_read_in_two_ways_is_refused(self) -> None:
        """D7."""
        both = "Content-Length: 4\r\nTransfer-Encoding: chunked"
        chunk = "Transfer-Encoding: chunked"
        heads = (
            both,
            "Transfer-Encoding: chunked\r\nContent-Length: 4",
            "Content-Length: 4\r\nContent-Length: 5",
            "Content-Length: +4",
            "Content-Length: 4, 4",
            "Content-Length: 0x4",
            "Content-Length: -1",
            "Content-Length : 4",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked, identity",
            "Transfer-Encoding: \x0bchunked",
            "Transfer-Encoding : chunked",
            "X: y\r\n folded: z\r\n" + chunk,
            "X\x00: y",
            "X: a\x00b",
            "Bad Name: y",
        )
        for head in heads:
            with self.subTest(head):
                request = f"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n"
                smuggled = "GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n"
                answer = self._whole((request + smuggled).encode("latin-1"))
                self.assertRegex(answer[:13], rb"HTTP/1.1 (4|501)", answer)
                self.assertEqual(1, answer.count(b"HTTP/1.1 "), answer)
        self.assertEqual(2, self._whole(2 * b"GET /v1 HTTP/1.1\r\nHost: x\r\n\r\n").count(b"HTTP/1.1 200"))

    def _whole(self, request: bytes) -> bytes:
        """All that comes back until the server hangs up, or falls silent."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=3) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            try:
                while block := client.recv(65536):
                    answer += block
            except TimeoutError:
                return answer
        return answer

    def _begin(self, request: bytes) -> bytes:
        """What comes back when this is sent and nothing more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(request)
            return client.recv(64)[:12]

    def test_forwarding_headers_change_nothing(self) -> None:
        answer = self.scoped().get(
            f"{self.url}/",
            headers={"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example", "Host": "evil.example"},
        )
        self.assertNotIn("evil", answer.text)
        self.assertIn(f"{self.url}/v1/", answer.text)


class TlsServerTest(ServerCase):
    scheme = "https"

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        authority = Authority(Path(folder.name))
        cls.context = tls.trust(authority.file)
        pair = authority.pair("api", "127.0.0.1")
        cls.settings = f"tls_cert_file = {pair.certificate}\ntls_key_file = {pair.key}\n"
        super().setUpClass()

    def test_clients_that_fall_silent_do_not_keep_the_threads(self) -> None:
        head = b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        bodies = [head + b"Content-Length: 10\r\n\r\n{", head + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"]
        begun = [b"GET / HTTP/1.1\r\nHos"] * 3 + bodies
        # in the midst of the handshake
        raw = [b"\x16\x03\x01\x02\x00\x01"] * 5
        with ThreadPoolExecutor(len(begun) + len(raw)) as clients:
            silent = [clients.submit(self._begin_raw, content) for content in raw]
            answers = [clients.submit(self._begin, request) for request in begun]
            self.assertTrue(self._whole(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(OK))
            self.assertEqual([b""] * 3 + [b"HTTP/1.1 408"] * 2, [answer.result() for answer in answers])
            self.assertEqual([b""] * 5, [answer.result() for answer in silent])

    def test_a_body_that_comes_piece_by_piece_is_read_and_the_connection_kept(self) -> None:
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context)
        self.addCleanup(client.close)
        used = set()
        for _ in range(2):
            client.putrequest("POST", "/identity/v3/auth/tokens")
            client.putheader("Content-Length", "2")
            client.endheaders(b"{")
            used.add(client.sock)
            client.send(b"}")
            answer = client.getresponse()
            self.assertEqual(400, answer.status, answer.read())
            answer.read()
        self.assertEqual(1, len(used))

    def _connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        return self.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def _whole(self, request: bytes) -> bytes:
        with self._connected() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def _begin(self, request: bytes) -> bytes:
        with self._connected() as client:
            client.sendall(request)
            return client.recv(64)[:12]

    def _begin_raw(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client:
            client.sendall(content)
            return client.recv(64)[:12]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
