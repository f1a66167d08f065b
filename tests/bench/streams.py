# SPDX-License-Identifier: Apache-2.0
"""Streams and the command line, each against what Docker's own command does on the same engine.

Both sides are whole commands, as a user runs them: what a program takes to start counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Row
from tests.clients.installed import make_zl
from tests.clients.plugin import make_path
from tests.clients.runner import venv
from tests.cloud import Cloud
from tests.functional.case import PATIENT
from zun_lite.cmd import processes

ROUNDS = 9
COPIES = 2
MIB = 1024 * 1024
COPIED_MIB = 1024
LINES = 20
# the least that a command in Python can be: the interpreter, a connection, a request, an answer
LEAST = """
import _socket, sys
host, port = sys.argv[1].split(":")
asking = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
asking.connect((host, int(port)))
asking.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
assert asking.recv(4096).startswith(b"HTTP/1")
"""
STAMPS = ["sh", "-c", "trap 'exit 0' TERM; while true; do echo line; sleep 0.2; done"]


def run(cloud: Cloud) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        streams = Streams(cloud, Path(folder))
        rows = [streams.execs(), *streams.copies(), streams.lag(), *streams.lists(), *streams.plugin()]
        streams.remove()
        return rows


class Streams:
    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.environment = {**cloud.environment, "OS_CLOUD": "demo", "XDG_CACHE_HOME": str(folder / "cache")}
        network = cloud.make_network("10.91.0.0/24", name="streams")
        self.uuid = cloud.run_container("streams", nets=[{"network": network}], command=PATIENT)
        self.stamps = cloud.run_container("stamps", nets=[{"network": network}], command=STAMPS)
        for uuid in (self.uuid, self.stamps):
            cloud.wait_status(uuid, "Running")
        self.name = f"zun-{self.uuid}"
        self.program = make_zl(folder / "zl")
        (folder / "plugin").mkdir()
        self.plugin_path = make_path(folder / "plugin")

    def remove(self) -> None:
        for uuid in (self.uuid, self.stamps):
            self.cloud.ask("DELETE", f"/v1/containers/{uuid}?stop=true")
        for uuid in (self.uuid, self.stamps):
            self.cloud.wait_gone(uuid)

    def zl(self, *words: str) -> float:
        return self._timed([str(self.program), *words], self.environment)

    def docker(self, *words: str) -> float:
        return self._timed(["docker", "-H", f"unix://{self.cloud.engine.socket}", *words], dict(os.environ))

    def execs(self) -> Row:
        background = measure.background()
        sides: tuple[Callable[[], float], ...] = (
            lambda: self.zl("exec", "streams", "true"),
            lambda: self.docker("exec", self.name, "true"),
        )
        ours, other = self._compared(ROUNDS, *sides)
        return self._row("exec of true, the whole command", ours, other, "docker exec", 1.5, background)

    def copies(self) -> list[Row]:
        large = self.folder / "large"
        with large.open("wb") as file:
            for _ in range(COPIED_MIB):
                file.write(os.urandom(MIB))
        background = measure.background()
        before = self._memory_mib()
        into = self._compared(
            COPIES,
            lambda: self.zl("cp", str(large), "streams:/tmp/ours"),
            lambda: self.docker("cp", str(large), f"{self.name}:/tmp/theirs"),
        )
        out = self._compared(
            COPIES,
            lambda: self._out(lambda: self.zl("cp", "streams:/tmp/ours", str(self.folder / "out"))),
            lambda: self._out(lambda: self.docker("cp", f"{self.name}:/tmp/theirs", str(self.folder / "out"))),
        )
        rows = [
            self._speed(f"copying 1 GiB {where}", found, background) for where, found in (("in", into), ("out", out))
        ]
        grown = max(0.0, self._memory_mib() - before)
        return [*rows, Row("memory of gateway and agent after that, grown by", "MiB", [grown], background=background)]

    def lag(self) -> Row:
        """From when Docker got a line, as its time stamp says, until it was read."""
        background = measure.background()
        follow = ["logs", "-f", "-t", "--tail", "0"]
        ours = self._lags([str(self.program), *follow, "stamps"], self.environment)
        docker = ["docker", "-H", f"unix://{self.cloud.engine.socket}"]
        other = self._lags([*docker, *follow, f"zun-{self.stamps}"], dict(os.environ))
        return Row("lag of a followed log", "ms", ours, other, "docker logs -f", background=background)

    def lists(self) -> list[Row]:
        background = measure.background()
        least = [str(self.program.with_name("python")), "-I", "-c", LEAST, f"127.0.0.1:{self.cloud.port}"]
        ours, other, floor = self._compared(
            ROUNDS, lambda: self.zl("list"), lambda: self.docker("ps"), lambda: self._timed(least, self.environment)
        )
        return [
            self._row("zl list, the whole command", ours, other, "docker ps", 3.0, background),
            Row("a Python program that asks once and does nothing else", "ms", floor, other, "docker ps"),
        ]

    def plugin(self) -> list[Row]:
        background = measure.background()
        openstack = str(venv() / "bin" / "openstack")
        beside = {**self.environment, "PYTHONPATH": self.plugin_path}
        stock = {key: value for key, value in self.environment.items() if key != "PYTHONPATH"}
        ours, other, floor = self._compared(
            ROUNDS,
            lambda: self._timed([openstack, "appcontainer", "list"], beside),
            lambda: self._timed([openstack, "appcontainer", "list"], stock),
            lambda: self._timed([openstack, "module", "list"], stock),
        )
        return [
            self._row("openstack appcontainer list of ours", ours, other, "of python-zunclient", 1.0, background),
            Row("openstack with a command that asks nobody", "ms", floor, other, "of python-zunclient"),
        ]

    def _compared(self, rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
        for side in sides:
            side()
        return measure.in_turns(rounds, *sides)

    def _out(self, work: Callable[[], float]) -> float:
        took = work()
        (self.folder / "out").unlink()
        return took

    def _lags(self, command: list[str], environment: dict[str, str]) -> list[float]:
        found: list[float] = []
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, bufsize=1) as reading:
            assert reading.stdout is not None
            for line in reading.stdout:
                # to the microsecond, which is all that datetime reads
                written = datetime.fromisoformat(line[:26] + "+00:00").timestamp()
                found.append((time.time() - written) * 1000)
                if len(found) == LINES:
                    break
            reading.terminate()
        return found

    def _timed(self, command: list[str], environment: dict[str, str]) -> float:
        assert shutil.which(command[0]), command[0]
        began = time.perf_counter()
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        took = (time.perf_counter() - began) * 1000
        if done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return took

    def _row(
        self, what: str, ours: list[float], other: list[float], other_is: str, limit: float, background: float
    ) -> Row:
        return Row(what, "ms", ours, other, other_is, f"at most {limit}", measure.ratio_at_most(limit), background)

    def _speed(self, what: str, found: list[list[float]], background: float) -> Row:
        ours, other = ([COPIED_MIB / took * 1000 for took in side] for side in found)
        reached = measure.ratio_at_least(0.7)
        return Row(what, "MiB/s", ours, other, "docker cp", "at least 0.7", reached, background)

    def _memory_mib(self) -> float:
        return sum(processes.memory_kib(self.cloud.pid(program)) for program in ("gateway", "agent")) / 1024
