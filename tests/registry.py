# SPDX-License-Identifier: Apache-2.0
"""A registry of a test's own: Debian's docker-registry on the loopback address of a private Docker Engine.

It runs in the engine's network namespace, as that is where the engine's 127.0.0.1 is. Needs root.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.docker_engine import PrivateDockerEngine

USER, PASSWORD = "ann", "right-canary-7"
# bcrypt, the one form that docker-registry knows, of that password
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuatsqVAkJkT5QJ9JeMmMfz0gTH9kY5c6\n"
_LIMIT_SECONDS = 30.0
_CONFIG = """\
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: {folder}/data
http:
  addr: {address}
"""
_AUTH = """\
auth:
  htpasswd:
    realm: test
    path: {folder}/htpasswd
"""


class PrivateRegistry:
    """start() and stop(), or `with`. login: whether it wants USER and PASSWORD."""

    def __init__(self, engine: PrivateDockerEngine, port: int, *, login: bool = False) -> None:
        self._engine = engine
        self._login = login
        self.address = f"127.0.0.1:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="zl-registry-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> PrivateRegistry:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        folder = Path(self._folder.name)
        text = _CONFIG.format(folder=folder, address=self.address)
        if self._login:
            (folder / "htpasswd").write_text(_HTPASSWD)
            text += _AUTH.format(folder=folder)
        (folder / "config.yml").write_text(text)
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("nsenter", "-t", str(self._engine.pid), "-n", "setpriv", "--pdeathsig", "KILL"),
                    *("docker-registry", "serve", str(folder / "config.yml")),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _LIMIT_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"docker-registry does not answer:\n{self.log()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._folder.cleanup()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """It answers nobody within the block."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        return (Path(self._folder.name) / "log").read_text()

    def push(self, image: str, name: str) -> str:
        """Bring an image of the engine here under NAME:TAG and take it from the engine; answers its digest."""
        repository, _, tag = f"{self.address}/{name}".rpartition(":")
        api = self._engine.api
        api.tag(image, repository, tag, force=True)
        auth = {"username": USER, "password": PASSWORD} if self._login else {}
        digest = ""
        for line in api.push(repository, tag, stream=True, decode=True, auth_config=auth):
            if "error" in line:
                raise AssertionError(f"{name} cannot be pushed: {line['error']}")
            digest = (line.get("aux") or {}).get("Digest", digest)
        api.remove_image(f"{repository}:{tag}")
        return digest

    def _answers(self) -> bool:
        knock = f"exec 3<>/dev/tcp/{self.address.replace(':', '/')}"
        command = ["nsenter", "-t", str(self._engine.pid), "-n", "bash", "-c", knock]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
