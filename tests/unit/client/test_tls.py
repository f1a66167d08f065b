# SPDX-License-Identifier: Apache-2.0
"""Every client of our own refuses a server that it cannot be sure of, and works with one that it can."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.server import serve

from tests.certificates import DAY, Authority, Pair
from zun_lite.client import node
from zun_lite.client.agents import AgentsClient
from zun_lite.client.streams import Place, StreamsClient
from zun_lite.common import tls
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.gateway import target


class Answering(BaseHTTPRequestHandler):
    """A server that says yes to whatever our clients ask."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = b'{"revision": 1, "report_wanted": false, "ended": [], "output": "", "exit_code": 0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST

    def log_message(self, *_):
        return


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.ca = Authority(Path(folder.name))
        cls.other = Authority(Path(folder.name), "other")
        cls.good = cls.ca.pair("good", "127.0.0.1")
        cls.bad: dict[str, Pair | None] = {
            "of another CA": cls.other.pair("foreign", "127.0.0.1"),
            "of another name": cls.ca.pair("misnamed", "localhost.example", "127.0.0.2"),
            "expired": cls.ca.pair("expired", "127.0.0.1", lasts=-DAY),
            "self-signed": cls.ca.pair("own", "127.0.0.1", self_signed=True),
            "none, in the clear": None,
        }
        cls.key = Ed25519PrivateKey.generate()

    def http(self, pair: Pair | None) -> str:
        """The address of a server with this certificate."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        server.handle_error = lambda *_: None
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pair.certificate, pair.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"127.0.0.1:{server.server_port}"

    def askers(self, address: str):
        url, clock, ca = f"https://{address}", Clock(), self.ca.file
        agents = AgentsClient(self.key, clock, tls=True, ca_file=ca)
        return {
            "an agent": lambda: node.NodeClient(url, "h", lambda: self.key, clock, 5, ca).heartbeat("b", None),
            "an agent that enrols": lambda: node.enrol(url, "t", "n", "a:1", self.key, ca),
            "a gateway": lambda: StreamsClient(url, self.key, clock, 5, ca_file=ca).check([]),
            "the API": lambda: agents.execute("h", address, "w", "r", ["true"], 5),
        }

    def test_d1_a_server_that_cannot_be_believed_is_not_spoken_to(self):
        """D1."""
        # what the environment says must not widen whom we believe
        with mock.patch.dict("os.environ", {"REQUESTS_CA_BUNDLE": self.other.file, "CURL_CA_BUNDLE": self.other.file}):
            for who, ask in self.askers(self.http(self.good)).items():
                with self.subTest(who):
                    ask()
            for why, pair in self.bad.items():
                for who, ask in self.askers(self.http(pair)).items():
                    with self.subTest(f"{who}: {why}"), self.assertRaises(errors.Unavailable):
                        ask()

    def test_d1_a_gateway_gives_its_grant_to_no_host_that_it_cannot_believe(self):
        """D1."""

        async def dial(pair: Pair | None) -> bool:
            context = None
            if pair is not None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(pair.certificate, pair.key)

            async def answer(connection):
                await connection.wait_closed()

            async with serve(answer, "127.0.0.1", 0, ssl=context) as server:
                port = server.sockets[0].getsockname()[1]
                place = Place(f"wss://127.0.0.1:{port}/", "grant", tls.trust(self.ca.file))
                try:
                    await (await target.connect(place)).end()
                except errors.Unavailable:
                    return False
                return True

        self.assertTrue(asyncio.run(dial(self.good)))
        for why, pair in self.bad.items():
            with self.subTest(why):
                self.assertFalse(asyncio.run(dial(pair)))

    def test_no_older_tls_than_1_2_is_spoken(self):
        self.assertEqual(ssl.TLSVersion.TLSv1_2, tls.trust(self.ca.file).minimum_version)
        self.assertTrue(tls.trust(self.ca.file).check_hostname)
        self.assertEqual(ssl.CERT_REQUIRED, tls.trust(None).verify_mode)
        served = tls.serve("api", self.good.certificate, self.good.key)
        self.assertEqual(ssl.TLSVersion.TLSv1_2, served.minimum_version)

    def test_files_that_do_not_do_are_said(self):
        self.assertIsNone(tls.serve("api", None, None))
        self.assertIsNotNone(tls.serve("api", self.good.certificate, self.good.key))
        wrong = self.bad["expired"]
        for certificate, key in (
            (self.good.certificate, None),
            (None, self.good.key),
            (self.good.certificate, wrong.key),
            ("/nowhere", self.good.key),
        ):
            with self.subTest(certificate), self.assertRaisesRegex(errors.Invalid, r"\[api\] tls_cert_file"):
                tls.serve("api", certificate, key)
        with self.assertRaisesRegex(errors.Invalid, "ca_file"):
            tls.trust("/nowhere")
