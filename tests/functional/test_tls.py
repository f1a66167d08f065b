# SPDX-License-Identifier: Apache-2.0
"""A whole cloud that speaks TLS on every link: API, gateway, host; clients of its own and of others."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.sync.client import connect

from tests.certificates import Authority
from tests.cloud import Cloud
from zun_lite.client import cas, node
from zun_lite.common import join_token, tls
from zun_lite.common.clock import Clock


class TlsCloudTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        folder = tempfile.TemporaryDirectory(prefix="zl-tls-")
        cls.addClassCleanup(folder.cleanup)
        cls.ca = Authority(Path(folder.name))
        cls.pair = cls.ca.pair("all", "127.0.0.1", "localhost")
        files = {"tls_cert_file": cls.pair.certificate, "tls_key_file": cls.pair.key}
        settings = {name: dict(files) for name in ("api", "gateway", "agent")}
        cls.cloud = Cloud(settings={**settings, "tls": {"ca_file": cls.ca.file}})
        cls.cloud.url = cls.cloud.url.replace("http://", "https://")
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()
        # for this test's own requests; the programs run already, and go by ca_file
        trusting = mock.patch.dict(os.environ, {"REQUESTS_CA_BUNDLE": cls.ca.file})
        trusting.start()
        cls.addClassCleanup(trusting.stop)
        cls.cloud.make_network()

    def test_containers_run_and_terminals_open_over_tls(self):
        uuid = self.cloud.run_container("tls")
        self.cloud.wait_status(uuid, "Running")
        answer = self.cloud.ask("POST", f"/v1/containers/{uuid}/execute?command=echo hello&run=true")
        self.assertEqual("hello\n", answer["output"])
        opened = self.cloud.ask("POST", f"/v1/containers/{uuid}/execute?command=cat&run=false&interactive=true")
        self.assertTrue(opened["proxy_url"].startswith("wss://"), opened["proxy_url"])
        url = f"{opened['proxy_url']}&uuid={uuid}&exec_id={opened['exec_id']}"
        with connect(url, ssl=tls.trust(self.ca.file), subprotocols=["binary"]) as stream:
            stream.send(b"to and fro\n")
            said = b""
            while b"to and fro" not in said:
                said += stream.recv(timeout=20)
        self.assertIn("answers at https://", self.cloud.command("status"))

    def test_no_port_answers_in_the_clear_or_with_old_tls(self):
        """D1."""
        for port in (self.cloud.port, self.cloud.gateway_port, self.cloud.agent_port):
            with self.subTest(port):
                with self.assertRaises(requests.RequestException):
                    requests.get(f"http://127.0.0.1:{port}/", timeout=10).raise_for_status()
                    raise AssertionError("it answers in the clear")
                self.assertIn(self.version(port), ("TLSv1.2", "TLSv1.3"))
                with self.assertRaises(OSError):
                    self.version(port, highest=ssl.TLSVersion.TLSv1_1)

    def test_a_changed_certificate_is_shown_without_a_restart_and_half_of_one_is_not(self):
        ports = (self.cloud.port, self.cloud.gateway_port, self.cloud.agent_port)
        programs = ("api", "gateway", "agent")
        before = [self.cloud.pid(program) for program in programs]
        old = {self.shown(port) for port in ports}
        self.assertEqual({self.ca.serial(self.pair)}, old)
        fresh = self.ca.pair("fresh", "127.0.0.1", "localhost")
        os.replace(fresh.certificate, self.pair.certificate)
        self.assertEqual(old, {self.shown(port) for port in ports}, "a certificate without its key is shown")
        os.replace(fresh.key, self.pair.key)
        self.assertEqual({self.ca.serial(self.pair)}, {self.shown(port) for port in ports})
        self.assertNotEqual(old, {self.shown(port) for port in ports})
        self.cloud.ask("GET", "/v1/containers")
        self.assertEqual(before, [self.cloud.pid(program) for program in programs])

    def test_a_join_token_is_enough_to_know_the_cloud_and_to_enrol(self):
        token = join_token.parse(self.cloud.program("manage", "host", "token", "--name", "second").split()[-1])
        believed = Path(self.ca.file).with_name("believed.pem")
        believed.write_bytes(cas.gain(self.cloud.url, token.ca_fingerprint))
        self.assertEqual(Path(self.ca.file).read_bytes(), believed.read_bytes())
        key = Ed25519PrivateKey.generate()
        who = node.enrol(self.cloud.url, token.secret, "second", "192.0.2.9:9518", key, str(believed))
        line = node.NodeClient(self.cloud.url, who["host_uuid"], lambda: key, Clock(), ca_file=str(believed))
        line.heartbeat("boot", "It is a test's.")
        self.assertTrue(line.report_wanted)

    def shown(self, port: int) -> int:
        """The serial number of the certificate that a server shows to one who does not say its name."""
        context = tls.trust(self.ca.file)
        context.check_hostname = False
        with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as wrapped:
            return int(wrapped.getpeercert()["serialNumber"], 16)

    def version(self, port: int, highest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> str | None:
        context = ssl.create_default_context(cafile=self.ca.file)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, highest
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
                return wrapped.version()
