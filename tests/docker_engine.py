# SPDX-License-Identifier: Apache-2.0
"""A Docker Engine of a test's own: needs root, touches nothing of the machine's engine.

dockerd runs in a network namespace of its own (one with --bridge=none in the machine's would
delete docker0), with its own folders, socket, containerd and cgroup, in the caller's mount
namespace, so that what the caller mounts is seen by its containers. It dies with the thread
that started it. Use start() and stop(), or `with`.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import docker

APPLETS = (
    "sh ash cat chmod chown cp cut date dd df dirname echo env expr false find free grep gunzip gzip head hostname "
    "httpd id ifconfig ip kill ln ls md5sum mkdir mkfifo mount mv nc nslookup ping ping6 printf ps pwd readlink rm "
    "rmdir route sed seq sha256sum sleep sort stat stty tail tar tee test time timeout top touch tr true tty umount "
    "uname uniq vi wc wget which whoami xargs yes"
).split()
BUSYBOX_TAG = "busybox:latest"
_MNT_DETACH = 2


class PrivateDockerEngine:
    """One dockerd; socket is the path clients connect to, api a low-level client of it."""

    def __init__(
        self,
        runtimes: Mapping[str, str] | None = None,
        *,
        default_runtime: str | None = None,
        live_restore: bool = False,
        bridge: bool = False,
        extra_args: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
        within: tuple[str, ...] = (),
    ) -> None:
        """runtimes: runtime name → path of its program, which need not exist before the first container.

        environment: what dockerd, and so the runtimes that it runs, see besides the caller's own.
        bridge: have docker0, in its own network namespace, as an engine has that nobody configured.
        folder: where everything lives, short enough for a socket path; default a temporary one.
        within: words that run a command in namespaces made already; default a network namespace of its own.
        """
        self.name = f"zl-test-{uuid.uuid4().hex[:8]}"
        self.folder = Path(folder or tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.socket = str(self.folder / "docker.sock")
        self.log = self.folder / "dockerd.log"
        self.runtimes = dict(runtimes or {})
        self.default_runtime = default_runtime
        self.live_restore = live_restore
        self.bridge = bridge
        self.extra_args = extra_args
        self.environment = dict(environment or {})
        self.within = within or ("unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "dockerd")
        self.process: subprocess.Popen[bytes] | None = None
        self._api: docker.APIClient | None = None

    def __enter__(self) -> PrivateDockerEngine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What DOCKER_HOST takes."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """dockerd's process; /proc/PID/ns/net is its network namespace."""
        assert self.process is not None, "the engine is not started"
        return self.process.pid

    @property
    def api(self) -> docker.APIClient:
        if self._api is None:
            self._api = docker.APIClient(base_url=self.url, version="auto", timeout=120)
        return self._api

    def start(self, timeout_seconds: float = 60.0) -> PrivateDockerEngine:
        """Start dockerd and wait until it answers; also after kill() or terminate()."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "daemon.json"
        if not config.exists():
            config.write_text("{}")
        for _ in range(2):
            # dockerd's own containerd, left over from a killed dockerd, may answer too late for the first start
            self._spawn()
            if self._wait_until_it_answers(timeout_seconds):
                return self
            self.terminate()
        raise RuntimeError(f"dockerd does not answer at {self.socket}:\n{self.log.read_text()[-3000:]}")

    def stop(self) -> None:
        """Remove its containers, stop it, and take away every trace of it."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(Exception):
                for container in self.api.containers(all=True):
                    self.api.remove_container(container["Id"], force=True, v=True)
        self.terminate()
        if self._api is not None:
            self._api.close()
            self._api = None
        self._end_programs("containerd", "containerd-shim")
        self._unmount_leftovers()
        self._remove_cgroups()
        shutil.rmtree(self.folder, ignore_errors=True)

    def terminate(self) -> None:
        """SIGTERM and wait, keeping its folders, so that start() brings it back as a restart would."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL dockerd and its containerd; the containers' shims live on."""
        self._signal(signal.SIGKILL)
        # the next start would wait 15 s for the process of this number and fail, even for a zombie
        self._end_programs("containerd")
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def lose_power(self) -> None:
        """End it with everything of it that runs or is mounted, as a machine's end does; its files stay."""
        self.kill()
        self._end_programs("containerd-shim")
        self._unmount_leftovers()

    def reload(self) -> None:
        """SIGHUP: dockerd reads FOLDER/daemon.json again."""
        os.kill(self.pid, signal.SIGHUP)

    def docker(
        self, *args: str, check: bool = True, timeout_seconds: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run the docker command against this engine."""
        done = subprocess.run(
            ["docker", "-H", self.url, *args], capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()}")
        return done

    def import_busybox(self, tag: str = BUSYBOX_TAG) -> str:
        """Make an image of Debian's static busybox; answers its id."""
        repository, _, version = tag.partition(":")
        answer = self.api.import_image_from_data(
            busybox_tar(), repository=repository, tag=version or "latest", changes=['CMD ["sh"]']
        )
        return json.loads(answer.splitlines()[-1])["status"]

    def _spawn(self) -> None:
        command = [
            *("setpriv", "--pdeathsig", "TERM"),
            *(*self.within, "dockerd"),
            *("--config-file", str(self.folder / "daemon.json")),
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
            *("--pidfile", str(self.folder / "docker.pid"), "--host", self.url),
            *("--iptables=false", "--ip6tables=false", "--ip-masq=false"),
            f"--cgroup-parent=/{self.name}",
            "--shutdown-timeout=3",
            "--raw-logs",
        ]
        if not self.bridge:
            command.append("--bridge=none")
        for name, path in self.runtimes.items():
            command.append(f"--add-runtime={name}={path}")
        if self.default_runtime:
            command.append(f"--default-runtime={self.default_runtime}")
        if self.live_restore:
            command.append("--live-restore")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.extra_args],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_until_it_answers(self, timeout_seconds: float) -> bool:
        assert self.process is not None
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(Exception):
                if self.api.ping():
                    return True
            time.sleep(0.05)
        return False

    def _signal(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _end_programs(self, *names: str) -> None:
        """End what was started for this engine: containerd and shims all name its folder in their arguments."""
        mark = f"{self.folder}/".encode()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = [pid for pid in _pids() if _program(pid) in names and mark in _command_line(pid)]
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _unmount_leftovers(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in reversed([point for point in points if point.startswith(f"{self.folder}/")]):
            libc.umount2(point.encode(), _MNT_DETACH)

    def _remove_cgroups(self) -> None:
        for root in Path("/sys/fs/cgroup").glob(f"*/{self.name}"):
            for folder, _, _ in os.walk(root, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def busybox_tar() -> bytes:
    """A root file system of busybox, the same bytes each time."""
    program = Path("/bin/busybox").read_bytes()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for folder in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
            _add(tar, folder, type=tarfile.DIRTYPE, mode=0o1777 if folder == "tmp" else 0o755)
        _add(tar, "bin/busybox", content=program, mode=0o755)
        for applet in APPLETS:
            _add(tar, f"bin/{applet}", type=tarfile.SYMTYPE, linkname="busybox", mode=0o777)
        _add(tar, "etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        _add(tar, "etc/group", content=b"root:x:0:\nnogroup:x:65534:\n")
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, *, content: bytes = b"", mode: int = 0o644, **fields: Any) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(content))


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _program(pid: int) -> str:
    """A process's name; the kernel cuts it to 15 characters, so a shim is known by its beginning."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return "containerd-shim" if name.startswith("containerd-shim") else name
    except OSError:
        return ""
