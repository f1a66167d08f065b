# SPDX-License-Identifier: Apache-2.0
"""What a wrong configuration is answered with: one line that names file, section, option and remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from zun_lite.common import config
from zun_lite.domain import errors


class ConfigCheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(folder.name, "zun_lite.conf")

    def load(self, text: str | bytes, **environment: str):
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        with mock.patch.dict(os.environ, {"ZUN_LITE_CONFIG": self.path, **environment}):
            return config.load()

    def refusal(self, text: str | bytes, **environment: str) -> str:
        with self.assertRaises(errors.Invalid) as caught:
            self.load(text, **environment)
        self.assertNotIn("\n", caught.exception.message)
        return caught.exception.message

    def test_a_good_file_is_read(self):
        conf = self.load("[DEFAULT]\nstate_dir = /srv/zl\n[api]\nport = 1234\n[image]\nallowed_registries = a, b\n")
        self.assertEqual((1234, ["a", "b"], "/srv/zl"), (conf.api.port, conf.image.allowed_registries, conf.state_dir))

    def test_a_value_of_the_wrong_kind_is_named_with_what_is_wanted(self):
        for section, line, wanted in (
            ("api", "port = x", "a port number (0 to 65535)"),
            ("api", "bind = a b", "an IP address or a host's name"),
            ("container", "pids_limit = 3", "a whole number of at least 16"),
            ("network", "mtu = 100000", "a whole number from 1280 to 9000"),
            ("scheduler", "cpu_ratio = many", "a number of at least 0.1"),
            ("agent", "pool_shared = perhaps", "true or false"),
            ("DEFAULT", "cluster = A_B", "text that matches ^[a-z0-9]{1,16}$"),
            ("volume", "provider = lvm", "one of "),
        ):
            said = self.refusal(f"[{section}]\n{line}\n")
            self.assertIn(f"{self.path}: [{section}] {line} is not {wanted}", said)
            self.assertIn("correct it, or leave the line out for its default", said)

    def test_networks_for_docker_are_named_by_ids_and_hosts(self):
        network = "5f0c1c9a-7d52-4b0e-9a52-0d6b9f1f33e1"
        conf = self.load(f"[network]\ndocker_networks = {network}, {network}@host-1\n")
        self.assertEqual([network, f"{network}@host-1"], conf.network.docker_networks)
        said = self.refusal("[network]\ndocker_networks = mine\n")
        self.assertIn("docker_networks = mine is not a list with commas between its entries, each text that", said)

    def test_an_option_that_is_not_there_is_answered_with_where_or_what_it_may_be(self):
        self.assertEqual(
            f"{self.path}: section [api] has no option prot; did you mean port?", self.refusal("[api]\nprot = 1\n")
        )
        self.assertIn("it belongs in [netd].", self.refusal("[api]\nmount_dir = /mnt\n"))
        self.assertIn("take the line out", self.refusal("[api]\nqqqqqq = 1\n"))

    def test_a_section_that_is_not_there_is_answered_with_those_that_are(self):
        self.assertEqual(
            f"{self.path}: there is no section [apy]; did you mean [api]?", self.refusal("[apy]\nport = 1\n")
        )
        self.assertIn("the sections are [DEFAULT], [agent]", self.refusal("[qqqqqq]\nport = 1\n"))

    def test_sections_of_libraries_are_theirs_to_check(self):
        self.load("[keystone_authtoken]\nauth_url = http://keystone.example:5000\n")

    def test_a_line_that_is_none_is_named_by_its_number(self):
        self.assertIn(f"{self.path}, line 2: ", self.refusal("[api]\nhello\n"))
        self.assertIn(f"{self.path}: it is not text in UTF-8", self.refusal(b"[api]\nport = \xff\xfe\n"))

    def test_a_file_that_is_named_and_missing_is_said_to_be(self):
        gone = os.path.join(self.folder, "gone.conf")
        self.assertIn(f"{gone}: there is no such configuration file", self.refusal("", ZUN_LITE_CONFIG=gone))

    def test_a_value_of_the_environment_is_named_as_such(self):
        said = self.refusal("", OS_API__PORT="q")
        self.assertIn("the environment's OS_API__PORT: [api] port = q is not a port number", said)

    def test_a_program_ends_with_one_line_and_the_status_for_a_wrong_configuration(self):
        with open(self.path, "w") as file:
            file.write("[api]\nport = x\n")
        for program in ("api", "controller", "agent", "netd", "gateway", "manage"):
            ended = subprocess.run(
                [sys.executable, "-W", "ignore", "-m", f"zun_lite.cmd.{program}"]
                + (["db", "version"] if program == "manage" else []),
                env={**os.environ, "ZUN_LITE_CONFIG": self.path},
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(os.EX_CONFIG, ended.returncode, ended.stderr)
            self.assertEqual(1, len(ended.stderr.splitlines()), ended.stderr)
            self.assertIn(f"zun-lite-{program}: {self.path}: [api] port = x", ended.stderr)
