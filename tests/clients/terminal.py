# SPDX-License-Identifier: Apache-2.0
"""A stock command on a terminal of its own, for the commands that need one.

The clients' interpreter runs it as a user's shell would; the test types and reads at the other end.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from tests.clients.runner import venv

LIMIT_SECONDS = 60.0


def heed_interrupts() -> None:
    """In a new process: what a shell runs beside itself inherits that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _take_terminal() -> None:
    """In a new process: a terminal of its own, whose kernel makes signals of keys like Ctrl-C."""
    heed_interrupts()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """`with Terminal(...) as terminal`: the command runs until it ends by itself or the block does."""

    def __init__(
        self, *words: str, environment: dict[str, str], cloud: str = "demo", rows: int = 30, columns: int = 100
    ) -> None:
        """words: program and arguments, the program by its name in the clients' environment."""
        self._words = words
        self._environment = {**environment, "OS_CLOUD": cloud, "TERM": "dumb"}
        self._size = rows, columns
        self._master = -1
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        _set_size(slave, *self._size)
        program, *arguments = self._words
        self._process = subprocess.Popen(
            [str(venv() / "bin" / program), *arguments],
            env=self._environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def said(self) -> str:
        """All that it has shown so far."""
        return self._said.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def read_until(self, text: str, limit_seconds: float = LIMIT_SECONDS) -> str:
        """What it showed until this text was there, from the start."""
        deadline = time.monotonic() + limit_seconds
        while text not in self.said:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{' '.join(self._words)} never showed {text!r}; it showed:\n{self.said}")
        return self.said

    def read_more(self) -> bool:
        """Whether it has not ended; what it showed since is in said."""
        return self._read(0.05) or self._process is not None and self._process.poll() is None

    def wait_raw(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        """Until the command takes each key as it is typed; what is typed before is echoed by the kernel, too."""
        deadline = time.monotonic() + limit_seconds
        while termios.tcgetattr(self._master)[3] & termios.ICANON:
            if time.monotonic() > deadline:
                raise AssertionError(f"{' '.join(self._words)} never set its terminal raw; it showed:\n{self.said}")
            self._read(0.02)

    def resize(self, rows: int, columns: int) -> None:
        """Another size of the window, and the signal that tells the command of it."""
        assert self._process
        _set_size(self._master, rows, columns)
        os.kill(self._process.pid, signal.SIGWINCH)

    def wait(self, limit_seconds: float = LIMIT_SECONDS) -> int:
        """The exit code of the command, which ends by itself."""
        assert self._process
        deadline = time.monotonic() + limit_seconds
        # What it still says must be taken from it, or it would wait for room.
        while self._read(deadline - time.monotonic()):
            pass
        try:
            return self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{' '.join(self._words)} does not end; it showed:\n{self.said}") from None

    def _read(self, limit_seconds: float) -> bool:
        """Whether more came; False at its end, and when the time is up."""
        if not select.select([self._master], [], [], max(0.0, limit_seconds))[0]:
            return False
        # The kernel tells the end of a terminal by an error.
        with contextlib.suppress(OSError):
            more = os.read(self._master, 65536)
            self._said += more
            return bool(more)
        return False


def _set_size(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
