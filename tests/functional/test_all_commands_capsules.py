# SPDX-License-Identifier: Apache-2.0
"""The commands of capsules, from a template in a file as a user writes it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase

SERVING = "trap 'exit 0' TERM; httpd -f -p 127.0.0.1:8080 -h /data & wait"
PATIENT = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
TEMPLATE = """
capsuleVersion: beta
kind: capsule
metadata:
  name: NAME
  labels: {app: web}
  annotations: {note: hello}
spec:
  restartPolicy: OnFailure
  initContainers:
    - image: demo:latest
      command: [sh, -c, "echo prepared > /data/first"]
      volumeMounts: [{name: shared, mountPath: /data}]
  containers:
    - image: demo:latest
      command: [sh, -c]
      args: ["SERVING"]
      env: {WHO: one}
      workDir: /tmp
      resources: {requests: {cpu: 0.1, memory: 16}}
      ports: [{containerPort: 8080, protocol: TCP}]
      volumeMounts: [{name: shared, mountPath: /data}]
    - image: demo:latest
      command: [sh, -c, "PATIENT"]
      resources: {requests: {cpu: 0.1, memory: 16}}
      volumeMounts: [{name: shared, mountPath: /shared}]
  volumes:
    - name: shared
      cinder: {size: 1, autoRemove: true}
"""


class CapsuleCommandsTest(CommandsTestCase):
    def create(self, name: str, template: str = TEMPLATE) -> str:
        """The uuid of a capsule that the stock client made of a template."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "capsule.yaml")
            text = template.replace("NAME", name).replace("SERVING", SERVING).replace("PATIENT", PATIENT)
            file.write_text(text)
            uuid: str = self.shown("capsule", "create", "--file", str(file))["uuid"]
        self.addCleanup(self.take_away, uuid)
        return uuid

    def take_away(self, uuid: str) -> None:
        self.cloud.call("DELETE", f"/v1/capsules/{uuid}")
        self.cloud.wait(lambda: self.status_of(f"/v1/capsules/{uuid}") == 404, f"capsule {uuid} is gone")

    def running_capsule(self, name: str) -> dict[str, Any]:
        uuid = self.create(name)

        def look() -> dict[str, Any] | None:
            found: dict[str, Any] = self.cloud.ask("GET", f"/v1/capsules/{uuid}")
            return found if found["status"] in ("Running", "Error") else None

        record = self.cloud.wait(look, lambda: f"it runs: {self.cloud.ask('GET', f'/v1/capsules/{uuid}')}")
        assert record is not None
        self.assertEqual("Running", record["status"], record["status_reason"])
        return record

    def members(self, uuid: str) -> dict[str, dict[str, Any]]:
        """Docker's records of a capsule's containers, by the uuid of each; the sandbox is under the capsule's own."""
        return {one["Name"].removeprefix("/zun-"): one for one in self.cloud.in_docker(uuid)}

    def execute_in(self, container: dict[str, Any], *command: str) -> str:
        return self.cloud.engine.docker("exec", container["Id"], *command).stdout

    @about("capsule create")
    def test_a_capsule_runs_with_its_network_and_volume_shared_and_its_init_container_done(self):
        record = self.running_capsule("whole")
        uuid = record["uuid"]
        self.assertEqual(
            ("whole", {"app": "web"}, {"note": "hello"}, {"Name": "on-failure"}),
            (record["name"], record["labels"], record["annotations"], {"Name": record["restart_policy"]["Name"]}),
        )
        self.assertEqual([self.network], list(record["addresses"]))
        self.assertEqual(["Stopped"], [item["status"] for item in record["init_containers"]])
        self.assertEqual(["Running"] * 2, [item["status"] for item in record["containers"]])

        found = self.members(uuid)
        one, two = (found[item["uuid"]] for item in record["containers"])
        first = found[record["init_containers"][0]["uuid"]]
        self.assertEqual((0, False), (first["State"]["ExitCode"], first["State"]["Running"]))
        sandbox = found[uuid]["Id"]
        for member in (one, two):
            self.assertTrue(member["State"]["Running"])
            self.assertEqual(f"container:{sandbox}", member["HostConfig"]["NetworkMode"])
        self.assertIn("WHO=one", one["Config"]["Env"])
        self.assertEqual(("/tmp", 16 << 20), (one["Config"]["WorkingDir"], one["HostConfig"]["Memory"]))
        self.assertEqual("prepared\n", self.execute_in(two, "cat", "/shared/first"))
        self.cloud.wait(
            lambda: self.execute_in(two, "sh", "-c", "wget -qO - http://127.0.0.1:8080/first || true") == "prepared\n",
            "one member answers the other at 127.0.0.1",
        )

    @about("capsule list")
    def test_capsules_are_listed_with_their_address(self):
        record = self.running_capsule("listed")
        (row,) = [row for row in self.shown("capsule", "list") if row["uuid"] == record["uuid"]]
        (address,) = record["addresses"][self.network]
        self.assertEqual(("listed", "Running", address["addr"]), (row["name"], row["status"], row["addresses"]))
        containers = self.cloud.ask("GET", "/v1/containers")["containers"]
        self.assertEqual([], [item for item in containers if item["name"].startswith("capsule-listed")])

    @about("capsule show")
    def test_a_capsule_is_shown_by_name_and_by_uuid(self):
        record = self.running_capsule("shown")
        for ident in ("shown", record["uuid"]):
            shown = self.shown("capsule", "show", ident)
            self.assertEqual((record["uuid"], "Running"), (shown["uuid"], shown["status"]))
            self.assertEqual(
                [item["uuid"] for item in record["containers"]], [item["uuid"] for item in shown["containers"]]
            )

    @about("capsule delete")
    def test_a_capsule_is_deleted_with_all_that_it_had(self):
        uuid = self.running_capsule("deleted")["uuid"]
        volumes = self.cloud.ask("GET", "/volume/v3/volumes")["volumes"]
        self.assertIn("has been accepted", self.say("capsule", "delete", "deleted"))
        self.cloud.wait(lambda: self.status_of(f"/v1/capsules/{uuid}") == 404, "the capsule is gone")
        self.assertEqual(([], []), (self.cloud.in_docker(uuid), self.ports_of(uuid)))
        self.assertEqual(1, len(volumes))
        self.cloud.wait(lambda: not self.cloud.ask("GET", "/volume/v3/volumes")["volumes"], "its volume is gone too")
