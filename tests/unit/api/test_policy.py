# SPDX-License-Identifier: Apache-2.0
"""The rules: their defaults, an operator's file over them, and what is not known."""

from __future__ import annotations

import ast
import configparser
import os
import tempfile
import time
import unittest
from dataclasses import replace
from pathlib import Path

from oslo_policy import generator

import zun_lite
from tests.builders import a_caller
from zun_lite.api import policy
from zun_lite.api.policy import LOOK_EVERY_SECONDS, Policy
from zun_lite.api.policy_rules import list_rules
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors

MEMBER, ADMIN = a_caller("p1"), a_caller("p1", "member", "admin")


class DefaultsTest(unittest.TestCase):
    def test_members_act_on_their_own_project_only(self):
        rules = Policy()
        self.assertTrue(rules.allows(MEMBER, "container:start", "p1"))
        self.assertFalse(rules.allows(MEMBER, "container:start", "p2"))
        self.assertTrue(rules.allows(ADMIN, "container:start", "p2"))

    def test_nobody_owns_what_has_no_owner(self):
        without = replace(MEMBER, project_id=None)
        self.assertFalse(Policy().allows(without, "container:get_all", None))

    def test_administrators_rules_refuse_members(self):
        rules = Policy()
        for rule in ("host:get", "image:pull", "container:get_one:host", "quota:update", "network:create"):
            self.assertFalse(rules.allows(MEMBER, rule, "p1"), rule)
            self.assertTrue(rules.allows(ADMIN, rule, "p1"), rule)

    def test_no_one_may_ask_for_privileged_containers(self):
        self.assertFalse(Policy().allows(ADMIN, "container:create:privileged", "p1"))

    def test_a_rule_that_is_not_known_denies(self):
        """A1."""
        self.assertFalse(Policy().allows(ADMIN, "container:fly", "p1"))

    def test_every_rule_that_the_code_asks_for_by_name_is_defined(self):
        defined = {rule.name for rule in list_rules()}
        asked = set()
        for path in Path(zun_lite.__file__).parent.joinpath("api").rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if node.func.attr in ("enforce", "allows") and len(node.args) > 1:
                    asked.update(
                        arg.value
                        for arg in node.args[1:2]
                        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                    )
        self.assertIn("container:create", asked)
        self.assertEqual(set(), asked - defined)

    def test_the_rules_below_the_edge_are_those_of_the_edge(self):
        self.assertFalse(replace(MEMBER, judge=Policy()).may("network:attach_external_network", "p2"))
        self.assertTrue(replace(ADMIN, judge=Policy()).may("network:attach_external_network", "p2"))

    def test_the_sample_generator_finds_the_rules(self):
        setup = configparser.ConfigParser()
        setup.read(Path(zun_lite.__file__).parent.parent / "setup.cfg")
        points = setup["options.entry_points"]["oslo.policy.policies"].split()
        self.assertEqual(["zun_lite", "=", f"{list_rules.__module__}:{list_rules.__name__}"], points)
        sample = "\n".join(generator._format_rule_default_yaml(rule) for rule in list_rules())
        self.assertIn('#"container:create:privileged": "!"', sample)
        self.assertIn("# POST  /v1/containers", sample)

    def test_a_route_without_a_rule_keeps_the_api_from_starting(self):
        """A1."""

        class Flight:
            def on_post(self, req, resp):
                return

        policy.check_routes([("/v1/containers", Flight(), None)])
        with self.assertRaisesRegex(errors.Failed, "/v1/flights"):
            policy.check_routes([("/v1/flights", Flight(), None)])

    def test_a_decision_that_was_made_costs_next_to_nothing(self):
        rules = Policy()
        rules.allows(MEMBER, "container:get_one", "p1")
        began = time.perf_counter()
        for _ in range(1000):
            rules.allows(MEMBER, "container:get_one", "p1")
        self.assertLess((time.perf_counter() - began) / 1000, 50e-6)


class FileTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "policy.yaml")
        self.clock = StoppedClock()

    def write(self, text):
        Path(self.path).write_text(text)

    def test_a_file_overrides_and_adds_nothing_else(self):
        self.write('"container:create:privileged": "rule:context_is_admin"\n')
        rules = Policy(self.path, self.clock)
        self.assertTrue(rules.allows(ADMIN, "container:create:privileged", "p1"))
        self.assertFalse(rules.allows(MEMBER, "container:create:privileged", "p1"))
        self.assertTrue(rules.allows(MEMBER, "container:start", "p1"))

    def test_a_file_that_comes_changes_and_goes_is_heeded_within_seconds(self):
        rules = Policy(self.path, self.clock)
        self.assertTrue(rules.allows(MEMBER, "container:start", "p1"))
        for text, allowed in (('"container:start": "!"\n', False), ('"container:start": "role:member"\n', True)):
            self.write(text)
            self.clock.advance(LOOK_EVERY_SECONDS)
            self.assertEqual(allowed, rules.allows(MEMBER, "container:start", "p1"))
        self.assertTrue(rules.allows(MEMBER, "container:start", "p2"))
        os.unlink(self.path)
        self.clock.advance(LOOK_EVERY_SECONDS)
        self.assertFalse(rules.allows(MEMBER, "container:start", "p2"))

    def test_who_made_a_container_can_be_asked_for(self):
        self.write('"container:start": "user_id:%(user_id)s"\n')
        rules = Policy(self.path, self.clock)
        self.assertTrue(rules.allows(MEMBER, "container:start", "p1", MEMBER.user_id))
        self.assertFalse(rules.allows(MEMBER, "container:start", "p1", "another"))

    def test_who_an_administrator_is_can_be_said(self):
        self.write('"context_is_admin": "role:operator"\n')
        rules = Policy(self.path, self.clock)
        operator = a_caller("p1", "operator")
        self.assertTrue(rules.is_admin(operator))
        self.assertTrue(rules.allows(operator, "container:start", "p2"))
        self.assertFalse(rules.allows(ADMIN, "host:get", "p1"))

    def test_a_file_that_cannot_be_understood_keeps_the_api_from_starting(self):
        for text in ("- a\n- list\n", '"container:start": "rule:nothing"\n', "\t: :\n", '"container:start": 7\n'):
            self.write(text)
            self.assertRaises(errors.Invalid, Policy, self.path, self.clock)

    def test_a_file_that_breaks_while_the_api_runs_changes_nothing(self):
        self.write('"container:start": "!"\n')
        rules = Policy(self.path, self.clock)
        self.write("- a list\n")
        self.clock.advance(LOOK_EVERY_SECONDS)
        with self.assertLogs("zun_lite.api.policy", "ERROR"):
            self.assertFalse(rules.allows(MEMBER, "container:start", "p1"))
