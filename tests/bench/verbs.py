# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime wrapper against runc itself, verb by verb through a container's life, without Docker.

Each life has a bundle of busybox that sleeps. Under the wrapper it is recorded in netd beforehand and is wired by its
create, so that create's ratio is what a network costs; what the other verbs cost is the wrapper's own.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench import measure
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.docker_engine import busybox_tar
from zun_lite.client.netd import NetdClient
from zun_lite.domain.wiring import Address, Endpoint

ROUNDS = 20
STATE = ("state",)
VERBS = (("create",), ("start",), STATE, ("ps",), ("exec", "true"), ("pause",), ("resume",), ("kill",), ("delete",))
LIMIT_SECONDS = 20.0


def run(cloud: Cloud) -> list[Row]:
    background = measure.background()
    runc = shutil.which("runc", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") or "runc"
    netd = NetdClient(str(cloud.state_dir / "run" / "netd.sock"))
    with tempfile.TemporaryDirectory() as folder:
        wrapped = Lives(str(cloud.state_dir / "bin" / "zun-lite-runtime"), Path(folder), netd)
        bare = Lives(runc, Path(folder), None)
        _live(wrapped, bare)
        for side in (wrapped, bare):
            side.took = {verb: [] for verb, *_ in VERBS}
        for number in range(ROUNDS):
            _live(*((wrapped, bare) if number % 2 else (bare, wrapped)))
    return [
        Row(f"{verb} by the runtime wrapper", "ms", wrapped.took[verb], bare.took[verb], "runc", background=background)
        for verb, *_ in VERBS
    ]


def _live(*sides: Lives) -> None:
    """A life of each at the same time, in turns verb by verb."""
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(side.recorded())
        for verb, *words in VERBS:
            for side in sides:
                side.do(verb, *words)


class Lives:
    """Lives of containers under one runtime. took: milliseconds of each verb."""

    def __init__(self, program: str, folder: Path, netd: NetdClient | None) -> None:
        self.took: dict[str, list[float]] = {verb: [] for verb, *_ in VERBS}
        self._netd = netd
        self._root = folder / uuid.uuid4().hex
        self._command = [program, "--root", str(self._root / "state"), "--log", str(self._root / "log")]
        self._bundle = self._root / "bundle"
        (self._bundle / "rootfs").mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(busybox_tar())) as tar:
            tar.extractall(self._bundle / "rootfs", filter="tar")
        subprocess.run([program, "spec", "--bundle", str(self._bundle)], check=True)
        self._network = str(uuid.uuid4())
        self._container_id = ""

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Another container's life, with its record in netd where there is one."""
        self._container_id = uuid.uuid4().hex + uuid.uuid4().hex
        self._describe(self._container_id)
        if self._netd:
            address = Address("10.94.0.9", 24, self._network, "10.94.0.1")
            mac = "fa:16:3e:00:94:01"
            endpoint = Endpoint(str(uuid.uuid4()), self._network, 999_002, mac, 1450, (address,), True)
            self._netd.plug(self._container_id, str(uuid.uuid4()), 1, [endpoint], [])
        try:
            yield
        finally:
            if self._netd:
                self._netd.unplug(self._container_id)

    def do(self, verb: str, *words: str) -> None:
        if verb == "delete":
            self._wait_for_the_end(self._container_id)
        began = time.perf_counter()
        self._run(verb, self._container_id, *words)
        self.took[verb].append((time.perf_counter() - began) * 1000)

    def _describe(self, container_id: str) -> None:
        path = self._bundle / "config.json"
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, args=["sleep", "600"])
        config["linux"]["cgroupsPath"] = f"/zl-bench/{container_id}"
        path.write_text(json.dumps(config))

    def _run(self, verb: str, container_id: str, *words: str) -> None:
        options = ["--bundle", str(self._bundle), "--pid-file", str(self._root / "pid")] if verb == "create" else []
        words = ("KILL",) if verb == "kill" else words
        # what the container's process inherits must not be a pipe that somebody waits on
        done = subprocess.run(
            [*self._command, verb, *options, container_id, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{verb} ended with {done.returncode}: {(self._root / 'log').read_text()[-2000:]}")

    def _wait_for_the_end(self, container_id: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            done = subprocess.run([*self._command, *STATE, container_id], capture_output=True, check=True)
            if json.loads(done.stdout)["status"] == "stopped":
                return
            time.sleep(0.005)
        raise AssertionError(f"{container_id} does not end")
