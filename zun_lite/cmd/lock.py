# SPDX-License-Identifier: Apache-2.0
"""The lock that makes an installation's supervisor the only one.

A flock on a file that names its holder's pid. The kernel frees it when the holder dies, however
it dies, and it goes through exec with the descriptor, so it is held from the first moment of
`zun-lite up` to the supervisor's end. Children do not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import time

_TRIES = 5
_BETWEEN_TRIES_SECONDS = 0.05


def take(path: str) -> int | None:
    """The descriptor that holds the lock, or None when another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # holder() takes it for a moment to look; a real holder keeps it.
            time.sleep(_BETWEEN_TRIES_SECONDS)
            continue
        sign(handle)
        return handle
    os.close(handle)
    return None


def adopt(handle: int) -> int:
    """Go on holding a lock that came through exec, and keep it from further children."""
    os.set_inheritable(handle, False)
    return handle


def sign(handle: int) -> None:
    """Write this process's pid into the lock's file."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)


def holder(path: str) -> int | None:
    """The pid of who holds the lock, or None when nobody does."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        said = os.pread(handle, 32, 0).decode().strip()
        return int(said) if said.isdigit() else 0
    finally:
        os.close(handle)
