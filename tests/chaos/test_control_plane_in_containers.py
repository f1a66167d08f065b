# SPDX-License-Identifier: Apache-2.0
"""docs/containers.md, tried: the image is built, the control plane comes up, a host joins, a container runs, and all of
it outlives restarts, kills, and the control plane's going down and up.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

from packaging.utils import canonicalize_name

from tests.chaos.control_plane import BUILD_SECONDS, engine_with_images
from tests.clients.runner import venv
from tests.clients.terminal import Terminal
from tests.docker_engine import PrivateDockerEngine
from tests.fleet import WHOLE_HOST, Namespaces

TOP = Path(__file__).resolve().parents[2]
HERE, HOST = "198.18.201.1", "198.18.201.2"
LIMIT_SECONDS = 120.0
LARGEST_MIB = 300
PROGRAMS = ("api", "controller", "gateway")
SERVICES = ("appcontainer", "service", "list", "-f", "value", "-c", "State")


class ControlPlaneTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp(prefix="zl-compose-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        began = time.monotonic()
        cls.engine = cls.enterClassContext(engine_with_images(cls.folder / "plane"))
        print(f"debian:12-slim and postgres:15 after {time.monotonic() - began:.0f} s")
        cls.environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("OS_", "ZUN_LITE_"))},
            "DOCKER_HOST": cls.engine.url,
            "COMPOSE_PROJECT_NAME": "trial",
            "DATABASE_PASSWORD": "p@ss:w/rd%20",
            "PUBLIC_URL": f"http://{HERE}:9517",
            "GATEWAY_URL": f"ws://{HERE}:9519/",
        }
        began = time.monotonic()
        cls.compose("build")
        print(f"the image zun_lite after {time.monotonic() - began:.0f} s")
        cls.compose("up", "--detach")
        cls.wait_well()
        (cls.folder / "clouds.yaml").write_text(
            cls.compose("exec", "-T", "api", "cat", "/var/lib/zun_lite/clouds.yaml")
        )
        cls.make_host()

    @classmethod
    def make_host(cls) -> None:
        """A machine beside, whose wire ends at the control plane's; it joins by a token."""
        made = Namespaces(WHOLE_HOST, "host1", str(cls.folder / "cgroup"), kinds=("--net", "--mount", "--uts"))
        cls.addClassCleanup(made.end)
        cls.within = ("nsenter", f"--target={made.pid}", "--net", "--mount", "--uts")
        wire = f"link add h1 type veth peer name up0 netns {made.pid}\naddress add {HERE}/24 dev h1\nlink set h1 up\n"
        inside = ["nsenter", f"--net=/proc/{cls.engine.pid}/ns/net", "ip", "-batch", "-"]
        subprocess.run(inside, input=wire, text=True, check=True)
        made.batch(f"address add {HOST}/24 dev up0", "link set up0 up", f"route add default via {HERE}")
        cls.state_dir = cls.folder / "host"
        engine = PrivateDockerEngine(
            {"zun-lite": str(cls.state_dir / "bin/zun-lite-runtime")}, folder=str(cls.folder / "h"), within=cls.within
        )
        cls.enterClassContext(engine)
        token = cls.compose("exec", "-T", "api", "zun-lite-manage", "host", "token", "--name", "host1").strip()
        cls.addClassCleanup(cls.on_host, "down")
        joining = ("join", f"http://{HERE}:9517", "--insecure", "--detach", "--docker-socket", engine.socket)
        cls.on_host(*joining, ZUN_LITE_JOIN_TOKEN=token)
        cls.on_host("image", "demo")
        cls.openstack("network", "create", "home")
        cls.openstack("subnet", "create", "home-v4", "--network", "home", "--subnet-range", "10.20.0.0/24")

    @classmethod
    def run_command(cls, words: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(words, env=environment, cwd=TOP, capture_output=True, text=True, timeout=BUILD_SECONDS)
        if done.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr}")
        return done.stdout

    @classmethod
    def compose(cls, *words: str) -> str:
        return cls.run_command(["docker-compose", *words], cls.environment)

    @classmethod
    def on_host(cls, *words: str, **more: str) -> str:
        command = [*cls.within, sys.executable, "-m", "zun_lite.cmd.up", *words]
        return cls.run_command(command, {**os.environ, "ZUN_LITE_STATE_DIR": str(cls.state_dir), **more})

    @classmethod
    def openstack(cls, *words: str, cloud: str = "demo") -> str:
        """The stock client's answer, from the host's side of the wire."""
        client = [*cls.within, str(venv() / "bin/openstack"), *words]
        where = {"OS_CLIENT_CONFIG_FILE": str(cls.folder / "clouds.yaml"), "OS_CLOUD": cloud}
        return cls.run_command(client, {**cls.environment, **where}).strip()

    @classmethod
    def wait(cls, look: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not look():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {LIMIT_SECONDS:g} s: {what}\n{cls.compose('logs', '--tail=20')}")
            time.sleep(0.5)

    @classmethod
    def state(cls, service: str, field: str) -> str:
        (made,) = cls.compose("ps", "--quiet", service).split()
        return cls.engine.docker("inspect", "--format", "{{" + field + "}}", made).stdout.strip()

    @classmethod
    def wait_well(cls) -> None:
        for name in ("database", *PROGRAMS):
            cls.wait(lambda name=name: cls.state(name, ".State.Health.Status") == "healthy", f"{name} is healthy")

    def a_running_container(self, name: str) -> None:
        self.openstack("appcontainer", "run", "--name", name, "demo:latest", "sleep", "36000")
        shown = ("appcontainer", "show", name, "-f", "value", "-c", "status")
        self.wait(lambda: self.openstack(*shown) == "Running", f"{name} runs")

    def kill_and_wait(self, name: str) -> None:
        before = self.state(name, ".State.StartedAt")
        os.kill(int(self.state(name, ".State.Pid")), signal.SIGKILL)
        self.wait(lambda: self.state(name, ".State.StartedAt") != before, f"{name} is started again")

    def test_the_image_is_small_and_pinned_and_has_neither_root_nor_build_tools(self) -> None:
        size = int(self.engine.docker("inspect", "--format", "{{.Size}}", "zun_lite").stdout) / 2**20
        print(f"the image zun_lite: {size:.0f} MiB")
        self.assertLess(size, LARGEST_MIB)
        self.assertEqual("9517", self.compose("exec", "-T", "api", "id", "-u").strip())
        asked = "import importlib.metadata as m; print(*(d.name + '==' + d.version for d in m.distributions()))"
        there = self.compose("exec", "-T", "api", "python3", "-c", asked).split()
        pinned = (TOP / "constraints.txt").read_text().split()

        def canonical(lines: list[str]) -> set[tuple[str, str]]:
            return {(canonicalize_name(name), version) for name, _, version in (line.partition("==") for line in lines)}

        own = {item for item in canonical(there) if item[0] == "zun-lite"}
        self.assertEqual(1, len(own))
        self.assertLessEqual(canonical(there) - own, canonical(pinned))
        tools = "import shutil; print([n for n in ('pip', 'gcc', 'cc', 'make', 'git') if shutil.which(n)])"
        self.assertEqual("[]", self.compose("exec", "-T", "api", "python3", "-c", tools).strip())

    def test_a_container_runs_and_a_terminal_leads_into_it(self) -> None:
        self.a_running_container("first")
        where = {**self.environment, "OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml"), "OS_CLOUD": "demo"}
        script = (*self.within, str(venv() / "bin/openstack"), "appcontainer", "exec", "--interactive", "first", "sh")
        (self.folder / "enter").write_text(f"#!/bin/sh\nexec {' '.join(script)}\n")
        (self.folder / "enter").chmod(0o755)
        with Terminal(str(self.folder / "enter"), environment=where) as terminal:
            terminal.read_until("connected to first")
            terminal.wait_raw()
            terminal.type("\recho $((6 * 7)) inside\r")
            terminal.read_until("42 inside")
            terminal.type("exit\r")
            self.assertEqual(0, terminal.wait())

    def test_services_that_restart_or_are_killed_come_back_and_state_outlives_all_of_them(self) -> None:
        self.a_running_container("kept")
        self.compose("restart", *PROGRAMS)
        self.wait_well()
        for name in ("database", *PROGRAMS):
            before = self.state(name, ".State.StartedAt")
            os.kill(int(self.state(name, ".State.Pid")), signal.SIGKILL)
            self.wait(
                lambda name=name, before=before: self.state(name, ".State.StartedAt") != before, f"{name} is back"
            )
        self.wait_well()
        self.assertEqual("here", self.openstack("appcontainer", "exec", "kept", "echo", "here"))
        self.compose("down")
        self.compose("up", "--detach")
        self.wait_well()
        self.wait(lambda: "up" in self.openstack(*SERVICES, cloud="admin").split(), "the host is heard of again")
        self.assertEqual("here", self.openstack("appcontainer", "exec", "kept", "echo", "here"))
