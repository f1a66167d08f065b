# SPDX-License-Identifier: Apache-2.0
"""No stock command is without a test, and the docs' table of them is what the tests say."""

from __future__ import annotations

import os
import unittest

from tests.functional import commands

WRITE = "ZUN_LITE_WRITE_DOCS"


class TableOfCommandsTest(unittest.TestCase):
    def test_every_command_of_the_container_client_has_a_case(self):
        plugin = commands.plugin_commands()
        self.assertGreaterEqual(len(plugin), 56)
        self.assertEqual([], sorted(set(plugin) - {case.command for case in commands.cases()}))

    def test_every_command_for_networks_has_a_case(self):
        networking = commands.networking_commands()
        self.assertGreaterEqual(len(networking), 134)
        self.assertEqual([], sorted(set(networking) - {case.command for case in commands.cases()}))

    def test_the_docs_say_what_the_tests_show(self):
        table = commands.table(commands.cases())
        if os.environ.get(WRITE):
            commands.TABLE.write_text(table)
        self.assertEqual(commands.TABLE.read_text(), table, f"{commands.TABLE} is old; {WRITE}=1 writes it anew")
