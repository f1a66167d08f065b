# SPDX-License-Identifier: Apache-2.0
"""Pools for tests of volumes: on a file system of their own, or one that several hosts see. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.system.netd.host import NetdHost
from zun_lite.agent.pool import Pool
from zun_lite.client.netd import NetdClient

# {} is the call; it runs in a process of its own, so that it can be killed in the middle
_CALL = """
import sys
from zun_lite.agent.pool import Pool
from zun_lite.client.netd import NetdClient
from zun_lite.common import crash
crash.arm({state_dir!r})
pool = Pool({pool_dir!r}, NetdClient({socket!r}), reserve_gib=0.0)
pool.{verb}(*{arguments!r})
"""


class SmallPool:
    """A folder on a file system of its own, in a file: xfs, which can share extents, or another."""

    def __init__(self, size_mib: int, fs_type: str = "xfs") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="zl-pool-"))
        self.image = self.folder / "pool"
        self.point = self.folder / "mounted"
        self.point.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size_mib * 1024**2)
        subprocess.run([f"mkfs.{fs_type}", "-q", str(self.image)], check=True, capture_output=True)
        # without the page cache, so that what is measured on it is the disk
        looped = ["losetup", "--find", "--show", "--direct-io=on", str(self.image)]
        self.device = subprocess.run(looped, check=True, capture_output=True, text=True).stdout.strip()
        subprocess.run(["mount", self.device, str(self.point)], check=True)

    def remove(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.point)], check=False)
        subprocess.run(["losetup", "--detach", self.device], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def free_mib(self) -> int:
        found = os.statvfs(self.point)
        return found.f_bavail * found.f_frsize // 1024**2


class PoolHost(NetdHost):
    """A netd and what an agent does with its pool; with a mount namespace of its own it plays a machine of its own."""

    def __init__(self, pool_dir: Path | None = None, *, own_mounts: bool = False) -> None:
        super().__init__()
        self.holder: subprocess.Popen[bytes] | None = None
        if own_mounts:
            self.holder = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 600"],
                stdout=subprocess.PIPE,
            )
            assert self.holder.stdout is not None
            self.holder.stdout.readline()
            self._prefix = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        if pool_dir is not None:
            self.pool_dir = pool_dir
            text = f"[volume]\npool_dir = {pool_dir}\n[agent]\npool_shared = {own_mounts}\n"
            with (self.state_dir / "zun_lite.conf").open("a") as conf:
                conf.write(text)
        self.pool = Pool(
            str(self.pool_dir), NetdClient(self.socket, 60.0), overcommit=20.0, reserve_gib=0.0, shared=own_mounts
        )

    def inside(self, path: str) -> Path:
        """A path as this host's own mounts have it."""
        return Path(f"/proc/{self.holder.pid}/root{path}") if self.holder else Path(path)

    def lose(self) -> None:
        """The machine is switched off: its programs and its mounts are gone."""
        self.kill()
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait()
            assert self.holder.stdout is not None
            self.holder.stdout.close()

    def call(self, verb: str, *arguments: object) -> int:
        """The pool's verb in a process of its own; its exit status, -9 where it was killed."""
        program = _CALL.format(
            state_dir=str(self.state_dir),
            pool_dir=str(self.pool_dir),
            socket=self.socket,
            verb=verb,
            arguments=arguments,
        )
        environment = {**os.environ, "ZUN_LITE_CRASH_POINTS": "on"}
        return subprocess.run([sys.executable, "-c", program], env=environment, timeout=60).returncode


def settled(true, timeout_seconds: float = 10.0) -> bool:
    """Whether it comes true within the time."""
    deadline = time.monotonic() + timeout_seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
