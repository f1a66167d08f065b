# SPDX-License-Identifier: Apache-2.0
"""A container's life on a whole cloud: each verb as Docker shows it, healing, and a walk through them at random."""

from __future__ import annotations

import contextlib
import os
import random
from typing import Any

import docker.errors

from tests.confinement import loose_ends
from tests.functional.case import PATIENT, CloudTestCase
from zun_lite.domain.lifecycle import ACTIONS

MIB = 1024**2
SHOWN = {"running": "Running", "paused": "Paused", "exited": "Stopped", "created": "Created"}
STEPS, WALKERS = 60, 4
# Well until told otherwise, which a restart forgets.
FALLS_ILL = ["sh", "-c", "touch /dev/shm/well; trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]


class VerbsTest(CloudTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cloud.make_network("10.76.0.0/24", name="home")

    def do(self, uuid: str, verb: str, *statuses: str) -> dict[str, Any]:
        """Ask for a verb; the record once it has one of these statuses and is idle."""
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/{verb}")
        self.assertEqual((202, "null"), (answer.status_code, answer.text))
        return self.cloud.wait_status(uuid, *statuses)

    def state(self, uuid: str) -> dict[str, Any]:
        return self.one_in_docker(uuid)["State"]

    def test_a_pause_keeps_the_process_and_its_end_lets_it_go_on(self):
        uuid = self.running("pauses")["uuid"]
        before = self.state(uuid)
        shown = self.do(uuid, "pause", "Paused")
        self.assertEqual((True, before["Pid"]), (self.state(uuid)["Paused"], self.state(uuid)["Pid"]))
        self.assertRegex(shown["status_detail"], r"^Up .* \(paused\)$")
        self.assertEqual(409, self.cloud.call("DELETE", f"/v1/containers/{uuid}?stop=true").status_code)
        self.do(uuid, "unpause", "Running")
        after = self.state(uuid)
        self.assertEqual((False, before["StartedAt"]), (after["Paused"], after["StartedAt"]))

    def test_a_reboot_is_the_same_container_started_anew_and_wired(self):
        record = self.running("reboots")
        uuid, before = record["uuid"], self.one_in_docker(record["uuid"])
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/reboot")
        self.assertEqual(202, answer.status_code)
        shown = self.cloud.wait_status(uuid, "Running")
        after = self.one_in_docker(uuid)
        self.assertEqual(before["Id"], after["Id"])
        self.assertNotEqual(before["State"]["StartedAt"], after["State"]["StartedAt"])
        self.assertEqual(record["addresses"], shown["addresses"])
        self.assertIn("eth0", self.links(uuid))

    def test_a_signal_arrives_and_a_killed_one_stays_down_despite_its_policy(self):
        script = "trap 'echo got usr1' USR1; echo ready; while :; do sleep 1000 & wait; done"
        uuid = self.running("signals", command=["sh", "-c", script], restart_policy={"Name": "always"})["uuid"]
        self.wait_for_output(uuid, "ready")
        self.do(uuid, "kill?signal=usr1", "Running")
        self.wait_for_output(uuid, "got usr1")
        shown = self.do(uuid, "kill?signal=None", "Stopped")
        self.assertRegex(shown["status_detail"], r"^Exited\(137\) .* ago \(error\)$")
        self.cloud.kill("agent")
        self.do(uuid, "rebuild", "Created")
        self.do(uuid, "start", "Running")
        os.kill(self.state(uuid)["Pid"], 9)
        self.cloud.wait(lambda: self.state(uuid)["Running"] and self.one_in_docker(uuid)["RestartCount"], "its restart")

    def test_a_rebuild_is_another_container_with_the_same_port_and_volume(self):
        """B1."""
        network = self.cloud.make_network("10.77.0.0/24", name="rebuild")
        volume = self.cloud.make_volume(name="kept")
        record = self.running(
            "rebuilds", nets=[{"network": network}], mounts=[{"source": volume, "destination": "/data"}]
        )
        uuid, before = record["uuid"], self.one_in_docker(record["uuid"])["Id"]
        self.assertEqual((0, ""), self.execute(uuid, "sh -c 'echo kept > /data/file; echo lost > /tmp/file'"))
        shown = self.do(uuid, "rebuild", "Running")
        self.assertNotEqual(before, self.one_in_docker(uuid)["Id"])
        self.assertEqual([], loose_ends(self.one_in_docker(uuid)))
        self.assertEqual(record["addresses"], shown["addresses"])
        self.assertEqual((0, "kept\n"), self.execute(uuid, "cat /data/file"))
        self.assertNotEqual(0, self.execute(uuid, "cat /tmp/file")[0])

    def test_other_limits_hold_at_once_for_the_same_process(self):
        uuid = self.running("resizes", cpu=0.2, memory="32")["uuid"]
        before = self.state(uuid)
        changed = self.cloud.ask("PATCH", f"/v1/containers/{uuid}", {"cpu": "0.5", "memory": "64"})
        self.assertEqual((0.5, "64"), (changed["cpu"], changed["memory"]))
        self.wait_for_limits(uuid, 0.5, 64)
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/resize_container", {"memory": 48})
        self.assertEqual((202, "64"), (answer.status_code, answer.json()["memory"]))
        self.wait_for_limits(uuid, 0.5, 48)
        after = self.state(uuid)
        self.assertEqual((before["Pid"], before["StartedAt"]), (after["Pid"], after["StartedAt"]))

    def test_limits_that_it_already_passes_are_refused_and_it_lives_on(self):
        uuid = self.running("uses-much", memory="64")["uuid"]
        self.assertEqual(0, self.execute(uuid, "sh -c 'head -c 40000000 /dev/zero > /dev/shm/full'")[0])
        self.cloud.ask("PATCH", f"/v1/containers/{uuid}", {"memory": "16"})
        self.cloud.wait(lambda: (self.cloud.container(uuid) or {})["status_reason"], "the reason of the refusal")
        shown = self.cloud.wait_status(uuid, "Running")
        self.assertIn("more than 16 MiB", shown["status_reason"])
        self.assertEqual(64 * MIB, self.one_in_docker(uuid)["HostConfig"]["Memory"])
        self.do(uuid, "reboot", "Running")
        self.wait_for_limits(uuid, 0.1, 16)
        self.assertIsNone(self.cloud.wait_status(uuid, "Running")["status_reason"])

    def wait_for_output(self, uuid: str, words: str) -> None:
        self.cloud.wait(lambda: words in self.cloud.ask("GET", f"/v1/containers/{uuid}/logs"), f"{words} in its log")

    def wait_for_limits(self, uuid: str, cpus: float, memory_mib: int) -> None:
        def held() -> bool:
            host = self.one_in_docker(uuid)["HostConfig"]
            return (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (
                int(cpus * 1e9),
                memory_mib * MIB,
                memory_mib * MIB,
            )

        self.cloud.wait(held, f"{uuid} is held to {cpus} CPUs and {memory_mib} MiB")


class HealingTest(CloudTestCase):
    check = {"cmd": "test -e /dev/shm/well", "interval": 1, "retries": 1, "timeout": 5}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cloud.make_network("10.76.0.0/24", name="home")

    def wait_detail(self, uuid: str, words: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.cloud.container(uuid)
            return found if found and words in (found["status_detail"] or "") else None

        return self.cloud.wait(look, f"{words} of {uuid}")

    def test_a_failing_check_turns_what_is_shown_and_no_more(self):
        uuid = self.running("ill", command=FALLS_ILL, healthcheck=self.check)["uuid"]
        shown = self.wait_detail(uuid, "(healthy)")
        self.assertIsNone(shown["status_reason"])
        started = self.one_in_docker(uuid)["State"]["StartedAt"]
        self.execute(uuid, "rm /dev/shm/well")
        shown = self.wait_detail(uuid, "(unhealthy)")
        self.assertEqual(("Running", "The container runs, but its health check fails."),
                         (shown["status"], shown["status_reason"]))  # fmt: skip
        self.execute(uuid, "touch /dev/shm/well")
        self.assertIsNone(self.wait_detail(uuid, "(healthy)")["status_reason"])
        self.assertEqual(started, self.one_in_docker(uuid)["State"]["StartedAt"])

    def test_one_that_heals_is_restarted_when_it_is_unhealthy_and_made_anew_when_it_is_gone(self):
        record = self.running("heals", command=FALLS_ILL, healthcheck=self.check, auto_heal=True)
        uuid = record["uuid"]
        self.wait_detail(uuid, "(healthy)")
        before = self.one_in_docker(uuid)
        self.execute(uuid, "rm /dev/shm/well")
        self.cloud.wait(lambda: self.started(uuid) not in (None, before["State"]["StartedAt"]), "its restart")
        self.wait_detail(uuid, "(healthy)")
        self.assertEqual(before["Id"], self.one_in_docker(uuid)["Id"])
        self.cloud.engine.api.remove_container(before["Id"], force=True)
        self.cloud.wait(lambda: self.started(uuid) not in (None, before["State"]["StartedAt"]), "another one")
        shown = self.wait_detail(uuid, "(healthy)")
        self.assertEqual(("Running", record["addresses"]), (shown["status"], shown["addresses"]))

    def started(self, uuid: str) -> str | None:
        """When the one container that runs for it was started."""
        found = [item for item in self.cloud.in_docker(uuid) if item["State"]["Running"]]
        return found[0]["State"]["StartedAt"] if found else None


class WalkTest(CloudTestCase):
    """Everything at random against real programs and a real engine; the seed is in the message of a failure."""

    def test_whatever_is_asked_it_settles_and_leaves_nothing(self):
        seed = random.randrange(10**6)
        self.chance = random.Random(seed)
        self.said: list[str] = [f"seed {seed}"]
        network = self.cloud.make_network("10.78.0.0/24", name="walk")
        self.made = [self.make(network, number) for number in range(WALKERS)]
        try:
            for _ in range(STEPS):
                self.chance.choice((self.ask, self.ask, self.ask, self.ask, self.meddle))()
            for uuid in self.made:
                self.check_settled(uuid)
            self.remove_all()
        except Exception as error:
            raise AssertionError("\n".join([*self.said, str(error), self.cloud.logs()])) from error

    def make(self, network: str, number: int) -> str:
        more = {"auto_heal": number % 2 == 0, "restart_policy": {"Name": "always"} if number == 1 else None}
        return self.cloud.run_container(f"walker-{number}", command=PATIENT, nets=[{"network": network}], **more)

    def ask(self) -> None:
        uuid, verb = self.chance.choice(self.made), self.chance.choice(sorted(ACTIONS))
        if verb.startswith("delete"):
            return
        if verb == "update":
            answer = self.cloud.call("PATCH", f"/v1/containers/{uuid}", {"memory": self.chance.choice((16, 24, 32))})
        elif verb == "resize_container":
            path = f"/v1/containers/{uuid}/resize_container"
            answer = self.cloud.call("POST", path, {"cpu": self.chance.choice((0.1, 0.2, 0.3))})
        else:
            answer = self.cloud.call("POST", f"/v1/containers/{uuid}/{verb}")
        self.said.append(f"{verb} {uuid}: {answer.status_code}")
        self.assertIn(answer.status_code, (200, 202, 409), answer.text)
        if self.chance.random() < 0.6:
            self.wait_idle(uuid)

    def meddle(self) -> None:
        uuid = self.chance.choice(self.made)
        what = self.chance.choice(("kill the agent", "remove", "pause", "end"))
        self.said.append(f"{what} {uuid}")
        if what == "kill the agent":
            # It may be on its way back from the last time.
            self.cloud.wait(lambda: os.path.exists(f"/proc/{self.cloud.pid('agent')}"), "the agent is back")
            self.cloud.kill("agent")
            return
        for found in self.cloud.in_docker(uuid):
            # What the engine says to a stranger who comes in between is not what is tried here.
            with contextlib.suppress(docker.errors.APIError):
                if what == "remove":
                    self.cloud.engine.api.remove_container(found["Id"], force=True)
                elif what == "pause":
                    self.cloud.engine.api.pause(found["Id"])
                else:
                    self.cloud.engine.api.kill(found["Id"])

    def wait_idle(self, uuid: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.cloud.container(uuid)
            return found if found and not found["task_state"] and found["status"] != "Restarting" else None

        return self.cloud.wait(look, lambda: f"{uuid} is idle; it is {self.cloud.container(uuid)}")

    def check_settled(self, uuid: str) -> None:
        def look() -> bool:
            found, there = self.cloud.container(uuid), self.cloud.in_docker(uuid)
            if found is None or found["task_state"] or len(there) > 1:
                return False
            actions = self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"]
            if not all(action["finish_time"] for action in actions):
                return False
            return found["status"] == (SHOWN[there[0]["State"]["Status"]] if there else "Error")

        self.cloud.wait(look, lambda: f"{uuid} settles; it is {self.cloud.container(uuid)}")

    def remove_all(self) -> None:
        for uuid in self.made:
            if self.wait_idle(uuid)["status"] == "Paused":
                self.cloud.ask("POST", f"/v1/containers/{uuid}/unpause")
                self.wait_idle(uuid)
            self.assertEqual(204, self.cloud.call("DELETE", f"/v1/containers/{uuid}?stop=true").status_code)
        for uuid in self.made:
            self.cloud.wait_gone(uuid)
            self.assertEqual([], self.cloud.in_docker(uuid))
