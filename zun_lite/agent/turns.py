# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is with a file of a pool: one thread's of one program. Knows nothing of what is done to it."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zun_lite.domain import errors


class Turns:
    """Of this program's threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._wanted: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def taken(self, file_id: str, *, wait: bool) -> Iterator[None]:
        """While nobody else has it. Busy: somebody has, and it is not to be waited for."""
        with self._guard:
            lock, users = self._wanted.get(file_id, (threading.Lock(), 0))
            self._wanted[file_id] = lock, users + 1
        try:
            if not lock.acquire(blocking=wait):
                raise _busy(file_id)
            try:
                yield
            finally:
                lock.release()
        finally:
            with self._guard:
                lock, users = self._wanted.pop(file_id)
                if users > 1:
                    self._wanted[file_id] = lock, users - 1


@contextmanager
def among_programs(path: str, file_id: str) -> Iterator[None]:
    """While no other program holds the file at path, which stands for the id. Busy: one does."""
    file_fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(file_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy(file_id) from None
        try:
            yield
        finally:
            # a process that is just being started may have the descriptor, too, for a moment
            fcntl.flock(file_fd, fcntl.LOCK_UN)
    finally:
        os.close(file_fd)


def _busy(file_id: str) -> errors.Busy:
    return errors.Busy(f"Volume or snapshot {file_id} is being worked on; what was asked for can be done after that.")
