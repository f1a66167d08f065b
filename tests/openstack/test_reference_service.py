# SPDX-License-Identifier: Apache-2.0
"""zl and the `openstack` plugin against OpenStack's own Zun: what it has works, what it lacks is told in a sentence."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
import tempfile
import unittest
import uuid
from pathlib import Path
from typing import Any

from tests.clients.plugin import make_path
from tests.clients.runner import venv
from tests.openstack.real_zun import HOST, RealZun
from tests.real_keystone import RealKeystone

NO_STREAMS = "This cloud offers no streams, which that needs; the service of zun_lite has them.\n"
REQUEST = r" \(request req-[0-9a-f-]{36}\)\n$"


class ReferenceServiceTest(unittest.TestCase):
    environment: dict[str, str]
    plugin_path: str
    uuids: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        keystone = RealKeystone()
        cls.addClassCleanup(keystone.stop)
        keystone.start()
        cls.uuids = {name: str(uuid.uuid4()) for name in ("web", "ended", "lost")}
        zun = RealZun(keystone, cls.rows(keystone))
        cls.addClassCleanup(zun.stop)
        zun.start()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        place = Path(folder.name)
        (place / "plugin").mkdir()
        cls.plugin_path = make_path(place / "plugin")
        (place / "clouds.yaml").write_text(keystone.clouds())
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        told = {"OS_CLIENT_CONFIG_FILE": str(place / "clouds.yaml"), "XDG_CACHE_HOME": str(place / "cache")}
        cls.environment = {**kept, **told}

    @classmethod
    def rows(cls, keystone: RealKeystone) -> dict[str, list[dict[str, Any]]]:
        usual: dict[str, Any] = {
            **{"image": "nginx:1", "cpu": 1.0, "memory": "64", "disk": 0, "host": HOST, "ports": [80]},
            **{"command": ["sh"], "entrypoint": [], "environment": {}, "labels": {}, "restart_policy": {}},
            **{"security_groups": [], "container_type": 0, "image_driver": "docker"},
            "addresses": {"net": [{"addr": "10.0.0.5", "version": 4, "port": "p", "subnet_id": "s"}]},
            "project_id": keystone.id_of("project", "demo"),
            "user_id": keystone.id_of("user", "demo"),
        }
        states = {
            "web": {"status": "Running", "status_detail": "Up 3 mins"},
            "ended": {"status": "Stopped", "status_detail": "Exited(3) 8 mins ago (error)"},
            "lost": {"status": "Error", "status_reason": "There are not enough hosts available.", "host": None},
        }
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None).isoformat()
        service = {"host": HOST, "binary": "zun-compute", "report_count": 1, "last_seen_up": now}
        return {
            "container": [{**usual, "uuid": cls.uuids[name], "name": name, **more} for name, more in states.items()],
            "zun_service": [{**service, "disabled": False, "forced_down": False}],
        }

    def run_command(self, *words: str, cloud: str = "demo", **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "OS_CLOUD": cloud, **more}
        return subprocess.run(
            words, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )

    def zl(self, *words: str, cloud: str = "demo") -> subprocess.CompletedProcess[str]:
        return self.run_command(sys.executable, "-m", "zun_lite.cmd.zl", *words, cloud=cloud)

    def told(self, *words: str, cloud: str = "demo") -> Any:
        done = self.zl(*words, "-f", "json", cloud=cloud)
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def openstack(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run_command(str(venv() / "bin" / "openstack"), *words, PYTHONPATH=self.plugin_path)

    def test_containers_are_listed_and_shown(self):
        listed = self.told("list")
        self.assertEqual(
            {"web": "Running", "ended": "Stopped", "lost": "Error"}, {one["name"]: one["status"] for one in listed}
        )
        self.assertEqual("10.0.0.5", listed[0]["addresses"])
        self.assertEqual(["web"], [one["name"] for one in self.told("list", "--status", "Running")])
        self.assertEqual(self.uuids["web"], self.told("show", "web")["uuid"])
        self.assertEqual(3, len(self.told("list", "--all-projects", cloud="admin")))
        self.assertEqual([], self.told("list", cloud="admin"))
        shown = self.openstack("appcontainer", "show", "web", "-f", "json")
        self.assertEqual(
            ("Running", "10.0.0.5"), tuple(json.loads(shown.stdout)[key] for key in ("status", "addresses"))
        )

    def test_what_its_hosts_answer_is_shown(self):
        self.assertEqual("stdout True, stderr True, tail 3", self.zl("logs", "web", "--tail", "3").stdout)
        done = self.zl("exec", "web", "--", "ls", "a b")
        self.assertEqual((6, "did ls 'a b'"), (done.returncode, done.stdout))
        self.assertEqual([{"PID": "1", "CMD": "sh"}], self.told("top", "web"))
        self.assertEqual([{"CONTAINER": "web", "CPU %": 1.5}], self.told("stats", "web"))

    def test_why_a_container_does_not_run_is_told_as_far_as_its_record_says(self):
        self.assertEqual("Its process ended with exit code 3.", self.told("explain", "ended")["verdict"])
        self.assertEqual("It is Error: There are not enough hosts available.", self.told("explain", "lost")["verdict"])

    def test_registries_quotas_and_services_are_kept(self):
        words = ("--name", "mine", "--domain", "registry.example", "--username", "ann", "--password", "pw")
        made = self.told("registry", "create", *words)
        self.assertEqual(("mine", "registry.example"), (made["name"], made["domain"]))
        self.assertEqual(["mine"], [one["name"] for one in self.told("registry", "list")])
        self.assertEqual("ann", self.told("registry", "show", "mine")["username"])
        self.assertEqual(0, self.zl("registry", "delete", "mine").returncode)
        self.assertEqual([], self.told("registry", "list"))
        project = self.told("show", "web")["project_id"]
        self.assertEqual(0, self.zl("quota", "update", "--containers", "7", project, cloud="admin").returncode)
        self.assertEqual(7, self.told("quota", "get", project, cloud="admin")["containers"])
        (service,) = self.told("service", "list", cloud="admin")
        self.assertEqual((HOST, "zun-compute", "up"), tuple(service[key] for key in ("host", "binary", "state")))
        self.assertEqual(0, self.zl("service", "disable", HOST, "zun-compute", cloud="admin").returncode)
        self.assertIs(True, self.told("service", "list", cloud="admin")[0]["disabled"])
        self.assertEqual(0, self.zl("service", "enable", HOST, "zun-compute", cloud="admin").returncode)

    def test_what_it_does_not_offer_is_one_sentence(self):
        for words in (
            ("logs", "--follow", "web"),
            ("attach", "web"),
            ("events",),
            ("cp", "web:/etc/hosts", "-"),
            ("port-forward", "web", "8080:80"),
        ):
            done = self.zl(*words)
            self.assertEqual((1, "", f"zl: {NO_STREAMS}"), (done.returncode, done.stdout, done.stderr), words)
        done = self.zl("exec", "-i", "web", "sh")
        self.assertEqual(
            (1, "zl: This cloud has no streams in which that could be typed; leave out --interactive.\n"),
            (done.returncode, done.stderr),
        )
        done = self.openstack("appcontainer", "logs", "--follow", "web")
        self.assertEqual((1, NO_STREAMS), (done.returncode, done.stderr))

    def test_its_refusals_are_one_sentence_with_the_request(self):
        for words, wanted in (
            (("show", "nobody"), r"^zl: Container nobody could not be found\. \(HTTP 404\)"),
            (("stop", "ended"), r"^zl: Cannot stop container .* in Stopped state \(HTTP 409\)"),
            (("image", "list"), r"^zl: Policy doesn't allow image:get_all to be performed\. \(HTTP 403\)"),
            (
                ("registry", "create", "--name", "r", "--domain", "d.example"),
                r"^zl: Invalid input for field 'name'\.Value: 'r'\. 'r' is too short \(HTTP 400\)",
            ),
        ):
            done = self.zl(*words)
            self.assertEqual((1, ""), (done.returncode, done.stdout), words)
            self.assertRegex(done.stderr, wanted + REQUEST)
