# SPDX-License-Identifier: Apache-2.0
"""What operators do beside the API: empty a deleted project, forget old actions, change the rules; and what a
client does that lost its answer to a crash."""

from __future__ import annotations

import functools
import time
import uuid

import requests

from tests.functional.case import CloudTestCase
from zun_lite.api.policy import LOOK_EVERY_SECONDS
from zun_lite.common import config, crash, grants
from zun_lite.db import actions, hosts, identity, workloads
from zun_lite.db.engine import Database


class OperatorsTestCase(CloudTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.db = Database(config.load([], state_dir=str(self.cloud.state_dir)).database.connection)
        self.addCleanup(self.db.close)


class PurgeTest(OperatorsTestCase):
    def test_a_deleted_projects_leftovers_are_found_and_removed(self):
        project = self.cloud.ask("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
        network, volume = self.cloud.make_network("10.70.0.0/24"), self.cloud.make_volume()
        mounts = [{"source": volume, "destination": "/data"}]
        left = self.cloud.run_container("left", nets=[{"network": network}], mounts=mounts)
        self.cloud.wait_status(left, "Running")
        paused = self.cloud.run_container("paused", nets=[{"network": network}])
        self.cloud.wait_status(paused, "Running")
        self.cloud.ask("POST", f"/v1/containers/{paused}/pause")
        self.cloud.wait_status(paused, "Paused")
        theirs = self.cloud.make_network("10.71.0.0/24", cloud="admin")
        stays = self.cloud.run_container("stays", cloud="admin", nets=[{"network": theirs}])
        self.cloud.wait_status(stays, "Running", cloud="admin")
        self.addCleanup(self.delete, stays)

        refused = self.cloud.program("manage", "project", "purge", project, check=False)
        self.assertIn("exists", refused)
        self.assertTrue(self.one_in_docker(left)["State"]["Running"])
        self.db.transact(lambda tx: tx.execute(identity.projects.delete().where(identity.projects.c.id == project)))

        foreseen = self.cloud.program("manage", "project", "purge", project, "--dry-run")
        for line in (f"container {left}: would go", f"volume {volume}: would go", f"network {network}: would go"):
            self.assertIn(line, foreseen)
        self.assertTrue(self.one_in_docker(left)["State"]["Running"])

        said = self.cloud.program("manage", "project", "purge", project)
        self.assertIn(f"container {left}: is ordered away", said)
        self.assertIn(f"nothing is left of project {project}", said)
        self.assertEqual(([], []), (self.cloud.in_docker(left), self.cloud.in_docker(paused)))
        self.assertEqual([], list((self.cloud.state_dir / "volumes").glob(f"{volume}*")))
        self.assertIn("nothing is left", self.cloud.program("manage", "project", "purge", project))
        self.assertTrue(self.one_in_docker(stays)["State"]["Running"])

        with self.db.read() as tx:
            self.assertEqual(["delete", "create"], [action.action for action in actions.of_workload(tx, left)])
        self.assertIn("0 actions", self.cloud.program("manage", "db", "purge", "--older-than", "1"))
        self.cloud.program("manage", "db", "purge", "--older-than", "0")
        with self.db.read() as tx:
            self.assertEqual([], actions.of_workload(tx, left))
            self.assertTrue(actions.of_workload(tx, stays))


class RulesTest(OperatorsTestCase):
    def test_a_rule_that_an_operator_changes_holds_within_seconds(self):
        host = self.cloud.ask("GET", "/v1/services", cloud="admin")["services"][0]["host"]
        self.assertEqual(403, self.cloud.call("GET", "/v1/services").status_code)
        (self.cloud.state_dir / "policy.yaml").write_text('"zun-service:get_all": "role:member"\n')
        # Nothing tells when the last worker has looked: each looks with its first request after this time.
        time.sleep(LOOK_EVERY_SECONDS)
        self.assertEqual({200}, {self.cloud.call("GET", "/v1/services").status_code for _ in range(24)})
        self.assertEqual(host, self.cloud.ask("GET", "/v1/services")["services"][0]["host"])
        self.assertEqual(403, self.cloud.call("GET", "/v1/hosts").status_code)

    def test_hosts_are_taken_out_of_use_from_the_shell(self):
        host = self.cloud.ask("GET", "/v1/services", cloud="admin")["services"][0]["host"]
        self.cloud.program("manage", "host", "disable", host, "--reason", "why")
        service = self.cloud.ask("GET", "/v1/services", cloud="admin")["services"][0]
        self.assertEqual((True, "why"), (service["disabled"], service["disabled_reason"]))
        self.cloud.program("manage", "host", "enable", host)
        self.cloud.program("manage", "host", "zone", host, "east")
        zones = self.cloud.ask("GET", "/v1/availability_zones")["availability_zones"]
        self.assertEqual([{"availability_zone": "east"}], zones)
        self.assertIn("no host named", self.cloud.program("manage", "host", "remove", "nobody", check=False))


class CrashTest(OperatorsTestCase):
    """The API dies before its answer, and the client asks again; an agent dies while it exchanges its key."""

    # a key is exchanged after a heartbeat
    settings = {"agent": {"heartbeat_seconds": "0.5"}}
    crash_points = True

    def test_a_host_exchanges_its_key_when_told_to_and_dies_at_no_moment_without_one(self):
        (name,) = self.keys()
        held = self.cloud.state_dir / "keys" / "host.key"
        for point in (point for point in crash.MORE_POINTS if point.startswith("agent.key.")):
            with self.subTest(point):
                before = (None, self.keys()[name])
                self.cloud.wait_until_steady(point)
                self.cloud.arm_point(point)
                self.cloud.program("manage", "host", "rotate", name)
                self.cloud.wait(functools.partial(self.cloud.was_hit, point), point)
                self.cloud.wait(functools.partial(self.has_another, name, before), "another key is the host's")
                self.cloud.wait(
                    lambda: grants.public_text(grants.load_key(str(held))) == self.keys()[name], "the host has it"
                )
        self.assertFalse(held.with_name("host.key.next").exists())
        made = self.cloud.run_container("afterwards", nets=[{"network": self.cloud.make_network("10.73.0.0/24")}])
        self.addCleanup(self.delete, made)
        self.cloud.wait_status(made, "Running")

    def test_a_create_whose_answer_was_lost_is_answered_when_it_is_sent_again(self):
        network = self.cloud.make_network("10.72.0.0/24")
        for point, made_before in (("api.create.after_commit", 1), ("api.create.before_commit", 0)):
            with self.subTest(point=point):
                name, key = point.replace(".", "-").replace("_", "-"), str(uuid.uuid4())
                body = self.cloud.container_body(name, nets=[{"network": network}])
                self.cloud.arm_point(point)
                self.assertRaises(requests.ConnectionError, self.send, body, key)
                self.assertTrue(self.cloud.was_hit(point))
                self.assertEqual(made_before, len(self.named(name)))
                answer = self.again(body, key)
                self.assertEqual(202, answer.status_code, answer.text)
                self.assertEqual("true" if made_before else None, answer.headers.get("Idempotency-Replayed"))
                (made,) = self.named(name)
                self.assertEqual(made, answer.json()["uuid"])
                self.assertEqual("Running", self.cloud.wait_status(made, "Running", "Error")["status"])
                self.assertEqual(made, self.send(body, key).json()["uuid"])
                self.one_in_docker(made)
                self.delete(made)

    def has_another(self, name: str, before: tuple[str | None, ...]) -> bool:
        return self.keys()[name] not in before

    def keys(self) -> dict[str, str | None]:
        """The public key of each host, by name."""
        with self.db.read() as tx:
            return {host.name: host.public_key for host in hosts.every(tx)}

    def send(self, body: dict, key: str) -> requests.Response:
        headers = {
            "X-Auth-Token": self.cloud.token(),
            "OpenStack-API-Version": "container 1.40",
            "Idempotency-Key": key,
        }
        return requests.post(f"{self.cloud.url}/v1/containers?run=true", json=body, headers=headers, timeout=60)

    def again(self, body: dict, key: str) -> requests.Response:
        deadline = time.monotonic() + 30
        while True:
            try:
                return self.send(body, key)
            except requests.ConnectionError:
                if time.monotonic() > deadline:
                    raise

    def named(self, name: str) -> list[str]:
        with self.db.read() as tx:
            query = workloads.workloads.select().where(workloads.workloads.c.name == name)
            return [row.uuid for row in tx.execute(query)]
