# SPDX-License-Identifier: Apache-2.0
"""Programs are killed while capsules are made and taken away; each comes out whole, once, or not at all."""

from __future__ import annotations

import threading
import unittest

from tests.cloud import Cloud
from tests.functional.capsules import PATIENT, Capsules, container, template

# (point, how many times in a row the program dies there): the sandbox comes first, then the members
MAKING = (
    ("agent.create.after", 2),
    ("agent.plug.after", 2),
    ("agent.start.before", 2),
    ("agent.start.after", 4),
    ("agent.journal.after", 2),
    ("netd.wire.end", 1),
)
LEAVING = (
    ("agent.stop.after", 1),
    ("agent.unplug.after", 1),
    ("agent.remove.after", 4),
    ("netd.umount.after", 1),
)


class CapsuleFaultsTest(unittest.TestCase):
    making, leaving = MAKING, LEAVING
    cloud: Cloud

    @classmethod
    def setUpClass(cls) -> None:
        cls.cloud = Cloud(crash_points=True)
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()
        cls.cloud.make_network()
        cls.capsules = Capsules(cls.cloud)

    def make(self, name: str) -> str:
        mount = {"name": "vol", "mountPath": "/data"}
        body = template(
            name,
            container(f"echo main >> /data/log; {PATIENT}", mount),
            container(),
            initContainers=[container("echo init >> /data/log", mount)],
            volumes=[{"name": "vol", "cinder": {"size": 1, "autoRemove": True}}],
            restartPolicy="Never",
        )
        return self.capsules.create(body)

    def check_whole(self, uuid: str) -> None:
        capsule = self.capsules.wait_status(uuid, "Running", "Error")
        self.assertEqual("Running", capsule["status"], capsule["status_reason"])
        self.assertEqual(4, len(self.capsules.in_docker(uuid)))
        first, second = capsule["containers"]
        self.cloud.wait(lambda: "main" in self.capsules.run(first, "cat /data/log"), "it has begun")
        self.assertEqual("init\nmain\n", self.capsules.run(first, "cat /data/log"))
        self.assertIn("inet 10.1.0.", self.capsules.run(second, "ip -4 address show eth0"))
        self.assertEqual([], self.cloud.audit())

    def leave(self, uuid: str) -> None:
        self.capsules.delete(uuid)
        self.assertEqual({}, self.capsules.in_docker(uuid))
        self.assertEqual([], self.cloud.audit())

    def die_at(self, point: str, times: int) -> None:
        """Kill whoever reaches the point, and again when its successor does; returns before the last time."""
        self.cloud.arm_point(point)
        self.addCleanup(self.cloud.disarm_point, point)
        for _ in range(times - 1):
            self.cloud.wait(lambda: self.cloud.was_hit(point), f"{point} is reached")
            self.cloud.arm_point(point)

    def test_wherever_a_program_dies_while_one_is_made_it_comes_out_whole_and_each_ran_once(self) -> None:
        for number, (point, times) in enumerate(self.making):
            with self.subTest(point=point, times=times):
                self.cloud.wait_until_steady(point)
                arming = threading.Thread(target=self.die_at, args=(point, times))
                arming.start()
                uuid = self.make(f"made-{number}")
                self.check_whole(uuid)
                arming.join()
                self.assertTrue(self.cloud.was_hit(point), f"{point} was not reached {times} times")
                self.leave(uuid)

    def test_wherever_a_program_dies_while_one_leaves_nothing_is_left(self) -> None:
        for number, (point, times) in enumerate(self.leaving):
            with self.subTest(point=point, times=times):
                uuid = self.make(f"left-{number}")
                self.check_whole(uuid)
                self.cloud.wait_until_steady(point)
                arming = threading.Thread(target=self.die_at, args=(point, times))
                arming.start()
                self.leave(uuid)
                arming.join()
                self.assertTrue(self.cloud.was_hit(point), f"{point} was not reached {times} times")

    def test_an_agent_that_was_away_while_the_sandbox_died_sets_the_members_right(self) -> None:
        uuid = self.make("alone")
        self.check_whole(uuid)
        before = self.capsules.in_docker(uuid)
        self.cloud.kill("agent")
        self.cloud.engine.api.restart(f"zun-{uuid}", timeout=0)

        def right_again() -> bool:
            now = self.capsules.in_docker(uuid)
            members = [item["uuid"] for item in self.capsules.get(uuid)["containers"]]
            return all(
                now[f"zun-{m}"]["State"]["StartedAt"] != before[f"zun-{m}"]["State"]["StartedAt"] for m in members
            )

        self.cloud.wait(right_again, "the members are started anew")
        second = self.capsules.wait_status(uuid, "Running")["containers"][1]
        self.cloud.wait(lambda: "10.1.0." in self.capsules.run(second, "ip -4 a show eth0"), "they have the network")
        self.leave(uuid)
