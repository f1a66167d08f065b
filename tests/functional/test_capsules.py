# SPDX-License-Identifier: Apache-2.0
"""Capsules on a whole cloud: what their containers share, in which order they come, and who follows whom."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any

from tests.confinement import loose_ends
from tests.functional.capsules import PATIENT, Capsules, container, template
from tests.functional.case import ClientsTestCase

YAML = """
capsuleVersion: beta
kind: capsule
metadata:
  name: {name}
  labels:
    app: web
  annotations:
    note: of a test
restartPolicy: Always
spec:
  restartPolicy: OnFailure
  initContainers:
  - image: demo:latest
    command: ["sh", "-c", "echo ready > /data/ready"]
    resources: {{requests: {{cpu: "0.1", memory: 16}}}}
    volumeMounts:
    - name: shared
      mountPath: /data
  containers:
  - image: demo:latest
    name: writer
    command: ["sh"]
    args: ["-c", "{script}"]
    env:
      GREETING: hi
    workDir: /tmp
    ports:
    - name: web
      containerPort: 80
      hostPort: 8080
      protocol: TCP
    resources:
      requests:
        cpu: 0.1
        memory: 16
    volumeMounts:
    - name: shared
      mountPath: /data
  volumes:
  - name: shared
    cinder:
      size: 1
      autoRemove: True
"""


class CapsulesTest(ClientsTestCase):
    capsules: Capsules

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.capsules = Capsules(cls.cloud)
        cls.cloud.make_network("10.60.0.0/24")

    def running_capsule(self, body: dict[str, Any]) -> dict[str, Any]:
        capsule = self.capsules.running(body)
        self.addCleanup(self.capsules.delete, capsule["uuid"])
        return capsule

    def test_its_containers_share_a_network_and_shared_memory(self) -> None:
        serve = f"(echo from-the-first | nc -l -p 5000) & {PATIENT}"
        capsule = self.running_capsule(template("pair", container(serve), container()))
        first, second = capsule["containers"]
        self.assertIn("from-the-first", self.capsules.run(second, "nc 127.0.0.1 5000"))
        self.capsules.run(first, "echo left-here > /dev/shm/note")
        self.assertEqual("left-here\n", self.capsules.run(second, "cat /dev/shm/note"))
        (addresses,) = capsule["addresses"].values()
        for member in (first, second):
            self.assertIn(f"inet {addresses[0]['addr']}/24", self.capsules.run(member, "ip -4 address show eth0"))
            self.assertEqual("pair\n", self.capsules.run(member, "hostname"))
        (port,) = self.ports_of(capsule["uuid"])
        self.assertEqual(addresses[0]["port"], port["id"])

    def test_init_containers_run_to_their_end_in_order_before_the_others(self) -> None:
        mount = {"name": "vol", "mountPath": "/data"}
        inits = [
            container("sleep 1; echo one >> /data/order", mount),
            container("echo two >> /data/order", mount),
        ]
        body = template(
            "ordered",
            container(f"echo main >> /data/order; {PATIENT}", mount),
            initContainers=inits,
            volumes=[{"name": "vol", "cinder": {"size": 1, "autoRemove": True}}],
        )
        capsule = self.running_capsule(body)
        self.assertEqual(["Stopped", "Stopped"], [item["status"] for item in capsule["init_containers"]])
        (main,) = capsule["containers"]
        self.cloud.wait(
            lambda: self.capsules.run(main, "cat /data/order") == "one\ntwo\nmain\n", "the file tells the order"
        )

    def test_an_init_container_that_fails_is_the_capsules_error(self) -> None:
        body = template("broken", container(), initContainers=[container("exit 3")], restartPolicy="Never")
        uuid = self.capsules.create(body)
        self.addCleanup(self.capsules.delete, uuid)
        found = self.capsules.wait_status(uuid, "Error")
        self.assertRegex(found["status_reason"], r"Container capsule-broken-\S+ ended with exit code 3\.")
        self.assertEqual(2, len(self.capsules.in_docker(uuid)))

    def test_a_volume_is_attached_once_and_seen_by_all_and_written_by_those_who_may(self) -> None:
        volume = self.cloud.make_volume()
        body = template(
            "sharing",
            container(PATIENT, {"name": "vol", "mountPath": "/data"}),
            container(PATIENT, {"name": "vol", "mountPath": "/read", "readOnly": True}),
            volumes=[{"name": "vol", "cinder": {"volumeID": volume}}],
        )
        capsule = self.running_capsule(body)
        writer, reader = capsule["containers"]
        self.capsules.run(writer, "echo hello > /data/file")
        self.assertEqual("hello\n", self.capsules.run(reader, "cat /read/file"))
        self.assertIn("Read-only", self.capsules.run(reader, "echo no > /read/file"))
        attachments = self.volume(volume)["attachments"]
        self.assertEqual([capsule["uuid"]], [item["server_id"] for item in attachments])
        self.capsules.delete(capsule["uuid"])
        self.assertEqual("available", self.volume(volume)["status"])

    def test_it_ends_with_its_containers_or_fails_with_one(self) -> None:
        uuid = self.capsules.create(template("jobs", container("true"), container("sleep 0.2"), restartPolicy="Never"))
        self.addCleanup(self.capsules.delete, uuid)
        self.capsules.wait_status(uuid, "Stopped")
        uuid = self.capsules.create(template("bad", container(), container("exit 4"), restartPolicy="Never"))
        self.addCleanup(self.capsules.delete, uuid)
        self.assertIn("exit code 4", self.capsules.wait_status(uuid, "Error")["status_reason"])

    def test_members_follow_a_sandbox_that_died_into_its_new_network(self) -> None:
        serve = f"(echo again | nc -l -p 5000) & {PATIENT}"
        capsule = self.running_capsule(template("follows", container(serve), container()))
        sandbox = f"zun-{capsule['uuid']}"
        before = {name: found["State"]["StartedAt"] for name, found in self.capsules.in_docker(capsule["uuid"]).items()}
        os.kill(self.capsules.in_docker(capsule["uuid"])[sandbox]["State"]["Pid"], signal.SIGKILL)

        def all_started_again() -> bool:
            now = {name: found["State"] for name, found in self.capsules.in_docker(capsule["uuid"]).items()}
            return all(now[name]["Running"] and now[name]["StartedAt"] != then for name, then in before.items())

        self.cloud.wait(all_started_again, "the sandbox and its members are started again")
        second = capsule["containers"][1]
        self.cloud.wait(lambda: "again" in self.capsules.run(second, "nc 127.0.0.1 5000"), "they share a network again")
        self.cloud.wait(
            lambda: "10.60.0." in self.capsules.run(second, "ip -4 address show eth0"), "the network is there"
        )
        self.capsules.wait_status(capsule["uuid"], "Running")

    def test_an_engine_that_was_down_brings_all_back_into_one_network(self) -> None:
        serve = f"(echo still-here | nc -l -p 5000) & {PATIENT}"
        capsule = self.running_capsule(template("returns", container(serve), container()))
        before = {name: found["State"]["StartedAt"] for name, found in self.capsules.in_docker(capsule["uuid"]).items()}
        self.cloud.engine.terminate()
        self.cloud.engine.start()

        def all_started_again() -> bool:
            now = {name: found["State"] for name, found in self.capsules.in_docker(capsule["uuid"]).items()}
            return all(now[name]["Running"] and now[name]["StartedAt"] != then for name, then in before.items())

        self.cloud.wait(all_started_again, "all are started again")
        second = capsule["containers"][1]
        self.cloud.wait(lambda: "still-here" in self.capsules.run(second, "nc 127.0.0.1 5000"), "they share a network")
        self.cloud.wait(
            lambda: "10.60.0." in self.capsules.run(second, "ip -4 address show eth0"), "the network is there"
        )
        self.capsules.wait_status(capsule["uuid"], "Running")

    def test_a_member_that_dies_is_started_again_by_itself(self) -> None:
        capsule = self.running_capsule(template("stands", container(), container()))
        first, second = (f"zun-{item['uuid']}" for item in capsule["containers"])
        before = self.capsules.in_docker(capsule["uuid"])
        os.kill(before[first]["State"]["Pid"], signal.SIGKILL)
        self.cloud.wait(
            lambda: self.capsules.in_docker(capsule["uuid"])[first]["RestartCount"] == 1, "Docker starts it again"
        )
        now = self.capsules.in_docker(capsule["uuid"])
        self.assertEqual(before[second]["State"]["StartedAt"], now[second]["State"]["StartedAt"])
        self.capsules.wait_status(capsule["uuid"], "Running")

    def test_its_containers_are_hardened_like_any_other(self) -> None:
        """A9, B1."""
        capsule = self.running_capsule(template("hard", container(ports=[{"containerPort": 80}])))
        found = self.capsules.in_docker(capsule["uuid"])
        sandbox = found[f"zun-{capsule['uuid']}"]
        for name, one in found.items():
            host = one["HostConfig"]
            with self.subTest(name=name):
                self.assertEqual([], loose_ends(one))
                if one is not sandbox:
                    joined = f"container:{sandbox['Id']}"
                    self.assertEqual((joined, joined), (host["NetworkMode"], host["IpcMode"]))
        self.assertIn("80/tcp", sandbox["Config"]["ExposedPorts"])

    def test_a_deleted_one_leaves_nothing(self) -> None:
        body = template(
            "leaving",
            container(PATIENT, {"name": "vol", "mountPath": "/data"}),
            container(),
            volumes=[{"name": "vol", "cinder": {"size": 1, "autoRemove": True}}],
        )
        capsule = self.capsules.running(body)
        held = self.cloud.ask("GET", "/volume/v3/volumes/detail")["volumes"]
        (volume,) = [item["id"] for item in held if _user_of(item) == capsule["uuid"]]
        self.capsules.delete(capsule["uuid"])
        self.assertEqual({}, self.capsules.in_docker(capsule["uuid"]))
        self.assertEqual([], self.ports_of(capsule["uuid"]))
        self.cloud.wait(lambda: self.status_of(f"/volume/v3/volumes/{volume}") == 404, "its volume is gone")
        self.assertEqual([], self.cloud.audit())

    def test_the_stock_client_creates_lists_shows_and_deletes_one(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(YAML.format(name="stock", script=PATIENT))
            file.flush()
            made = self.shown("capsule", "create", "--file", file.name)
        uuid = made["uuid"]
        self.addCleanup(self.capsules.delete, uuid)
        record = self.capsules.wait_status(uuid, "Running")
        self.assertEqual(({"app": "web"}, {"note": "of a test"}), (record["labels"], record["annotations"]))
        self.assertEqual("on-failure", record["restart_policy"]["Name"])
        (writer,) = record["containers"]
        self.assertEqual("hi\nready\n/tmp\n", self.capsules.run(writer, "echo $GREETING; cat /data/ready; pwd"))
        self.assertEqual([80], writer["ports"])

        listed = {item["uuid"]: item for item in self.shown("capsule", "list")}
        self.assertEqual(("stock", "Running"), (listed[uuid]["name"], listed[uuid]["status"]))
        for ident in (uuid, "stock"):
            shown = self.shown("capsule", "show", ident)
            self.assertEqual(("stock", uuid), (shown["name"], shown["uuid"]))
        self.assertNotIn(uuid, [item["uuid"] for item in self.shown("appcontainer", "list")])

        self.clients.openstack("capsule", "delete", "stock")
        self.cloud.wait(lambda: self.capsules.get(uuid) is None, "it is gone")
        self.assertEqual({}, self.capsules.in_docker(uuid))

    def test_the_stock_client_tells_what_is_wrong_with_a_template(self) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(YAML.format(name="wrong", script=PATIENT).replace("kind: capsule", "kind: pod"))
            file.flush()
            done = self.clients.openstack("capsule", "create", "--file", file.name, check=False)
        self.assertIn("template.kind must be capsule", done.stdout + done.stderr)
        self.assertNotIn("wrong", [item["name"] for item in self.cloud.ask("GET", "/v1/capsules")["capsules"]])


def _user_of(volume: dict[str, Any]) -> str | None:
    return volume["attachments"][0]["server_id"] if volume["attachments"] else None
