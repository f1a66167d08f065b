# SPDX-License-Identifier: Apache-2.0
"""Programs are killed in the middle of creates and deletes; nothing is lost, doubled or left behind.

One cloud for all cases: real Docker, real links, real volumes. After each case the audit of records
against the host must find nothing.
"""

from __future__ import annotations

import threading
import time
import unittest
from collections.abc import Callable

import requests

from tests.cloud import Cloud
from zun_lite.common import crash

PROGRAMS = ("api", "controller", "agent", "netd")


class FaultCase(unittest.TestCase):
    cloud: Cloud
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.cloud = Cloud(crash_points=True)
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()
        cls.network = cls.cloud.make_network()

    def make_for_sure(self, name: str, volume: str) -> str:
        """Create a container as a careful client does: after a broken connection, look before asking again."""
        fields = {"nets": [{"network": self.network}], "mounts": [{"source": volume, "destination": "/data"}]}
        while True:
            try:
                return self.cloud.run_container(name, **fields)
            except requests.RequestException:
                self.cloud.wait(lambda: self.cloud.call("GET", "/v1/containers").status_code == 200, "the api is back")
            found = self.cloud.container(name)
            if found:
                return found["uuid"]

    def delete_for_sure(self, uuid: str) -> None:
        def ask() -> bool:
            return self.cloud.call("DELETE", f"/v1/containers/{uuid}?stop=true").status_code in (204, 404)

        self.cloud.wait(ask, f"the delete of {uuid} is accepted")
        self.cloud.wait_gone(uuid)

    def drop_volume(self, volume: str) -> None:
        path = f"/volume/v3/volumes/{volume}"
        self.cloud.wait(lambda: self.cloud.call("DELETE", path).status_code in (202, 404), f"volume {volume} is let go")
        self.cloud.wait(lambda: self.cloud.call("GET", path).status_code == 404, f"volume {volume} is gone")

    def check_running_once(self, uuid: str) -> None:
        self.cloud.wait_status(uuid, "Running")
        (found,) = self.cloud.in_docker(uuid)
        self.assertTrue(found["State"]["Running"])
        self.assertEqual(0, found["RestartCount"])
        self.assertIn("10.1.0.", self.execute_for_sure(uuid, "ip -4 -o addr show eth0"))
        self.assertIn("/dev/loop", self.execute_for_sure(uuid, "sh -c 'mount | grep /data'"))

    def execute_for_sure(self, uuid: str, command: str) -> str:
        """A command's output; while the agent is down the answer is 503, and it is asked again."""

        def ask() -> requests.Response | None:
            answer = self.cloud.call("POST", f"/v1/containers/{uuid}/execute", {"command": command})
            return None if answer.status_code == 503 else answer

        answer = self.cloud.wait(ask, f"{command} runs in {uuid}")
        self.assertEqual(200, answer.status_code, answer.text)
        return answer.json()["output"]

    def check_books(self) -> None:
        self.assertEqual([], self.cloud.audit())


class CrashPointTest(FaultCase):
    """A case a point: the program dies there, once, and the life of a container goes on to its end."""

    def die_at(self, point: str) -> None:
        volume = self.cloud.make_volume()
        self.cloud.wait_until_steady(point)
        self.cloud.arm_point(point)
        self.addCleanup(self.cloud.disarm_point, point)
        uuid = self.make_for_sure(f"at-{point}", volume)
        self.check_running_once(uuid)
        self.check_books()
        self.delete_for_sure(uuid)
        self.assertEqual([], self.cloud.in_docker(uuid))
        self.drop_volume(volume)
        self.assertTrue(self.cloud.was_hit(point), f"{point} was never reached")
        self.check_books()


def _case(point: str) -> Callable[[CrashPointTest], None]:
    def test(self: CrashPointTest) -> None:
        self.die_at(point)

    return test


for _point in crash.POINTS:
    setattr(CrashPointTest, f"test_death_at_{_point.replace('.', '_')}", _case(_point))


class KillTest(FaultCase):
    """Programs are killed at any moment while several containers are being made."""

    def test_kills_in_the_middle_of_creates_leave_every_container_running_once(self) -> None:
        for program in PROGRAMS:
            for delay_seconds in (0.02, 0.15, 0.4):
                with self.subTest(program=program, delay_seconds=delay_seconds):
                    self.kill_while_creating(program, delay_seconds)

    def kill_while_creating(self, program: str, delay_seconds: float) -> None:
        volumes = [self.cloud.make_volume() for _ in range(3)]
        made: list[str] = []
        makers = [
            threading.Thread(target=lambda v=volume, n=number: made.append(self.make_for_sure(f"{program}-{n}", v)))
            for number, volume in enumerate(volumes)
        ]
        before = self.cloud.pid(program)
        for maker in makers:
            maker.start()
        time.sleep(delay_seconds)
        self.cloud.kill(program)
        for maker in makers:
            maker.join()
        self.assertEqual(3, len(set(made)))
        for uuid in made:
            self.check_running_once(uuid)
        self.cloud.wait(lambda: self.cloud.pid(program) != before, f"{program} is back")
        self.check_books()
        for uuid in made:
            self.delete_for_sure(uuid)
        for volume in volumes:
            self.drop_volume(volume)
        self.check_books()


class WholeCloudTest(FaultCase):
    """What stays while everything of ours is down, and what is made up for afterwards."""

    def test_containers_live_on_while_the_cloud_is_down_and_what_ended_meanwhile_shows(self) -> None:
        volume = self.cloud.make_volume()
        stays = self.make_for_sure("stays", volume)
        ends = self.cloud.run_container("ends", command=["sh", "-c", "exec sleep 86400"])
        for uuid in (stays, ends):
            self.cloud.wait_status(uuid, "Running")
        started = self.cloud.in_docker(stays)[0]["State"]["StartedAt"]
        self.cloud.down()
        self.cloud.engine.api.kill(self.cloud.in_docker(ends)[0]["Id"])
        self.cloud.up()
        self.cloud.wait_status(ends, "Stopped")
        self.check_running_once(stays)
        self.assertEqual(started, self.cloud.in_docker(stays)[0]["State"]["StartedAt"])
        for uuid in (stays, ends):
            self.delete_for_sure(uuid)
        self.drop_volume(volume)
        self.check_books()

    def test_a_container_that_docker_restarts_is_wired_again(self) -> None:
        volume = self.cloud.make_volume()
        uuid = self.make_for_sure("again", volume)
        self.cloud.wait_status(uuid, "Running")
        self.cloud.engine.api.restart(self.cloud.in_docker(uuid)[0]["Id"], timeout=1)
        self.check_running_once(uuid)
        self.delete_for_sure(uuid)
        self.drop_volume(volume)
        self.check_books()
