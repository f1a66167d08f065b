# SPDX-License-Identifier: Apache-2.0
"""The log of a program, as oslo.log's options have it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from tests.logged import logged


class LinesTest(unittest.TestCase):
    def test_what_users_wrote_makes_no_line_of_its_own(self):
        with logged() as text:
            logging.getLogger("zun_lite.x").info("name %s", "a\n2026 all is well\x1b[2J")
            try:
                raise RuntimeError("b\n2026 all is well")
            except RuntimeError:
                logging.getLogger("zun_lite.x").warning("warned")
                logging.getLogger("zun_lite.x").exception("name %s", "c\nd")
        lines = text.getvalue().splitlines()
        self.assertTrue(lines[0].endswith(r"INFO zun_lite.x name a\n2026 all is well\x1b[2J"), lines[0])
        self.assertTrue(lines[1].endswith("WARNING zun_lite.x warned"), lines[1])
        self.assertTrue(lines[2].endswith(r"ERROR zun_lite.x name c\nd: RuntimeError: b\n2026 all is well"), lines[2])
        for line in lines[3:]:
            self.assertIn(" ERROR zun_lite.x ", line)


class OptionsTest(unittest.TestCase):
    def program(self, *lines: str) -> tuple[int, str]:
        """The exit code and standard error of one that logs a line, under these options; its files: self.folder."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        text = "\n".join(("[DEFAULT]", f"state_dir = {folder.name}", *lines)).replace("HERE", folder.name)
        (self.folder / "zun_lite.conf").write_text(text + "\n")
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", LOGS_A_LINE],
            env={**os.environ, "ZUN_LITE_CONFIG": str(self.folder / "zun_lite.conf")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stderr

    def test_lines_go_where_they_are_told_to(self):
        self.assertRegex(self.program()[1], r"^[0-9: .-]{23} zun-lite-x\[\d+\] INFO zun_lite.x hello\n$")
        self.assertEqual((0, ""), self.program("log_dir = HERE", "use_stderr = false", "use_json = true"))
        (line,) = (self.folder / "zun-lite-x.log").read_text().splitlines()
        self.assertEqual("hello", json.loads(line)["message"])

    def test_a_log_that_cannot_be_written_is_one_line_and_no_start(self):
        for option in ("log_dir = HERE/not/there", "log_config_append = HERE/zun_lite.conf", "publish_errors = true"):
            code, said = self.program(option)
            self.assertEqual(os.EX_CONFIG, code, said)
            self.assertEqual(1, len(said.splitlines()), said)
            self.assertIn("zun-lite-x: The log cannot be begun", said)


LOGS_A_LINE = """
import logging
from zun_lite.cmd import begin
begin.configured("zun-lite-x")
logging.getLogger("zun_lite.x").info("hello")
"""
