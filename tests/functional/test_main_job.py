# SPDX-License-Identifier: Apache-2.0
"""The main job as a newcomer does it: a clone, `make run`, and everything around it, on a private Docker Engine.

One long story, told in one test, because each part needs what the one before it made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.docker_engine import PrivateDockerEngine
from zun_lite.cmd import processes
from zun_lite.cmd.installation import cluster_of

TOP = Path(__file__).resolve().parent.parent.parent
PROGRAMS = ("netd", "api", "controller", "agent")
LIMIT_SECONDS = 60.0


class MainJobTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.mkdtemp(prefix="zl-main-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.clone = Path(folder) / "clone"
        self.state_dir = Path(folder) / "state"
        runtime = str(self.state_dir / "bin" / "zun-lite-runtime")
        self.engine = PrivateDockerEngine({"zun-lite": runtime}).start()
        self.addCleanup(self.engine.stop)
        port, agent_port = free_ports(2)
        self.settings = [
            f"STATE_DIR={self.state_dir}",
            f"PORT={port}",
            f"AGENT_PORT={agent_port}",
            f"DOCKER_SOCKET={self.engine.socket}",
        ]
        self.addCleanup(self._make_clean)

    def test_a_newcomer_gets_a_container_with_a_network_and_a_volume_and_can_take_all_of_it_back(self) -> None:
        subprocess.run(["git", "clone", "--quiet", str(TOP), str(self.clone)], check=True)

        first = self.make("run")
        self.assertRegex(first, r"wait until it runs: Running")
        self.assertRegex(first, r"address: 10\.20\.30\.\d+")
        self.assertRegex(first, r"inet 10\.20\.30\.\d+/24 .*eth0")
        self.assertEqual(1, visits(first))
        self.assertIn("hello from zun_lite", first)
        self.assertIn("openstack appcontainer list", first)

        second = self.make("run")
        self.assertIn("already up", second)
        self.assertIn("already there, Running", second)
        self.assertEqual(2, visits(second))
        self.assertEqual(container_id(first), container_id(second))
        self.assertEqual(["running"], self.docker_states())
        self.assertEqual(1, len(self.network_namespaces()))
        self.assertEqual(1, len(self.loop_devices()))

        status, said = self.zun_lite("status")
        self.assertEqual(0, status, said)
        for name in PROGRAMS:
            self.assertRegex(said, rf"(?m)^{name} +running ")

        for name in PROGRAMS:
            self.kill_and_see_it_back(name)
        self.wait(lambda: self.zun_lite("status")[0] == 0, "all is well again after the kills")

        pid = self.state()["pid"]
        self.assertEqual(0, self.zun_lite("down")[0])
        self.assertIsNone(processes.started_ticks(pid))
        self.assertEqual(3, self.zun_lite("status")[0])
        self.assertEqual(["running"], self.docker_states())
        self.assertEqual((0, "zun-lite: already down\n"), self.zun_lite("down"))

        status, said = self.zun_lite("up", "--detach")
        self.assertEqual(0, status, said)
        third = self.make("run")
        self.assertIn("already there, Running", third)
        self.assertEqual(3, visits(third))

        children = self.state()["children"]
        os.kill(self.state()["pid"], signal.SIGKILL)
        for child in children.values():
            self.wait(
                lambda child=child: not processes.is_same(child["pid"], child["started_ticks"]),  # type: ignore[misc]
                "no program outlives a killed supervisor",
            )
        self.assertEqual(0, self.zun_lite("up", "--detach")[0])
        self.assertEqual(["running"], self.docker_states())

        self.make("clean")
        self.assertFalse(self.state_dir.exists())
        self.assertEqual([], self.docker_states())
        self.assertEqual([], self.engine.api.images("demo"))
        self.assertEqual([], self.network_namespaces())
        self.assertEqual([], self.loop_devices())
        self.assertNotIn(str(self.state_dir), Path("/proc/self/mountinfo").read_text())
        self.assertEqual([], programs_of(self.state_dir))
        self.assertFalse((self.clone / ".venv").exists())
        self.assertEqual("", self.git_status())
        self.assertIn("nothing to clean", self.make("clean"))

    def kill_and_see_it_back(self, name: str) -> None:
        before = self.state()["children"][name]
        os.kill(before["pid"], signal.SIGKILL)

        def back() -> bool:
            child = self.state()["children"][name]
            return child["state"] == "running" and child["pid"] != before["pid"]

        self.wait(back, f"{name} is back after kill -9")

    def make(self, target: str) -> str:
        done = subprocess.run(
            ["make", target, *self.settings],
            cwd=self.clone,
            env=newcomers_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            self.fail(f"make {target} ended with status {done.returncode}:\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def zun_lite(self, *arguments: str) -> tuple[int, str]:
        command = [self.clone / ".venv/bin/zun-lite", arguments[0], "--state-dir", self.state_dir, *arguments[1:]]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    def state(self) -> dict[str, Any]:
        return json.loads((self.state_dir / "run" / "supervisor.json").read_text())

    def docker_states(self) -> list[str]:
        return [container["State"] for container in self.engine.api.containers(all=True)]

    def network_namespaces(self) -> list[str]:
        return [path.name for path in Path("/run/netns").glob(f"zl{cluster_of(str(self.state_dir))}-*")]

    def loop_devices(self) -> list[str]:
        found = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
        return [path for path in found if path.startswith(f"{self.state_dir}/")]

    def git_status(self) -> str:
        command = ["git", "-C", str(self.clone), "status", "--porcelain", "--ignored"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def logs(self) -> str:
        texts = []
        for path in sorted((self.state_dir / "log").glob("*.log")):
            texts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}")
        return "\n".join(texts)

    def wait(self, arrived: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not arrived():
            if time.monotonic() > deadline:
                self.fail(f"not within {LIMIT_SECONDS:g} s: {what}\n{self.logs()}")
            time.sleep(0.1)

    def _make_clean(self) -> None:
        if (self.clone / "Makefile").exists():
            command = ["make", "clean", *self.settings]
            subprocess.run(command, cwd=self.clone, env=newcomers_environment(), capture_output=True, check=False)


def newcomers_environment() -> dict[str, str]:
    """Without what the make that runs the tests has set, or `make clean` would take that one's folders."""
    ours = ("MAKE", "MFLAGS", "VENV", "CLIENTS_VENV", "VIRTUAL_ENV", "ZUN_LITE_", "OS_")
    return {name: text for name, text in os.environ.items() if not name.startswith(ours)}


def visits(output: str) -> int:
    """How many lines the demo has left on the volume, one a run."""
    return len(re.findall(r"(?m)^ +\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}$", output))


def container_id(output: str) -> str:
    found = re.search(r"container: demo-container ([0-9a-f-]{36})", output)
    assert found is not None, output
    return found[1]


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def programs_of(state_dir: Path) -> list[int]:
    """Processes that were started for an installation."""
    mark = f"ZUN_LITE_STATE_DIR={state_dir}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
