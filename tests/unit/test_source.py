# SPDX-License-Identifier: Apache-2.0
"""What reads the code before every test run finds what must not be in it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BAD = """
import pickle, subprocess, tarfile, ssl, requests, yaml
pickle.loads(b"")
eval("1")
yaml.load("", yaml.Loader)
subprocess.run("ls", shell=True)
tarfile.open("x").extractall()
name = "x"
query = f"SELECT * FROM t WHERE name = '{name}'"
requests.get("https://example.org")
requests.get("https://example.org", verify=False, timeout=1)
"""
FOUND = {"S301", "S307", "S506", "S602", "S202", "S608", "S113", "S501"}


class SourceTest(unittest.TestCase):
    def test_f4_f5_f6_what_reads_the_code_finds_what_must_not_be_in_it(self) -> None:
        """F4, F5, F6."""
        settings = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
        chosen = set(settings["select"])
        self.assertEqual(set(), FOUND - chosen)
        self.assertEqual({"tests/**": ["S"]}, settings["per-file-ignores"], "the product itself is left out of nothing")
        ruff = [Path(sys.executable).parent / "ruff", "check"]
        reading = [*ruff, "--output-format", "concise", "--stdin-filename", "x.py", "-"]
        done = subprocess.run(reading, input=BAD, cwd=TOP, capture_output=True, text=True)
        self.assertEqual(set(), {rule for rule in FOUND if rule not in done.stdout}, done.stdout)
        clean = subprocess.run([*ruff, "--quiet", "zun_lite"], cwd=TOP)
        self.assertEqual(0, clean.returncode)
