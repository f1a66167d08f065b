# SPDX-License-Identifier: Apache-2.0
"""A socket at a path, for root alone, with one listener only. Knows nothing of what is said there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket

from zun_lite.domain import errors


def claim(path: str) -> int:
    """Become the one listener at the path; the descriptor that says so while it is open. Conflict: there is another."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise errors.Conflict(f"another netd serves {path}; stop it first") from None
    return lock_fd


def listen(path: str) -> socket.socket:
    """A socket that listens; it appears under its name only then."""
    half = f"{path}.half"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(half)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(half)
    finally:
        os.umask(mask)
    listener.listen(256)
    os.rename(half, path)
    return listener


def close(listener: socket.socket, path: str) -> None:
    """Whoever waits in accept() is woken by an OSError."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
