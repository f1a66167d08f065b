# SPDX-License-Identifier: Apache-2.0
"""Dashboard and alarms ask for what the API and the audit really export."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.api.case import ApiTestCase
from zun_lite.cmd import audit

ETC = Path(__file__).resolve().parents[2] / "etc"
RULES, RULE_TESTS = (ETC / "prometheus" / f"zun_lite.rules{end}.yml" for end in ("", ".test"))
# labels that Prometheus adds, and that it makes buckets of
ADDED = {"job", "instance", "le"}
ASKED = re.compile(r"\b(zun_lite_[a-z0-9_]+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~?)\s*"([^"]*)"')
GROUPED = re.compile(r"\bby \(([^)]*)\)")


class DashboardTest(ApiTestCase):
    def setUp(self):
        super().setUp()
        self.dashboard = json.loads((ETC / "grafana" / "zun_lite.json").read_text())
        self.panels = self.dashboard["panels"]
        self.alarms = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
        asked = [target["expr"] for panel in self.panels for target in panel["targets"]]
        self.expressions = asked + [alarm["expr"] for alarm in self.alarms]

    def exported(self) -> dict[str, dict[str, set[str]]]:
        """Of each name of a metric, with the endings that it has in Prometheus: labels, and values of theirs."""
        self.running("web")
        self.call("GET", "/v1/containers/missing")
        text = self.client.simulate_get("/metrics", extras={"REMOTE_ADDR": "127.0.0.1"}).text
        with tempfile.TemporaryDirectory() as folder:
            audit.write_textfile(f"{folder}/zun_lite.prom", [], 0.0)
            text += Path(folder, "zun_lite.prom").read_text()
        found: dict[str, dict[str, set[str]]] = {}
        for family in text_string_to_metric_families(text):
            # one without a sample yet, as of a program that has no certificate, is there by name
            if not family.samples:
                found.setdefault(family.name, {"program": set()})
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for name, value in sample.labels.items():
                    labels.setdefault(name, set()).add(value)
        return found

    def test_metrics_and_labels_that_are_asked_for_are_exported(self):
        exported = self.exported()
        for expression in self.expressions:
            asked = ASKED.findall(expression)
            if "absent(up" not in expression:
                self.assertNotEqual([], asked, expression)
            for name, matchers in asked:
                self.assertIn(name, exported, expression)
                labels = exported[name]
                grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
                self.assertLessEqual(grouped - ADDED, set(labels), expression)
                for label, sign, value in MATCHER.findall(matchers):
                    if label in ADDED:
                        continue
                    self.assertIn(label, labels, expression)
                    # answers 5xx are not made here
                    wanted = set(value.split("|") if sign == "=~" else [value]) - {"5xx"}
                    self.assertLessEqual(wanted, labels[label], expression)

    def test_what_every_api_server_says_of_the_cloud_is_not_added_up(self):
        """The servers share their database: two would double each number."""
        for expression in self.expressions:
            for summed in re.findall(r"\bsum by \([^)]*\) \(([^()]*)", expression):
                self.assertIn(summed, ("rate",), expression)

    def test_each_panel_has_a_unit_a_place_of_its_own_and_a_legend(self):
        self.assertEqual(len(self.panels), len({panel["id"] for panel in self.panels}))
        places: set[tuple[int, int]] = set()
        for panel in self.panels:
            title, at = panel["title"], panel["gridPos"]
            self.assertIn(panel["fieldConfig"]["defaults"]["unit"], ("short", "s", "reqps", "percentunit"), title)
            self.assertTrue(all(target["legendFormat"] for target in panel["targets"]), title)
            mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertLessEqual(max(x for x, _ in mine), 23, title)
            self.assertFalse(mine & places, title)
            places |= mine

    def test_it_is_of_the_source_and_the_job_that_are_chosen(self):
        chosen = {one["name"]: one["type"] for one in self.dashboard["templating"]["list"]}
        self.assertEqual({"source": "datasource", "job": "query"}, chosen)
        for panel in self.panels:
            for part in (panel, *panel["targets"]):
                self.assertEqual({"type": "prometheus", "uid": "${source}"}, part["datasource"], panel["title"])
            for target in panel["targets"]:
                if "zun_lite_audit" not in target["expr"]:
                    self.assertIn('job="$job"', target["expr"], panel["title"])

    def test_each_alarm_is_tried_silent_and_loud_and_says_what_to_do(self):
        tried: dict[str, set[bool]] = {}
        for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
        for alarm in self.alarms:
            self.assertEqual({False, True}, tried.get(alarm["alert"]), alarm["alert"])
            self.assertLessEqual({"summary", "description"}, set(alarm["annotations"]))
            self.assertIn(alarm["labels"]["severity"], ("warning", "critical"))
        self.assertEqual({alarm["alert"] for alarm in self.alarms}, set(tried))
