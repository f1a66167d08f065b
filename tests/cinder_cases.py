# SPDX-License-Identifier: Apache-2.0
"""What containers do with volumes of a Cinder, whichever Cinder that is: one list of cases for several.

The cloud's volume provider is `cinder`. Cinder is asked through a door that a test can shut. Users and services are
those of the cloud's own identity service, whose administrator is the account of the services.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import requests

from tests.cloud import Cloud
from tests.door import Door


class CinderCases:
    """Mixed into a CloudTestCase whose setUpClass calls use_cinder()."""

    cloud: Cloud
    door: Door
    cinder_url: str
    controller_points = tuple(f"controller.cinder.{name}" for name in ("reserved", "connected", "completed", "ended"))
    host_points = ("agent.disk.connect", "netd.connect.recorded", "netd.connect.after", "netd.disconnect.after")

    # what Cinder says

    def cinder(self, method: str, path: str, body: Any = None, *, cloud: str = "demo") -> requests.Response:
        headers = {"X-Auth-Token": self.cloud.token(cloud), "OpenStack-API-Version": "volume 3.44"}
        return requests.request(method, f"{self.cinder_url}{path}", json=body, headers=headers, timeout=60)

    def volume(self, volume_id: str) -> dict[str, Any] | None:
        answer = self.cinder("GET", f"/volumes/{volume_id}", cloud="admin")
        return None if answer.status_code == 404 else answer.json()["volume"]

    def make_volume(self, name: str, **fields: Any) -> str:
        made = self.cinder("POST", "/volumes", {"volume": {"name": name, "size": 1, **fields}})
        self.assertEqual(202, made.status_code, made.text)
        volume_id = made.json()["volume"]["id"]
        self.addCleanup(self.cinder, "DELETE", f"/volumes/{volume_id}")
        self.wait_volume(volume_id, "available")
        return volume_id

    def wait_volume(self, volume_id: str, status: str | None) -> None:
        """None: until it is gone."""

        def look() -> bool:
            found = self.volume(volume_id)
            return (found["status"] if found else None) == status

        self.cloud.wait(look, lambda: f"volume {volume_id} is {status}; it is {self.volume(volume_id)}")

    def attachments(self, volume_id: str) -> list[dict[str, Any]]:
        found = self.cinder("GET", f"/attachments/detail?all_tenants=1&volume_id={volume_id}", cloud="admin")
        return found.json()["attachments"]

    def volume_ids(self) -> set[str]:
        return {volume["id"] for volume in self.cinder("GET", "/volumes").json()["volumes"]}

    def mounting(self, name: str, volume: str, **fields: Any) -> dict[str, Any]:
        return self.running(name, mounts=[{"source": volume, "destination": "/data"}], **fields)

    # the cases

    def test_data_outlives_its_containers_and_a_volume_is_formatted_once(self):
        volume_id = self.make_volume("outlives")
        first = self.mounting("writes", volume_id)
        self.assertEqual(0, self.execute(first["uuid"], "sh -c 'echo kept > /data/file; sync'")[0])
        self.assertEqual("in-use", self.volume(volume_id)["status"])
        (attachment,) = self.attachments(volume_id)
        self.assertEqual((first["uuid"], "attached"), (attachment["instance"], attachment["status"]))
        self.delete(first["uuid"])
        self.assertEqual("available", self.volume(volume_id)["status"])
        self.assertEqual([], self.attachments(volume_id))
        second = self.mounting("reads", "outlives")
        self.assertEqual((0, "kept\n"), self.execute(second["uuid"], "cat /data/file"))

    def test_a_volume_by_size_is_its_users_and_goes_with_the_container(self):
        made = self.running("sized", mounts=[{"size": "1", "destination": "/data"}])
        (volume,) = self.cinder("GET", f"/volumes/detail?name={made['uuid']}-0").json()["volumes"]
        self.assertEqual(made["user_id"], self.volume(volume["id"])["user_id"])
        self.assertEqual(0, self.execute(made["uuid"], "touch /data/file")[0])
        self.delete(made["uuid"])
        self.wait_volume(volume["id"], None)

    def test_another_projects_volume_is_not_there_and_ones_own_is(self):
        volume_id = self.make_volume("private")
        body = self.cloud.container_body("thief", mounts=[{"source": volume_id, "destination": "/data"}])
        self.assertEqual(404, self.cloud.call("POST", "/v1/containers", body, cloud="admin").status_code)
        self.mounting("owner", volume_id)

    def test_a_volume_in_use_is_refused_and_let_go_of_is_taken(self):
        volume_id = self.make_volume("single")
        first = self.mounting("first", volume_id)
        body = self.cloud.container_body("second", mounts=[{"source": volume_id, "destination": "/data"}])
        refused = self.cloud.call("POST", "/v1/containers", body)
        self.assertEqual(400, refused.status_code, refused.text)
        self.assertIn(volume_id, refused.text)
        self.delete(first["uuid"])
        self.mounting("third", volume_id)

    def test_over_quota_nothing_is_made(self):
        before = self.volume_ids()
        body = self.cloud.container_body(
            "greedy", mounts=[{"size": "1", "destination": "/a"}, {"size": "16000", "destination": "/b"}]
        )
        refused = self.cloud.call("POST", "/v1/containers?run=true", body)
        self.assertEqual(403, refused.status_code, refused.text)
        self.cloud.wait(lambda: self.volume_ids() <= before, "the first volume is gone again")

    def test_what_a_killed_api_had_made_for_a_container_that_does_not_come_is_given_back(self):
        for point in ("before", "after"):
            with self.subTest(point):
                before = self.volume_ids()
                self.cloud.arm_point(f"api.create.volume.{point}")
                body = self.cloud.container_body("lost", mounts=[{"size": "1", "destination": "/data"}])
                with self.assertRaises(requests.ConnectionError):
                    self.cloud.call("POST", "/v1/containers", body)
                self.assertEqual(point == "after", bool(self.volume_ids() - before))
                self._let_ten_minutes_pass()
                self.cloud.wait(lambda before=before: self.volume_ids() <= before, "the volume is gone again")

    def _let_ten_minutes_pass(self) -> None:
        with contextlib.closing(sqlite3.connect(self.cloud.state_dir / "zun_lite.sqlite", timeout=30)) as opened:
            with opened:
                opened.execute("UPDATE cinder_uses SET created_at = '2026-01-01 00:00:00'")

    def test_while_cinder_is_away_requests_wait_or_are_told_so_and_nothing_is_half_made(self):
        volume_id = self.make_volume("patient")
        self.cloud.arm_point("controller.provision.begin")
        body = {"mounts": [{"source": volume_id, "destination": "/data"}]}
        uuid = self.cloud.run_container("patient", **body)
        self.addCleanup(self.delete, uuid)
        self.door.shut()
        try:
            self.cloud.wait(lambda: self.cloud.was_hit("controller.provision.begin"), "the controller began")
            refused = self.cloud.call("POST", "/v1/containers", self.cloud.container_body("told", **body))
            self.assertEqual(503, refused.status_code, refused.text)
            self.cloud.wait(
                lambda: f"{uuid}: waits for its provider" in self.cloud.logs(40), "the controller waits for Cinder"
            )
            told = self.cloud.ask("GET", f"/v1/containers/{uuid}/explanation")
            self.assertRegex(told["sentence"], "^It waits at its volumes: The Block Storage service does not answer")
        finally:
            self.door.open()
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual(1, len(self.attachments(volume_id)))

    def test_a_container_is_deleted_once_cinder_is_back(self):
        volume_id = self.make_volume("leaves")
        made = self.mounting("leaves", volume_id)
        self.door.shut()
        try:
            self.cloud.call("DELETE", f"/v1/containers/{made['uuid']}?force=true", cloud="admin")
            self.cloud.wait(lambda: f"{made['uuid']}: its release waits" in self.cloud.logs(40), "the release waits")
        finally:
            self.door.open()
        self.cloud.wait_gone(made["uuid"])
        self.assertEqual("available", self.volume(volume_id)["status"])

    def test_a_controller_killed_anywhere_leaves_one_attachment_and_in_the_end_none(self):
        volume_id = self.make_volume("controller")
        for point in self.controller_points:
            with self.subTest(point):
                self._survives(volume_id, point)

    def test_an_agent_and_a_netd_killed_anywhere_leave_one_attachment_and_in_the_end_none(self):
        for point in self.host_points:
            with self.subTest(point):
                # each time a new one, for it is formatted only once
                self._survives(self.make_volume(point), point)

    def _survives(self, volume_id: str, point: str) -> None:
        self.cloud.arm_point(point)
        made = self.mounting("survives", volume_id)
        self.assertEqual(1, len(self.attachments(volume_id)))
        self.assertEqual(0, self.execute(made["uuid"], "touch /data/file")[0])
        self.delete(made["uuid"])
        self.assertTrue(self.cloud.was_hit(point), point)
        self.assertEqual(("available", []), (self.volume(volume_id)["status"], self.attachments(volume_id)))

    def test_a_request_is_known_by_its_global_id_wherever_work_is_done_for_it(self):
        given = f"req-{uuid.uuid4()}"
        body = self.cloud.container_body("traced", mounts=[{"size": "1", "destination": "/data"}])
        made = self.cloud.call("POST", "/v1/containers?run=true", body, headers={"X-Openstack-Request-Id": given})
        self.assertEqual(202, made.status_code, made.text)
        made_uuid = made.json()["uuid"]
        self.addCleanup(self.delete, made_uuid)
        self.cloud.wait_status(made_uuid, "Running")
        own = made.headers["X-Openstack-Request-Id"]
        for program, line in (
            ("api", f"[{given} {own}] POST /v1/containers answered 202"),
            ("controller", f"[{given}] {made_uuid}: has"),
            ("agent", f"[{given}] workload {made_uuid}: "),
            ("netd", f"[{given}] container "),
        ):
            self.assertIn(line, (self.cloud.state_dir / "log" / f"{program}.log").read_text(), program)
        self.assertTrue(self.cinder_was_told(given))

    def cinder_was_told(self, request_id: str) -> bool:
        """Whether Cinder's log knows the id both of the user's request and of one of the services'."""
        log = self.cinder_log()
        return all(
            any(f"[{request_id} " in line and word in line for line in log) for word in ("/volumes", "/attachments")
        )

    def test_how_a_volume_is_reached_is_in_no_log_and_in_the_database_only_locked(self):
        volume_id = self.make_volume("secret")
        self.mounting("secret", volume_id)
        connection = self.attachments_connection(volume_id)
        path = connection["device_path"]
        self.assertTrue(Path(path).exists(), path)
        database = self.cloud.state_dir / "zun_lite.sqlite"
        with contextlib.closing(sqlite3.connect(database)) as opened:
            dump = [line for line in opened.iterdump() if 'INTO "workloads"' in line or "cinder_uses" in line]
        self.assertTrue(any(volume_id in line for line in dump))
        self.assertFalse([line for line in dump if path in line])
        for log in (self.cloud.state_dir / "log").iterdir():
            self.assertNotIn("device_path", log.read_text(errors="replace"), log.name)
        kept = self.cloud.state_dir / "agent" / "desired.json"
        self.assertIn(path, kept.read_text())
        self.assertEqual(0o600, os.stat(kept).st_mode & 0o777)

    def attachments_connection(self, volume_id: str) -> dict[str, Any]:
        (found,) = self.attachments(volume_id)
        shown = self.cinder("GET", f"/attachments/{found['id']}", cloud="admin").json()["attachment"]
        connection = shown["connection_info"]
        return connection.get("data", connection)


def give_service_role(cloud: Cloud) -> None:
    """As the services' account has it."""
    found = {}
    for noun in ("users?name=admin", "projects?name=admin", "roles?name=service"):
        (entry,) = cloud.ask("GET", f"/identity/v3/{noun}", cloud="admin")[noun.partition("?")[0]]
        found[noun[0]] = entry["id"]
    path = f"/identity/v3/projects/{found['p']}/users/{found['u']}/roles/{found['r']}"
    cloud.ask("PUT", path, cloud="admin")
    cloud.forget_tokens()


def use_cinder(cloud: Cloud, url: str, folder: str) -> None:
    """Have the cloud, which runs with volumes of its own, take those of the Cinder at url, from now on."""
    path = cloud.state_dir / "zun_lite.conf"
    settings = {
        "auth_url": f"{cloud.url}/identity",
        "username": "admin",
        "password": cloud.password("admin"),
        "project_name": "admin",
        "endpoint_override": url,
    }
    text = path.read_text() + "\n[cinder]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    for section, line in (("volume", "provider = cinder"), ("netd", f"local_volume_dirs = {folder}")):
        if f"[{section}]\n" in text:
            text = text.replace(f"[{section}]\n", f"[{section}]\n{line}\n")
        else:
            text += f"\n[{section}]\n{line}\n"
    path.write_text(text)
    cloud.down()
    cloud.up()
    cloud.forget_tokens()
    for owner in ("demo", "admin"):
        cloud.make_network(cloud=owner)
