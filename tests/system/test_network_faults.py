# SPDX-License-Identifier: Apache-2.0
"""Tenants' networks outlive their programs: killed in any order, while Docker begins, and with the whole host."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import time
import unittest
from typing import Any

import requests

from tests.cloud import Cloud
from tests.functional.case import PATIENT
from tests.system.streams import Pings, Traffic
from zun_lite.client.netd import NetdClient
from zun_lite.domain import errors
from zun_lite.netd import kernel, mounts, names, namespaces

DOCKER = "dockerd"
WAITING = 20
# how long the agent waits for netd, and how long after that a user may be left without a reason
ANSWER_SECONDS, REASON_SECONDS = 4.0, 25.0
ENGINE_LIMIT_SECONDS, ALL_LIMIT_SECONDS = 20.0, 60.0


class NetworkFaultCase(unittest.TestCase):
    live_restore = False
    settings: dict[str, dict[str, str]] = {}
    cloud: Cloud

    @classmethod
    def setUpClass(cls) -> None:
        cls.cloud = Cloud(settings=cls.settings)
        cls.cloud.engine.live_restore = cls.live_restore
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()
        cls.network = cls.cloud.make_network("10.1.0.0/24")
        cls.netd = NetdClient(str(cls.cloud.state_dir / "run" / "netd.sock"))

    def setUp(self) -> None:
        self.made: list[str] = []
        self.addCleanup(self.clear)

    def clear(self) -> None:
        for uuid in self.made:
            self.patiently("DELETE", f"/v1/containers/{uuid}?stop=true")
        for uuid in self.made:
            self.cloud.wait_gone(uuid)
        self.assertEqual([], self.cloud.audit())

    def patiently(self, method: str, path: str) -> None:
        self.cloud.wait(lambda: self.cloud.call(method, path).status_code < 500, f"{method} {path} is taken")

    def ask_for(self, count: int, *, awaited: bool = True, **fields: Any) -> list[str]:
        """As many containers on the network, asked for at once, when all run."""
        group = self.open_group()
        for number in range(count):
            body = {"nets": [{"network": self.network}], "security_groups": [group], "command": PATIENT, **fields}
            self.made.append(self.cloud.run_container(f"c{number}", **body))
        for uuid in self.made if awaited else ():
            self.cloud.wait_status(uuid, "Running")
        return self.made

    def open_group(self) -> str:
        """The default one lets those of its own in."""
        groups = self.cloud.ask("GET", "/network/v2.0/security-groups?name=default")["security_groups"]
        return groups[0]["name"] if groups else "default"

    def addresses(self) -> dict[str, list[str]]:
        found = {}
        for uuid in self.made:
            record = self.cloud.container(uuid)
            assert record is not None
            found[uuid] = sorted(item["addr"] for every in record["addresses"].values() for item in every)
        return found

    def pids(self) -> list[int]:
        return [self.cloud.in_docker(uuid)[0]["State"]["Pid"] for uuid in self.made]

    def is_wired(self) -> bool:
        try:
            records = self.netd.list()["records"]
        except errors.Unavailable:
            return False
        return len(records) == len(self.made) and all(record["wired"] for record in records)

    def seen_inside(self, uuid: str) -> str:
        """What a container itself has for addresses."""
        (found,) = self.cloud.in_docker(uuid)
        return self.cloud.engine.docker("exec", found["Id"], "ip", "-4", "-o", "addr", "show", "eth0").stdout

    def run_everywhere(self) -> bool:
        states = [found["State"] for uuid in self.made for found in self.cloud.in_docker(uuid)]
        return len(states) == len(self.made) and all(state["Running"] for state in states) and self.is_wired()


class HungNetdTests(NetworkFaultCase):
    settings = {"netd": {"answer_seconds": f"{ANSWER_SECONDS}"}}

    def test_what_waits_for_a_netd_that_hangs_says_so_in_time_and_goes_on_with_it(self) -> None:
        self.ask_for(2, restart_policy={"Name": "always"})
        steady, leaving = self.made
        (before,) = self.cloud.in_docker(steady)
        began = time.monotonic()
        self.hold()
        self.ask_for(1, awaited=False)
        new = self.made[-1]
        self.patiently("DELETE", f"/v1/containers/{leaving}?stop=true")
        for uuid in (new, leaving):
            self.cloud.wait(lambda item=uuid: self.blames_netd(item), "its record tells why", REASON_SECONDS)
        told = time.monotonic() - began
        answer = self.cloud.ask("POST", f"/v1/containers/{steady}/execute", {"command": "echo here"})
        self.assertEqual("here\n", answer["output"], "what runs is not held up")
        began = time.monotonic()
        done = self.cloud.engine.docker("restart", "-t", "0", before["Id"], check=False)
        refused = time.monotonic() - began
        self.assertIn("it hangs", done.stderr)
        self.assertLess(refused, REASON_SECONDS)
        print(f"\na hung netd is named after {told:.1f} s, a start in Docker is refused after {refused:.1f} s")

        self.let_go()
        self.made.remove(leaving)
        self.cloud.wait_gone(leaving)
        for uuid in (steady, new):
            self.cloud.wait_status(uuid, "Running")
        self.cloud.wait(self.run_everywhere, "all run, wired")
        self.assertEqual(2, len(self.cloud.engine.api.containers(all=True)))
        ports = self.cloud.ask("GET", f"/network/v2.0/ports?network_id={self.network}&device_owner=compute:kuryr")
        self.assertEqual(sorted(self.made), sorted(port["device_id"] for port in ports["ports"]))
        addresses, (first, second) = self.addresses(), self.pids()
        with Traffic(first, second, addresses[new][0]) as traffic:
            self.cloud.wait(lambda: traffic.answered > 10 or traffic.broken, "they reach each other")
            self.assertEqual("", traffic.broken)

    def hold(self) -> None:
        """netd is there, and does nothing."""
        self.held = self.cloud.pid("netd")
        self.addCleanup(self.let_go)
        os.kill(self.held, signal.SIGSTOP)

    def let_go(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.held, signal.SIGCONT)

    def blames_netd(self, uuid: str) -> bool:
        record = self.cloud.container(uuid)
        assert record is not None
        self.assertNotEqual("Error", record["status"], "what only waits has not failed")
        return "netd" in (record["status_reason"] or "")


class RestartTests(NetworkFaultCase):
    live_restore = True
    programs = ("netd", "agent", DOCKER)

    def test_traffic_goes_on_whatever_is_killed_in_whatever_order(self) -> None:
        self.ask_for(2)
        first, second = self.made
        outsider = self.ask_for_an_outsider()
        before, pids = self.addresses(), self.pids()
        refused = Pings(pids[2], before[second][0])
        self.addCleanup(refused.close)
        self.assertTrue(self.cloud.engine.api.info()["LiveRestoreEnabled"])
        with Traffic(*pids[:2], before[second][0]) as traffic:
            for order in itertools.permutations(self.programs):
                with self.subTest(order=order):
                    self.kill_in(order)
                    self.cloud.wait(self.run_everywhere, "everything is as it was")
                    self.assertEqual((pids, before), (self.pids(), self.addresses()))
            self.assertEqual("", traffic.broken)
            sent, lost = traffic.lost_pings()
            print(
                f"{traffic.answered} numbers there and back, the longest wait {traffic.longest_gap_seconds:.2f} s; "
                f"{lost} of {sent} pings lost"
            )
            self.assertEqual(0, lost)
            self.assertGreater(sent, 100)
        asked, answered = refused.end()
        print(f"{answered} of {asked} pings that the rules refuse were answered meanwhile")
        self.assertEqual(0, answered)
        self.assertGreater(asked, 100)
        self.let_in(outsider)
        self.cloud.wait(lambda: self.reaches(pids[2], before[second][0]), "they are answered once the rules let them")
        for uuid in (first, second):
            self.cloud.wait_status(uuid, "Running")
            self.assertIn(before[uuid][0], self.seen_inside(uuid))

    def ask_for_an_outsider(self) -> str:
        """One that may ask everybody, and whom nobody lets in."""
        group = {"security_group": {"name": "outsiders"}}
        self.cloud.ask("POST", "/network/v2.0/security-groups", group)
        return self.ask_for(1, security_groups=["outsiders"])[-1]

    def let_in(self, uuid: str) -> None:
        (port,) = self.cloud.ask("GET", f"/network/v2.0/ports?device_id={uuid}")["ports"]
        (group,) = self.cloud.ask("GET", "/network/v2.0/security-groups?name=default")["security_groups"]
        groups = {"security_groups": [*port["security_groups"], group["id"]]}
        self.cloud.ask("PUT", f"/network/v2.0/ports/{port['id']}", {"port": groups})

    def reaches(self, pid: int, address: str) -> bool:
        words = ["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "ping", "-c", "1", "-W", "1", address]
        return subprocess.run(words, capture_output=True).returncode == 0

    def kill_in(self, order: tuple[str, ...]) -> None:
        """One after the other, so that each is away while the next one dies."""
        children = {program: self.running_pid(program) for program in order if program != DOCKER}
        for program in order:
            if program == DOCKER:
                self.cloud.engine.kill()
            else:
                self.cloud.kill(program)
        self.cloud.engine.start()
        for program, pid in children.items():
            self.running_pid(program, but=pid)

    def running_pid(self, program: str, but: int | None = None) -> int:
        """Of the program, once it runs; but: not this one, which was killed."""

        def look() -> int | None:
            pid = self.cloud.pid(program)
            return pid if pid != but else None

        found: int = self.cloud.wait(look, f"{program} runs")
        return found


class HostTests(NetworkFaultCase):
    def test_after_a_reboot_the_containers_come_back_with_their_addresses(self) -> None:
        """One that Docker itself restarts, and one that only the agent brings back."""
        self.ask_for(1)
        self.ask_for(1, restart_policy={"Name": "always"})
        before, pids = self.addresses(), self.pids()

        self.cloud.down()
        self.reboot(pids)
        self.cloud.engine.start()
        self.cloud.up()

        self.cloud.wait(self.run_everywhere, "all run, wired")
        self.assertEqual([], sorted(set(pids) & set(self.pids())))
        self.assertEqual(before, self.addresses())
        for uuid, (address, *_) in before.items():
            self.cloud.wait_status(uuid, "Running")
            self.assertIn(address, self.seen_inside(uuid))
        first, second = self.pids()
        with Traffic(first, second, before[self.made[1]][0]) as traffic:
            self.cloud.wait(lambda: traffic.answered > 10 or traffic.broken, "they reach each other")
            self.assertEqual("", traffic.broken)

    def reboot(self, pids: list[int]) -> None:
        """What a reboot leaves: files. Processes, namespaces, links and mounts are gone; the boot has another id."""
        self.cloud.engine.lose_power()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for mount in reversed(mounts.here()):
            if mount.point.startswith(f"{self.cloud.state_dir}/"):
                kernel.unmount(mount.point, kernel.MNT_DETACH)
        for name in namespaces.names(names.namespace_prefix(self.cloud.name)):
            namespaces.remove(name)
        for path in (self.cloud.state_dir / "agent" / "workloads").glob("*.json"):
            noted = json.loads(path.read_text())
            path.write_text(json.dumps({**noted, "boot_id": "an-earlier-boot"}))

    def test_docker_answers_while_netd_is_away_and_all_that_waited_run_soon_after_its_return(self) -> None:
        self.cloud.ask("PUT", f"/v1/quotas/{self.project()}", {"containers": 100, "memory": 102400}, cloud="admin")
        self.ask_for(WAITING, restart_policy={"Name": "always"})
        before = self.addresses()
        self.cloud.down()
        self.cloud.engine.terminate()

        began = time.monotonic()
        self.cloud.engine.start()
        answered = time.monotonic() - began
        self.cloud.wait(lambda: not self.any_runs(), "none runs while netd is away")
        self.assertEqual(WAITING, len(self.cloud.engine.api.containers(all=True)))

        began = time.monotonic()
        self.cloud.up()
        self.cloud.wait(self.run_everywhere, "all run, wired", ALL_LIMIT_SECONDS)
        ran = time.monotonic() - began
        print(f"dockerd answered after {answered:.1f} s; {WAITING} ran, wired, {ran:.1f} s after netd's return")
        self.assertLess(answered, ENGINE_LIMIT_SECONDS)
        self.assertLess(ran, ALL_LIMIT_SECONDS)
        self.assertEqual(before, self.addresses())
        for uuid in (self.made[0], self.made[-1]):
            self.assertIn(before[uuid][0], self.seen_inside(uuid))

    def any_runs(self) -> bool:
        return bool(self.cloud.engine.api.containers())

    def project(self) -> str:
        token = requests.get(
            f"{self.cloud.url}/identity/v3/auth/tokens",
            headers={"X-Auth-Token": self.cloud.token(), "X-Subject-Token": self.cloud.token()},
            timeout=10,
        ).json()
        return token["token"]["project"]["id"]
