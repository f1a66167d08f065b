# SPDX-License-Identifier: Apache-2.0
"""What lies beside the code for operators names what is there: programs, folders, options, statuses."""

from __future__ import annotations

import configparser
import os
import re
import unittest
from pathlib import Path

from zun_lite.common import config

TOP = Path(__file__).resolve().parents[3]


def read_unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(path)
    return parser


class UnitsTest(unittest.TestCase):
    def setUp(self):
        setup = configparser.ConfigParser(interpolation=None)
        setup.read(TOP / "setup.cfg")
        scripts = setup["options.entry_points"]["console_scripts"].split("\n")
        self.scripts = {line.partition("=")[0].strip() for line in scripts if line.strip()}
        self.units = {path.name: read_unit(path) for path in sorted((TOP / "etc" / "systemd").glob("*.service"))}

    def test_every_program_that_runs_on_and_on_has_a_unit(self):
        wanted = {f"zun-lite{name}.service" for name in ("", "-api", "-controller", "-gateway", "-agent", "-netd")}
        self.assertEqual(wanted, set(self.units))

    def test_units_start_programs_that_the_package_has(self):
        for name, unit in self.units.items():
            program = os.path.basename(unit["Service"]["ExecStart"].split()[0])
            self.assertIn(program, self.scripts, name)

    def test_a_wrong_configuration_is_not_started_again_and_again(self):
        for name, unit in self.units.items():
            self.assertEqual(str(os.EX_CONFIG), unit["Service"]["RestartPreventExitStatus"], name)

    def test_the_log_rotation_is_of_the_folder_that_logs_are_in(self):
        text = (TOP / "etc" / "logrotate.d" / "zun_lite").read_text()
        self.assertIn("/var/lib/zun_lite/log/*.log", text)
        self.assertIn("copytruncate", text)

    def test_the_records_of_who_did_what_are_moved_away_and_not_cut(self):
        conf = config.load([], state_dir="/var/lib/zun_lite")
        text = (TOP / "etc" / "logrotate.d" / "zun_lite").read_text()
        (options,) = re.findall(re.escape(conf.audit.file) + r" \{(.*?)\}", text, re.S)
        self.assertIn("nocreate", options)
        self.assertNotIn("copytruncate", options)

    def test_the_packages_that_are_installed_are_those_that_are_listed(self):
        listed = set(re.findall(r"^([a-z0-9.-]+)(?= \[|$)", (TOP / "bindep.txt").read_text(), re.M))
        make = (TOP / "Makefile").read_text().replace("\\\n", " ")
        wanted = set()
        for name in ("RUN_PACKAGES", "TEST_PACKAGES", "BENCH_PACKAGES", "CHAOS_PACKAGES", "OPENSTACK_PACKAGES"):
            wanted |= set(
                re.findall(r"(?<!\$\()\b[a-z][a-z0-9.-]+\b(?!\))", re.search(rf"^{name} := (.*)$", make, re.M)[1])
            )
        self.assertLessEqual(wanted, listed)
