# SPDX-License-Identifier: Apache-2.0
"""The stock clients, as a user of a cloud runs them.

Clients holds one process of the clients' own virtual environment (CLIENTS_VENV, made by `make test-setup`)
and has it run commands; see server.py. A command's exit status proves little, since python-zunclient
answers 0 to many failures, so callers read the record back.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent.parent
START_LIMIT_SECONDS = 120.0
COMMAND_LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """What it printed, of a command that was told `-f json`."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise AssertionError(f"no JSON: {self}") from None

    def __str__(self) -> str:
        return f"{' '.join(self.words)}\nended with {self.code}\n{self.stdout}\n{self.stderr}"


class Clients:
    """start() imports the clients, once; stop() ends them. Use `with`, or both."""

    def __init__(self, environment: dict[str, str], folder: str = "/") -> None:
        """environment: what every command sees; OS_CLIENT_CONFIG_FILE belongs in it."""
        self._environment = environment
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Clients:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        python = venv() / "bin" / "python"
        if not python.exists():
            raise AssertionError(f"no clients in {venv()}: make test-setup, or set CLIENTS_VENV")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name("server.py"))],
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        missing = self._read(START_LIMIT_SECONDS)["missing"]
        if missing:
            self.stop()
            raise AssertionError(f"the clients' environment is incomplete: {missing}")

    def stop(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None

    def openstack(self, *words: str, cloud: str = "demo", check: bool = True) -> Done:
        """An `openstack` command; fails the test when the command fails, unless check is off."""
        return self._run({"kind": "openstack", "words": list(words)}, ("openstack", *words), cloud, check)

    def several(self, commands: list[list[str]], *, cloud: str = "demo") -> list[Done]:
        """Many `openstack` commands that one process runs after each other, for where each one's own costs too much."""
        limit_seconds = COMMAND_LIMIT_SECONDS + len(commands)
        done = self._run({"kind": "several", "commands": commands}, ("several",), cloud, True, limit_seconds)
        return [Done(tuple(words), **ended) for words, ended in zip(commands, done.json(), strict=True)]

    def python(self, code: str, *, cloud: str = "demo", check: bool = True) -> Done:
        """A program in the clients' environment."""
        return self._run({"kind": "python", "code": code}, ("python",), cloud, check)

    def _run(
        self,
        asked: dict[str, Any],
        words: tuple[str, ...],
        cloud: str,
        check: bool,
        limit_seconds: float = COMMAND_LIMIT_SECONDS,
    ) -> Done:
        assert self._process and self._process.stdin, "the clients are not started"
        more = {
            "environment": {**self._environment, "OS_CLOUD": cloud, "COLUMNS": "250"},
            "folder": self._folder,
            "timeout_seconds": limit_seconds,
        }
        self._process.stdin.write(json.dumps({**asked, **more}) + "\n")
        self._process.stdin.flush()
        answer = self._read(limit_seconds + 5)
        done = Done(words, answer["code"], answer["stdout"], answer["stderr"])
        if check and done.code:
            raise AssertionError(str(done))
        return done

    def _read(self, limit_seconds: float) -> dict[str, Any]:
        assert self._process and self._process.stdout
        # One line answers one request, so nothing is left in the reader's buffer when the pipe is polled.
        if not select.select([self._process.stdout], [], [], limit_seconds)[0]:
            raise AssertionError(f"the clients did not answer within {limit_seconds:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the clients' process ended with {self._process.wait()}")
        return json.loads(line)


def venv() -> Path:
    return Path(os.environ.get("CLIENTS_VENV") or TOP / ".venv-clients")
