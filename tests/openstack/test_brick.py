# SPDX-License-Identifier: Apache-2.0
"""os-brick as netd runs it. Of its connectors only LOCAL works without iSCSI; the others are reached alike."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from tests.openstack.real_cinder import VENV

TOP = Path(__file__).resolve().parent.parent.parent


class Brick(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="zl-brick-")))
        file = self.folder / "file"
        with file.open("wb") as opened:
            opened.truncate(1024**2)
        made = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True)
        self.node = made.stdout.strip()
        self.addCleanup(subprocess.run, ["losetup", "--detach", self.node], check=True)

    def ask(self, action, **question):
        body = {"lock_dir": str(self.folder), "multipath": False, **question}
        done = subprocess.run(
            [VENV / "bin" / "python", "-W", "ignore", "-m", "zun_lite.netd.brick", action],
            input=json.dumps(body),
            env={**os.environ, "PYTHONPATH": str(TOP)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return json.loads(done.stdout.splitlines()[-1])

    def test_it_says_what_the_host_is_to_drivers(self):
        said = self.ask("properties", host="compute1", ip="192.0.2.1")["connector"]
        self.assertEqual(("compute1", "192.0.2.1", False), (said["host"], said["ip"], said["multipath"]))

    def test_a_device_is_connected_and_disconnected(self):
        how = {"driver_volume_type": "local", "data": {"device_path": self.node}}
        self.assertEqual({"path": self.node}, self.ask("connect", **how))
        self.assertEqual({}, self.ask("disconnect", **how))

    def test_a_kind_that_it_does_not_know_is_a_problem_in_words(self):
        answer = self.ask("connect", driver_volume_type="carrier-pigeon", data={"secret": "chap"})
        self.assertIn("CARRIER-PIGEON", answer["problem"].upper())
        self.assertNotIn("chap", answer["problem"])
