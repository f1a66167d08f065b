# SPDX-License-Identifier: Apache-2.0
"""A stock client at a terminal: a pseudo-terminal that a test types on, resizes and reads."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

from tests.clients.runner import venv

LIMIT_SECONDS = 60.0


class Terminal:
    """`openstack WORDS` on a terminal of its own. Use `with`; it is killed at the end if it still runs."""

    def __init__(self, words: list[str], environment: dict[str, str], *, rows: int = 24, columns: int = 80) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "PYTHON"))}
        self._environment = {**kept, **environment, "TERM": "xterm"}
        self._command = [str(venv() / "bin" / "openstack"), *words]
        self._size = rows, columns
        self._pid = 0
        self._master = -1
        self.said = ""

    def __enter__(self) -> Terminal:
        pid, master = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", *self._size, 0, 0))
            os.execve(self._command[0], self._command, self._environment)
        self._pid, self._master = pid, master
        return self

    def __exit__(self, *_: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, pattern: str) -> str:
        """What it has said until now, once that holds the pattern after what was expected before; forgets it then."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not (found := re.search(pattern, self.said)):
            if not self._read(deadline):
                raise AssertionError(f"{self._command} did not say {pattern!r} but {self.said!r}")
        said, self.said = self.said[: found.end()], self.said[found.end() :]
        return said

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while self._read(deadline):
            continue
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self._pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        raise AssertionError(f"{self._command} does not end; it said {self.said!r}")

    def _read(self, deadline: float) -> bool:
        """A bit more of what it says; False at its end or when the time is over."""
        if not select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        content = b""
        with contextlib.suppress(OSError):
            content = os.read(self._master, 65536)
        self.said += content.decode(errors="replace")
        return bool(content)
