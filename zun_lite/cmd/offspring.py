# SPDX-License-Identifier: Apache-2.0
"""Programs as forks of a process that has imported what they share, so that they share its memory.

What several programs import takes each of them some 15 MiB and half a second when it is imported in
each. Knows nothing of what the programs do: one is the name of a module with a main(). The parent must
be single-threaded and own descriptors only as plain numbers, as a fork closes all but its own three.
Until the first fork it needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import site
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Mapping

SHARED = (
    "asyncio",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.serialization",
    "falcon",
    "fastjsonschema",
    "jwt",
    "logging.handlers",
    "orjson",
    "oslo_config.cfg",
    "oslo_log.log",
    "requests",
    "setproctitle",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "websockets.asyncio.client",
)
"""Libraries that most programs need. None of zun_lite's own modules is among them: those are read anew."""
_POLL_SECONDS = 0.01
_NOT_BORN = 70


class Born(BaseException):
    """Raised in a new child, to leave the frames of its parent; the bottom one is to call the module's main()."""

    def __init__(self, module: str) -> None:
        super().__init__(module)
        self.module = module


class Forked:
    """A child made by fork(): of subprocess.Popen what a supervisor needs, in the same shape."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. timeout: seconds. subprocess.TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._code is None:
            pid, status = os.waitpid(self.pid, 0 if deadline is None else os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif timeout is not None and deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            else:
                time.sleep(_POLL_SECONDS)
        return self._code

    def terminate(self) -> None:
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """A parent that is warmed by the first birth, and that knows when its libraries are out of date."""

    def __init__(self, shared: Iterable[str] = SHARED) -> None:
        self._shared = tuple(shared)
        self._warm = False
        self._stamp = _installed()

    def is_current(self) -> bool:
        """Whether the installed packages are still those that this process would pass on."""
        return self._stamp == _installed()

    def fork(self, title: str, module: str, environment: Mapping[str, str], log: int) -> Forked:
        """A process of its own session, its output in the descriptor log, with the title that `ps` shows.

        Raises Born in the child. ImportError: a shared library is missing or broken.
        """
        self._warm_up()
        pid = os.fork()
        if pid:
            return Forked(pid)
        try:
            os.setsid()
            _take_over(title, environment, log)
        except BaseException:
            # Whatever it was, this must not go on as a second parent.
            traceback.print_exc()
            os._exit(_NOT_BORN)
        raise Born(module)

    def _warm_up(self) -> None:
        if self._warm:
            return
        for name in self._shared:
            importlib.import_module(name)
        gc.collect()
        # What exists now is not looked at by the children's collections, so that its pages stay shared.
        gc.freeze()
        self._warm = True


def _take_over(title: str, environment: Mapping[str, str], log: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, descriptor)
    # The caller still closes log.
    os.closerange(3, log)
    os.closerange(log + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdin = open(0, closefd=False)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
    # Before the environment changes, as it is found by where the kernel has put that.
    importlib.import_module("setproctitle").setproctitle(title)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [title]


def _installed() -> tuple[tuple[str, int], ...]:
    """The folders of installed packages, with the moment of their last change."""
    stamps = []
    for folder in site.getsitepackages():
        with contextlib.suppress(OSError):
            stamps.append((folder, os.stat(folder).st_mtime_ns))
    return tuple(stamps)
