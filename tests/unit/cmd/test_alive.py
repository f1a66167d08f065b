# SPDX-License-Identifier: Apache-2.0
"""zun-lite-alive says yes only of a program that does its work."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from tests.certificates import Authority
from zun_lite.cmd import alive
from zun_lite.common import config
from zun_lite.common.wake import Sleeper


class Answering(http.server.BaseHTTPRequestHandler):
    """Says of what it is asked for what its server has for it."""

    def do_GET(self) -> None:
        self.send_response(self.server.answers.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class AliveTest(unittest.TestCase):
    def setUp(self):
        self.state_dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state_dir)
        self.conf = config.load([], state_dir=self.state_dir)

    def serve(self, section: str, answers: dict[str, int], bind: str = "127.0.0.1") -> http.server.HTTPServer:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        server.answers = answers
        self.addCleanup(server.server_close)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self.addCleanup(server.shutdown)
        self.conf.set_override("port", server.server_port, group=section)
        self.conf.set_override("bind", bind, group=section)
        return server

    def test_the_api_and_the_gateway_are_asked_where_they_listen(self):
        self.serve("api", {"/healthcheck": 200})
        self.serve("gateway", {"/healthz": 200}, bind="0.0.0.0")
        self.assertIsNone(alive.problem(self.conf, "api"))
        self.assertIsNone(alive.problem(self.conf, "gateway"))

    def test_one_that_says_it_cannot_is_not_well(self):
        server = self.serve("api", {"/healthcheck": 200})
        self.assertIsNone(alive.problem(self.conf, "api"))
        server.answers["/healthcheck"] = 503
        self.assertIn("answers 503", alive.problem(self.conf, "api"))

    def test_one_with_tls_is_asked_by_tls(self):
        server = self.serve("api", {"/healthcheck": 200})
        pair = Authority(Path(self.state_dir)).pair("api", "cloud.example.org")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.assertIn("no answer", alive.problem(self.conf, "api"))
        self.conf.set_override("tls_cert_file", pair.certificate, group="api")
        self.assertIsNone(alive.problem(self.conf, "api"))

    def test_one_that_is_not_there_is_named_with_the_place(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.conf.set_override("port", port, group="gateway")
        self.assertIn(f"no answer at 127.0.0.1:{port}", alive.problem(self.conf, "gateway"))

    def test_a_controller_is_well_while_it_takes_wakings(self):
        self.assertIn("nobody is at", alive.problem(self.conf, "controller"))
        sleeper = Sleeper(self.conf.controller.wake_socket)
        for _ in range(100):
            self.assertIsNone(alive.problem(self.conf, "controller"))
            self.assertTrue(sleeper.sleep(0))
        for _ in range(100):
            reason = alive.problem(self.conf, "controller")
            if reason:
                break
        self.assertIn("takes nothing", reason or "")

    def test_the_command_ends_with_what_it_found(self):
        self.serve("api", {"/healthcheck": 200})
        environment = {**os.environ, "ZUN_LITE_STATE_DIR": self.state_dir, "OS_API__PORT": str(self.conf.api.port)}

        def run(program: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "zun_lite.cmd.alive", program]
            return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

        self.assertEqual((0, ""), (run("api").returncode, run("api").stderr))
        failed = run("controller")
        self.assertEqual(1, failed.returncode)
        self.assertRegex(failed.stderr, r"^zun-lite-alive: controller: nobody is at .*\n$")
