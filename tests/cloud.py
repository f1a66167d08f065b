# SPDX-License-Identifier: Apache-2.0
"""A whole zun_lite of a test's own: a private Docker Engine, and everything embedded under `zun-lite up`.

Needs root. It has its own state folder, ports, cluster name and runtime, so that several of them,
and a real installation, live side by side on one machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import docker.errors
import requests

from tests.docker_engine import PrivateDockerEngine
from zun_lite.cmd import audit, processes, supervisor
from zun_lite.common import config, crash
from zun_lite.domain import errors

LIMIT_SECONDS = float(os.environ.get("ZUN_LITE_TESTS_WAIT_SECONDS", "60"))
PREFIX = "zl-cloud-"
OWNER = "owner"
Result = TypeVar("Result")


class Cloud:
    """start() brings it up; stop() takes everything back. Use `with`, or both."""

    def __init__(
        self, *, crash_points: bool = False, bridge: bool = False, settings: dict[str, dict[str, str]] | None = None
    ) -> None:
        """crash_points: its programs heed arm_point(). bridge: its engine has docker0 for other containers.

        settings: {section: {option: value}} besides the usual.
        """
        self.name = f"t{uuid.uuid4().hex[:7]}"
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{self.name}-"))
        self.state_dir = self.folder / "state"
        self.port, self.agent_port, self.gateway_port = free_ports(3)
        self.url = f"http://127.0.0.1:{self.port}"
        self.engine = PrivateDockerEngine(
            {"zun-lite": str(self.state_dir / "bin" / "zun-lite-runtime")},
            bridge=bridge,
            environment={"ZUN_LITE_CRASH_POINTS": "on"} if crash_points else None,
        )
        self._crash_points = crash_points
        self._settings = {"DEFAULT": {"cluster": self.name}, **(settings or {})}
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Cloud:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def identity_url(self) -> str:
        return f"{self.url}/identity"

    @property
    def environment(self) -> dict[str, str]:
        """For a command of an operator or a tenant on this machine."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "ZUN_LITE_"))}
        more = {"ZUN_LITE_STATE_DIR": str(self.state_dir), "OS_CLIENT_CONFIG_FILE": str(self.state_dir / "clouds.yaml")}
        if self._crash_points:
            more["ZUN_LITE_CRASH_POINTS"] = "on"
        return {**kept, **more}

    def start(self) -> None:
        sweep()
        self.state_dir.mkdir(mode=0o700)
        (self.folder / OWNER).write_text(f"{os.getpid()} {processes.started_ticks(os.getpid())}")
        (self.state_dir / ".zun_lite").touch()
        if self._crash_points:
            (self.state_dir / "crash-points").mkdir()
        self.engine.start()
        self.up()

    def stop(self) -> None:
        with contextlib.suppress(Exception):
            self.command("clean", "--yes", check=False)
        self.engine.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def up(self) -> str:
        """`zun-lite up`, with this cloud's settings merged into its configuration before the first start."""
        if not (self.state_dir / "zun_lite.conf").exists():
            self._write_settings()
        options = ("--port", str(self.port), "--agent-port", str(self.agent_port))
        options = (*options, "--gateway-port", str(self.gateway_port))
        return self.command("up", "--detach", *options, "--docker-socket", self.engine.socket)

    def start_up(self) -> subprocess.Popen[bytes]:
        """`zun-lite up` under way, for who wants to watch it; up() would wait for its end."""
        if not (self.state_dir / "zun_lite.conf").exists():
            self._write_settings()
        words = ["up", "--state-dir", str(self.state_dir), "--detach"]
        return subprocess.Popen(
            [sys.executable, "-m", "zun_lite.cmd.up", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def down(self) -> str:
        return self.command("down")

    def command(self, *words: str, check: bool = True) -> str:
        """A `zun-lite` command; what it printed. Fails the test when the command fails, unless check is off."""
        return self.program("up", *words, check=check)

    def program(self, module: str, *words: str, check: bool = True) -> str:
        """Any of our programs, by the name of its module in zun_lite.cmd."""
        return self.run([sys.executable, "-m", f"zun_lite.cmd.{module}", *words], check=check)

    def run(self, words: list[str], *, check: bool = True, cloud: str = "demo") -> str:
        done = subprocess.run(
            words,
            env={**self.environment, "OS_CLOUD": cloud},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{self.logs()}")
        return done.stdout

    def audit(self) -> list[str]:
        """What `zun-lite-audit` finds, once all is settled."""
        conf = config.load([], state_dir=str(self.state_dir))
        deadline = time.monotonic() + LIMIT_SECONDS
        while True:
            try:
                found, _ = audit.audit(conf, LIMIT_SECONDS)
                return [f"{finding.invariant}: {finding.sentence}" for finding in found]
            except errors.Unavailable:
                # A program that was just killed is on its way back.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    # The API, as a project's user.

    def token(self, cloud: str = "demo") -> str:
        if cloud not in self._tokens:
            self._tokens[cloud] = self.take_token(cloud)
        return self._tokens[cloud]

    def forget_tokens(self) -> None:
        """Take new ones from now on, as after a start from nothing."""
        self._tokens.clear()

    def take_token(self, cloud: str) -> str:
        user = {"name": cloud, "domain": {"id": "default"}, "password": self.password(cloud)}
        scope = {"project": {"name": cloud, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": user}}
        answer = requests.post(
            f"{self.identity_url}/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}, timeout=30
        )
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"]

    def password(self, cloud: str) -> str:
        lines = (self.state_dir / "clouds.yaml").read_text().splitlines()
        start = lines.index(f"  {cloud}:")
        return next(line.split(": ", 1)[1] for line in lines[start:] if line.strip().startswith("password:"))

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        cloud: str = "demo",
        version: str = "container 1.40",
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> requests.Response:
        told = {"X-Auth-Token": self.token(cloud), "OpenStack-API-Version": version, **(headers or {})}
        return requests.request(method, f"{self.url}{path}", json=body, headers=told, timeout=60, **options)

    def ask(self, method: str, path: str, body: Any = None, *, cloud: str = "demo", **options: Any) -> Any:
        """The answer's JSON; the test fails on a 4xx or 5xx. options: those of call()."""
        answer = self.call(method, path, body, cloud=cloud, **options)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}\n{self.logs()}")
        return answer.json() if answer.content else None

    def make_network(self, cidr: str = "10.1.0.0/24", *, cloud: str = "demo", name: str = "net") -> str:
        network = self.ask("POST", "/network/v2.0/networks", {"network": {"name": name}}, cloud=cloud)["network"]["id"]
        subnet = {"network_id": network, "cidr": cidr, "ip_version": 4}
        self.ask("POST", "/network/v2.0/subnets", {"subnet": subnet}, cloud=cloud)
        return network

    def make_volume(self, *, cloud: str = "demo", name: str = "vol") -> str:
        return self.ask("POST", "/volume/v3/volumes", {"volume": {"size": 1, "name": name}}, cloud=cloud)["volume"][
            "id"
        ]

    def container_body(self, name: str, **fields: Any) -> dict[str, Any]:
        # The first process of a container ends on TERM only if it says so.
        script = "trap 'exit 0' TERM; echo hello; sleep 86400 & wait"
        usual = {"image": "demo:latest", "command": ["sh", "-c", script]}
        return {"name": name, **usual, "cpu": 0.1, "memory": "16", **fields}

    def run_container(self, name: str, *, cloud: str = "demo", **fields: Any) -> str:
        """Ask for a running container; its uuid, at once."""
        body = self.container_body(name, **fields)
        return self.ask("POST", "/v1/containers?run=true", body, cloud=cloud)["uuid"]

    def container(self, uuid: str, *, cloud: str = "demo") -> dict[str, Any] | None:
        answer = self.call("GET", f"/v1/containers/{uuid}", cloud=cloud)
        return None if answer.status_code == 404 else answer.json()

    def wait_status(self, uuid: str, *statuses: str, cloud: str = "demo") -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.container(uuid, cloud=cloud)
            return found if found and found["status"] in statuses and not found["task_state"] else None

        return self.wait(look, lambda: f"{uuid} is {' or '.join(statuses)}; it is {self.container(uuid, cloud=cloud)}")

    def wait_gone(self, uuid: str, *, cloud: str = "demo") -> None:
        self.wait(
            lambda: self.container(uuid, cloud=cloud) is None,
            lambda: f"{uuid} is gone; it is {self.container(uuid, cloud=cloud)}",
        )

    def wait(self, look: Callable[[], Result], what: str | Callable[[], str], limit: float = LIMIT_SECONDS) -> Result:
        """look() until it answers something true; a broken connection is a no, and so is a program that is down."""
        deadline = time.monotonic() + limit
        while True:
            with contextlib.suppress(requests.RequestException, ValueError, ProcessLookupError):
                found = look()
                if found:
                    return found
            if time.monotonic() > deadline:
                said = what if isinstance(what, str) else what()
                raise AssertionError(f"not within {limit:g} s: {said}\n{self.logs()}")
            time.sleep(0.05)

    def in_docker(self, uuid: str) -> list[dict[str, Any]]:
        """Docker's own record of each container that stands for this workload."""
        found = self.engine.api.containers(all=True, filters={"label": f"zun.uuid={uuid}"})
        there = []
        for item in found:
            # One may go between the list and the look.
            with contextlib.suppress(docker.errors.NotFound):
                there.append(self.engine.api.inspect_container(item["Id"]))
        return there

    # Faults.

    def pid(self, program: str) -> int:
        """The process that runs this program now; ProcessLookupError while the supervisor waits to start it again."""
        pid = json.loads((self.state_dir / "run" / "supervisor.json").read_text())["children"][program]["pid"]
        if pid is None:
            raise ProcessLookupError(f"{program} is down and starts again soon")
        return pid

    def kill(self, program: str) -> None:
        """kill -9 of one of netd, api, controller, agent; the supervisor brings it back."""
        os.kill(self.pid(program), signal.SIGKILL)

    def wait_until_steady(self, point: str) -> None:
        """Until the program of a crash point has lived so long that it is started again soon after its end."""
        program = point.partition(".")[0]
        if program not in json.loads((self.state_dir / "run" / "supervisor.json").read_text())["children"]:
            return

        def steady() -> bool:
            # one that waits to be started has none
            with contextlib.suppress(ProcessLookupError):
                ticks = processes.started_ticks(self.pid(program))
                uptime = float(Path("/proc/uptime").read_text().split()[0])
                return ticks is not None and uptime - ticks / os.sysconf("SC_CLK_TCK") > supervisor.STEADY_SECONDS + 0.1
            return False

        self.wait(steady, f"{program} is steady")

    def arm_point(self, name: str) -> None:
        if name not in (*crash.POINTS, *crash.MORE_POINTS):
            raise AssertionError(f"no such crash point: {name}")
        folder = self.state_dir / "crash-points"
        (folder / f"hit.{name}").unlink(missing_ok=True)
        (folder / f"armed.{name}").touch()

    def disarm_point(self, name: str) -> None:
        (self.state_dir / "crash-points" / f"armed.{name}").unlink(missing_ok=True)

    def was_hit(self, name: str) -> bool:
        return (self.state_dir / "crash-points" / f"hit.{name}").exists()

    def logs(self, lines: int = 15) -> str:
        """The end of every program's log, for the message of a failed test."""
        parts = []
        for path in sorted((self.state_dir / "log").glob("*.log")):
            parts.append(f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:]))
        return "\n".join(parts)

    def _write_settings(self) -> None:
        """What `zun-lite up` would write, and this cloud's own."""
        sections = {key: dict(value) for key, value in self._settings.items()}
        sections.setdefault("DEFAULT", {}).setdefault("state_dir", str(self.state_dir))
        for group, values in (
            ("api", {"port": str(self.port)}),
            ("gateway", {"port": str(self.gateway_port)}),
            ("agent", {"port": str(self.agent_port), "docker_socket": self.engine.socket}),
        ):
            sections.setdefault(group, {}).update(values)
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items()) + "\n"
            for section, values in sections.items()
        )
        (self.state_dir / "zun_lite.conf").write_text(text)


def sweep() -> None:
    """Take back the clouds of test processes that were killed before they could do it themselves."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{OWNER}"):
        pid, ticks = owner.read_text().split()
        if str(processes.started_ticks(int(pid))) == ticks:
            continue
        subprocess.run(
            [sys.executable, "-m", "zun_lite.cmd.up", "clean", "--yes"],
            env={**os.environ, "ZUN_LITE_STATE_DIR": str(owner.parent / "state")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
        shutil.rmtree(owner.parent, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


@contextlib.contextmanager
def a_cloud(**options: Any) -> Iterator[Cloud]:
    """A cloud for the length of a block."""
    cloud = Cloud(**options)
    try:
        cloud.start()
        yield cloud
    finally:
        cloud.stop()
