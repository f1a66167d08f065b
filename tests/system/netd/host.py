# SPDX-License-Identifier: Apache-2.0
"""A netd of a test's own, with its own cluster name, state folder and network namespaces. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import testtools

from zun_lite.client.netd import NetdClient
from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Attachment, Endpoint
from zun_lite.netd import kernel, loops, mounts, names, namespaces


class NetdHost:
    """netd as a process, on a state folder that outlives it; in a network namespace that plays its machine, or here."""

    def __init__(self, machine: str | None = None) -> None:
        self._prefix = ["nsenter", f"--net=/run/netns/{machine}"] if machine else []
        self.cluster = f"t{uuid.uuid4().hex[:8]}"
        self.state_dir = Path(tempfile.mkdtemp(prefix="zl-netd-"))
        self.socket = str(self.state_dir / "run/netd.sock")
        self.pool_dir = self.state_dir / "volumes"
        self.mount_dir = self.state_dir / "mounts"
        self.log = self.state_dir / "netd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = NetdClient(self.socket)
        self._crash_points = self.state_dir / "crash-points"
        self.pool_dir.mkdir()
        self._crash_points.mkdir()
        (self.state_dir / "zun_lite.conf").write_text(f"[DEFAULT]\ncluster = {self.cluster}\n")

    def spawn(self, *before: str) -> subprocess.Popen[bytes]:
        """before: a command that runs the one that follows."""
        environment = {**os.environ, "ZUN_LITE_STATE_DIR": str(self.state_dir), "ZUN_LITE_CRASH_POINTS": "on"}
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*before, *self._prefix, sys.executable, "-m", "zun_lite.cmd.netd"],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def start(self, *before: str) -> NetdHost:
        self.process = self.spawn(*before)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(errors.Unavailable):
                self.client.hello()
                return self
            time.sleep(0.01)
        raise AssertionError(f"netd does not answer:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        return self._end(signal.SIGTERM)

    def arm(self, crash_point: str) -> None:
        """Make netd, or the runtime wrapper, die when it next comes to the point."""
        (self._crash_points / f"armed.{crash_point}").touch()

    def was_hit(self, crash_point: str) -> bool:
        return (self._crash_points / f"hit.{crash_point}").exists()

    def volume_file(self, size_mib: int = 512, fs_type: str = "xfs") -> Path:
        """A new volume file with a file system."""
        path = self.pool_dir / f"{uuid.uuid4()}.img"
        with path.open("wb") as file:
            file.truncate(size_mib * 1024 * 1024)
        quiet = "-F" if fs_type == "ext4" else "-f"
        subprocess.run([f"mkfs.{fs_type}", "-q", quiet, str(path)], check=True, capture_output=True)
        return path

    def clean(self) -> None:
        """Take away everything that bears this host's names."""
        if self.process is not None:
            self._end(signal.SIGKILL)
        for mount in reversed(mounts.here()):
            if mount.point.startswith(f"{self.state_dir}/"):
                kernel.unmount(mount.point, kernel.MNT_DETACH)
        for loop in loops.in_use():
            if loop.file_name.startswith(f"{self.state_dir}/"):
                loops.free(loop.node)
        for name in namespaces.names(names.namespace_prefix(self.cluster)):
            namespaces.remove(name)
        shutil.rmtree(self.state_dir)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(20)


class Container:
    """A process in a network namespace of its own, as the runtime leaves one after create."""

    def __init__(self) -> None:
        self.container_id = uuid.uuid4().hex + uuid.uuid4().hex
        self.process = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pid = self.process.pid

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", *command], capture_output=True, text=True, timeout=30
        )

    def can_ping(self, address: str) -> bool:
        return self.run("busybox", "ping", "-c", "1", "-W", "1", address).returncode == 0

    def end(self) -> None:
        """Kill it; fine to say twice."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class NetdTestCase(testtools.TestCase):
    """Gives each test a started netd as self.host. settings: more lines of its configuration."""

    settings = ""

    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(0, os.geteuid(), "these tests need root")
        self.host = NetdHost()
        self.addCleanup(self.host.clean)
        with (self.host.state_dir / "zun_lite.conf").open("a") as conf:
            conf.write(self.settings)
        self.host.start()
        self.netd = self.host.client

    def container(self) -> Container:
        container = Container()
        self.addCleanup(container.end)
        return container

    def assert_no_strays(self) -> None:
        self.assertEqual({"namespaces": [], "links": [], "loops": [], "mounts": []}, self.netd.list()["strays"])


def endpoint(network_id: str, ip: str, **fields: object) -> Endpoint:
    """An endpoint with one address in a /24, its gateway the .1, and a MAC made of the address."""
    last = int(ip.rpartition(".")[2])
    known: dict = {
        "port_id": str(uuid.uuid4()),
        "network_id": network_id,
        "vni": 1001,
        "mac": "fa:16:3e:{:02x}:{:02x}:{:02x}".format(*uuid.uuid4().bytes[:2], last),
        "mtu": 1450,
        "addresses": (Address(ip, 24, str(uuid.uuid4()), f"{ip.rpartition('.')[0]}.1"),),
        "default_route": True,
    }
    return Endpoint(**{**known, **fields})


def attachment(volume_id: str | None = None, epoch: int = 1, **fields: object) -> Attachment:
    known: dict = {"size_gib": 1, "target": "/data", "formatted": True}
    return Attachment(volume_id or new_id(), epoch, **{**known, **fields})


def new_id() -> str:
    return str(uuid.uuid4())
