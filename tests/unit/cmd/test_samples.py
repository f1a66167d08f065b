# SPDX-License-Identifier: Apache-2.0
"""The samples in etc/zun_lite are what oslo's generators make of the code; ZUN_LITE_WRITE_DOCS=1 makes them anew."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from zun_lite.common import config

ETC = Path(__file__).resolve().parents[3] / "etc" / "zun_lite"
BIN = Path(sys.executable).parent


class SamplesTest(unittest.TestCase):
    def check(self, generator: str, name: str) -> str:
        """Run a generator of oslo's; what it made, once the sample was held against it."""
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / name
            done = subprocess.run(
                [BIN / generator, "--namespace", "zun_lite", "--output-file", str(made), *self.more(generator)],
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(0, done.returncode, done.stderr)
            text = made.read_text()
        if os.environ.get("ZUN_LITE_WRITE_DOCS"):
            (ETC / name).write_text(text)
        self.assertEqual((ETC / name).read_text(), text, f"{name} is not fresh")
        return text

    def more(self, generator: str) -> list[str]:
        return ["--wrap-width", "100"] if generator == "oslo-config-generator" else []

    def test_the_sample_configuration_has_every_option(self):
        text = self.check("oslo-config-generator", "zun_lite.conf.sample")
        self.assertNotIn("without restarting", text)
        for group, options in config.GROUPS.items():
            self.assertIn(f"[{group or 'DEFAULT'}]", text)
            for option in options:
                self.assertIn(f"#{option.dest} =", text)

    def test_the_sample_configuration_is_a_good_one(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "zun_lite.conf"
            sample = (ETC / "zun_lite.conf.sample").read_text()
            path.write_text(
                "\n".join(re.sub(r"^#(?=[a-z0-9_]+ = (?!<None>))", "", line) for line in sample.splitlines())
            )
            config.load([f"--config-file={path}"], state_dir=folder)

    def test_the_sample_policy_has_every_rule(self):
        self.check("oslopolicy-sample-generator", "policy.yaml.sample")
