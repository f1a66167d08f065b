# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus reads a cloud under load: every panel and every alarm is answered, in numbers that make sense.

Debian's packages `prometheus` and `docker.io` are all that it takes.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import requests
import yaml

from tests.certificates import DAY, Authority
from tests.cloud import Cloud, free_ports

ETC = Path(__file__).resolve().parents[2] / "etc"
RULES = ETC / "prometheus" / "zun_lite.rules.yml"
CONTAINERS = 4
LIMIT_SECONDS = 120.0
# what a panel of a unit may show of a small cloud
SENSIBLE = {"short": (0, 1000), "s": (0, 40 * 86400), "reqps": (0, 10_000), "percentunit": (0, 1)}
# of each API, and of one a thing that is not there
LOAD = (
    *("/v1/containers", "/v1/containers/none", "/identity/v3"),
    *("/network/v2.0/networks", "/volume/v3/volumes", "/image/v2/images"),
)


class PrometheusTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="zl-prometheus-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        pair = Authority(cls.folder).pair("gateway", "cloud.example.org", lasts=20 * DAY)
        settings = {"gateway": {"tls_cert_file": pair.certificate, "tls_key_file": pair.key}}
        cls.cloud = cls.enterClassContext(Cloud(settings=settings))
        network = cls.cloud.make_network()
        for number in range(CONTAINERS):
            uuid = cls.cloud.run_container(f"c{number}", nets=[{"network": network}])
            cls.cloud.wait_status(uuid, "Running")
        cls.textfile = cls.folder / "zun_lite.prom"
        cls.cloud.program("audit", "--wait", "10", "--textfile", str(cls.textfile))
        cls.url = cls.start_prometheus()

    @classmethod
    def start_prometheus(cls) -> str:
        (port,) = free_ports(1)
        scraped = {"job_name": "zun_lite", "static_configs": [{"targets": [f"127.0.0.1:{cls.cloud.port}"]}]}
        whole = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(RULES)]}
        (cls.folder / "prometheus.yml").write_text(yaml.safe_dump({**whole, "scrape_configs": [scraped]}))
        words = ["setpriv", "--pdeathsig", "TERM", "prometheus", f"--config.file={cls.folder / 'prometheus.yml'}"]
        words += [f"--storage.tsdb.path={cls.folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{port}"]
        with (cls.folder / "log").open("wb") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        cls.addClassCleanup(process.wait, 30)
        cls.addClassCleanup(process.terminate)

        def ready() -> bool:
            try:
                return requests.get(f"http://127.0.0.1:{port}/-/ready", timeout=10).ok
            except requests.ConnectionError:
                return False

        cls.cloud.wait(ready, "Prometheus is ready")
        return f"http://127.0.0.1:{port}/api/v1"

    def ask(self, path: str, **parameters: str) -> dict:
        answer = requests.get(f"{self.url}/{path}", params=parameters, timeout=10)
        self.assertEqual("success", answer.json()["status"], answer.text)
        return answer.json()["data"]

    def values(self, expression: str) -> list[float]:
        return [float(one["value"][1]) for one in self.ask("query", query=expression)["result"]]

    def under_load_until(self, look, what: str):
        """Requests all the while, so that rates have something to tell."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            for path in LOAD:
                self.cloud.call("GET", path)
            if found := look():
                return found
        self.fail(f"not within {LIMIT_SECONDS:g} s: {what}\n{(self.folder / 'log').read_text()[-2000:]}")

    def test_every_panel_has_numbers_of_its_unit(self) -> None:
        self.under_load_until(lambda: self.values("count_over_time(up[1m]) > 20"), "twenty scrapes")
        for title, unit, expression in self.panels():
            least, most = SENSIBLE[unit]
            found = self.under_load_until(lambda asked=expression: self.values(asked), title)
            for value in found:
                self.assertFalse(math.isnan(value), f"{title}: {expression}")
                self.assertTrue(least <= value <= most, f"{title}: {value} {unit}")
            print(f"{title}: {found}")
        self.assertEqual([CONTAINERS], self.values('max(zun_lite_workloads{status="Running"})'))
        (days,) = self.values('(max(zun_lite_certificate_end_timestamp_seconds{program="gateway"}) - time()) / 86400')
        self.assertAlmostEqual(20, days, delta=0.1)

    def panels(self) -> list[tuple[str, str, str]]:
        """Title, unit and expression of each, as Grafana would ask; the node exporter is not here."""
        found = []
        for panel in json.loads((ETC / "grafana" / "zun_lite.json").read_text())["panels"]:
            for target in panel["targets"]:
                asked = target["expr"].replace("$__rate_interval", "1m").replace("$job", "zun_lite")
                if "zun_lite_audit" not in asked:
                    found.append((panel["title"], panel["fieldConfig"]["defaults"]["unit"], asked))
        return found

    def test_alarms_are_evaluated_and_a_cloud_that_is_well_raises_none(self) -> None:
        def evaluated() -> list[dict]:
            rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
            return rules if rules and all(rule["health"] == "ok" for rule in rules) else []

        rules = self.under_load_until(evaluated, "every alarm is evaluated")
        self.under_load_until(lambda: self.values("zun_lite_hosts"), "the cloud is read")
        loud = [rule["name"] for rule in rules if rule["state"] == "firing"]
        self.assertEqual([], loud)

    def test_promtool_finds_nothing_to_say_of_metrics_and_alarms(self) -> None:
        page = requests.get(f"{self.cloud.url}/metrics", timeout=10).text
        for text in (page, self.textfile.read_text()):
            self.assertEqual("", self.promtool("check", "metrics", given=text))
        self.promtool("check", "rules", str(RULES))
        self.promtool("test", "rules", str(RULES.with_suffix(".test.yml")))
        # it does say something, of a page with a fault
        with self.assertRaises(AssertionError):
            self.promtool("check", "metrics", given="# TYPE zun_lite_made_up_total gauge\nzun_lite_made_up_total 1\n")

    def promtool(self, *words: str, given: str | None = None) -> str:
        done = subprocess.run(["promtool", *words], input=given, capture_output=True, text=True, timeout=120)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return done.stderr
