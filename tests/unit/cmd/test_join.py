# SPDX-License-Identifier: Apache-2.0
"""What `zun-lite join` refuses, and what it writes, before anything of the machine is touched."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

from tests.certificates import Authority
from zun_lite.cmd import installation, join, lock, startup, supervisor
from zun_lite.cmd.join import Wish
from zun_lite.common import config, join_token, tls
from zun_lite.common.join_token import JoinToken
from zun_lite.domain import errors


class JoinTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state_dir = os.path.join(folder.name, "state")

    def join(self, url: str, token: str = "the-token", **more) -> installation.Installation:
        with mock.patch.object(startup, "run", return_value=0) as run:
            join.join(self.state_dir, Wish(url, token, "host2", **more), detach=True)
        return run.call_args.args[0]

    def test_it_writes_what_a_host_needs_and_keeps_the_token_to_itself(self):
        here = self.join("http://192.0.2.1:9517", address="192.0.2.7", insecure=True, docker_socket="/run/d.sock")
        self.assertEqual(("netd", "agent"), here.programs)
        self.assertTrue(here.is_joined)
        self.assertEqual(("192.0.2.7", 9518, "/run/d.sock"), (here.agent_bind, here.agent_port, here.docker_socket))
        self.assertEqual(0o600, os.stat(here.join_token_file).st_mode & 0o777)
        conf = config.load([], state_dir=self.state_dir)
        self.assertEqual(
            ("http://192.0.2.1:9517", "host2", "192.0.2.7:9518", "192.0.2.7"),
            (conf.agent.api_url, conf.agent.host_name, conf.agent.address, conf.agent.underlay_address),
        )
        programs = supervisor.programs_of(here)
        self.assertEqual(["netd", "agent"], [program.name for program in programs])
        self.assertEqual({"ZUN_LITE_JOIN_TOKEN": "the-token"}, programs[1].extra())
        os.unlink(here.join_token_file)
        with self.assertRaisesRegex(errors.Failed, "run `zun-lite join` with a new token"):
            programs[1].extra()

    def test_plain_http_is_for_this_machine_alone(self):
        with self.assertRaisesRegex(errors.Invalid, "is plain http.*say --insecure"):
            self.join("http://192.0.2.1:9517", address="192.0.2.7")
        self.assertFalse(os.path.exists(self.state_dir))
        self.assertTrue(self.join("http://127.0.0.1:9517").is_joined)

    def test_a_host_on_the_apis_own_machine_makes_no_tunnels(self):
        self.join("http://127.0.0.1:9517")
        conf = config.load([], state_dir=self.state_dir)
        self.assertEqual(("127.0.0.1", None), (conf.agent.bind, conf.agent.underlay_address))

    def test_https_needs_no_leave(self):
        self.assertEqual("https://192.0.2.1", self.join("https://192.0.2.1/", address="192.0.2.7").api_url)

    def test_a_ca_of_the_operators_own_is_kept_in_the_configuration(self):
        with self.assertRaisesRegex(errors.Invalid, "--ca-file /nowhere.pem cannot be read"):
            self.join("https://192.0.2.1/", address="192.0.2.7", ca_file="/nowhere.pem")
        with tempfile.NamedTemporaryFile(suffix=".pem") as ca:
            self.join("https://192.0.2.1/", address="192.0.2.7", ca_file=ca.name)
            self.assertEqual(ca.name, config.load([], state_dir=self.state_dir).tls.ca_file)

    def test_a_cloud_is_known_by_the_fingerprint_in_the_token_and_no_other_is(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        ours, other = (Authority(Path(folder.name), name) for name in ("ca", "other"))
        text, foreign = (
            JoinToken("s3cret", join_token.fingerprint(tls.read_cas(ca.file))).text() for ca in (ours, other)
        )
        asked = []

        class Api(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(tls.read_cas(ours.file))

            def log_message(self, *_):
                return

        pair = ours.pair("api", "127.0.0.1")
        server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
        server.socket = tls.serve("api", pair.certificate, pair.key).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"https://127.0.0.1:{server.server_port}"
        with self.assertRaisesRegex(errors.Forbidden, "is not the cloud that the token is of"):
            self.join(url, token=foreign)
        self.assertFalse(os.path.exists(self.state_dir))
        with self.assertRaisesRegex(errors.Invalid, "is not whole"):
            self.join(url, token=text[:-1])
        here = self.join(url, token=text)
        believed = config.load([], state_dir=self.state_dir).tls.ca_file
        self.assertEqual(here.path("keys", "ca.pem"), believed)
        self.assertEqual(tls.read_cas(ours.file), tls.read_cas(believed))
        self.assertEqual([("/node/v1/ca", None)] * 2, asked)
        self.assertNotIn("s3cret", str(asked))

    def test_what_is_no_url_or_no_address_is_named(self):
        for url in ("cloud", "ftp://cloud", "http://:9517", "http://cloud:port"):
            with self.assertRaisesRegex(errors.Invalid, "is not an API's URL"):
                self.join(url)
        with self.assertRaisesRegex(errors.Invalid, "is not an IP address"):
            self.join("https://192.0.2.1", address="here")

    def test_an_installation_that_is_there_is_left_as_it_is(self):
        self.join("http://127.0.0.1:9517")
        here = self.join("http://127.0.0.1:9518")
        self.assertEqual("http://127.0.0.1:9518", here.api_url, "a join that was refused may be followed by another")
        with open(here.identity_file, "w") as file:
            file.write("{}")
        with self.assertRaisesRegex(errors.Conflict, "is an installation already"):
            self.join("http://127.0.0.1:9517")

    def test_a_host_may_join_its_cloud_anew_when_it_is_down(self):
        here = self.join("http://127.0.0.1:9517")
        with open(here.identity_file, "w") as file:
            file.write("{}")
        (agent,) = (program for program in supervisor.programs_of(here) if program.name == "agent")
        self.assertEqual({}, agent.extra(), "a token that was spent is given again")
        with open(here.config_file, "a") as file:
            file.write("# an operator's own line")
        held = lock.take(here.lock_file)
        with self.assertRaisesRegex(errors.Conflict, "`zun-lite down` first"):
            self.join("http://127.0.0.1:9517")
        os.close(held)
        self.join("http://127.0.0.1:9517/")
        self.assertEqual({"ZUN_LITE_JOIN_TOKEN": "the-token"}, agent.extra())
        with open(here.config_file) as file:
            self.assertIn("an operator's own line", file.read())

    def test_the_token_is_never_of_the_command_line(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("from-a-file\n")
            file.flush()
            self.assertEqual("from-a-file", join.read_token(file.name))
        with mock.patch.dict(os.environ, {"ZUN_LITE_JOIN_TOKEN": "from-there"}):
            self.assertEqual("from-there", join.read_token(None))
            self.assertNotIn("ZUN_LITE_JOIN_TOKEN", os.environ)
        with mock.patch("sys.stdin") as stdin:
            stdin.isatty.return_value, stdin.readline.return_value = False, "\n"
            with self.assertRaisesRegex(errors.Invalid, "There is no token: make one with"):
                join.read_token(None)


class LongAwayTest(unittest.TestCase):
    def test_a_machine_of_its_own_that_was_off_for_long_lets_its_host_join_anew(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        here = installation.read(folder.name)
        for path in (here.identity_file, here.host_key_file):
            os.makedirs(os.path.dirname(path))
            with open(path, "w") as file:
                file.write("{}")
        (agent,) = (program for program in supervisor.programs_of(here) if program.name == "agent")
        made = mock.Mock(returncode=0, stdout="the-token\n")
        with mock.patch.object(supervisor.subprocess, "run", return_value=made):
            self.assertEqual({}, agent.extra())
            long_ago = time.time() - 20 * 86400
            os.utime(here.host_key_file, (long_ago, long_ago))
            self.assertEqual({"ZUN_LITE_JOIN_TOKEN": "the-token"}, agent.extra())
