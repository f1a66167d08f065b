# SPDX-License-Identifier: Apache-2.0
"""The lock beside a volume's file: one holder at a time, and the newest attachment's epoch.

The kernel protects no file from being mounted twice; this does, among all that can see the file.
The lock goes with the process that holds it; the epoch in it stays, and fences older attachments.
"""

from __future__ import annotations

import fcntl
import os

from zun_lite.domain import errors


class FileLock:
    """A held lock. Made by take()."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: str) -> FileLock:
        """Hold PATH.lock; Conflict when another process does."""
        try:
            descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise errors.Failed(f"cannot lock {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise errors.Conflict(f"volume file {path} is held by another process; detach it there first") from None
        return cls(path, descriptor)

    def advance(self, epoch: int) -> None:
        """Note the epoch that now holds the file; Conflict when a newer one has been there."""
        seen = self._epoch()
        if epoch < seen:
            raise errors.Conflict(f"volume file {self.path} was attached at epoch {seen} since; epoch {epoch} is over")
        if epoch > seen:
            os.pwrite(self._descriptor, f"{epoch:020d}\n".encode(), 0)
            os.fsync(self._descriptor)

    def release(self) -> None:
        os.close(self._descriptor)

    def _epoch(self) -> int:
        text = os.pread(self._descriptor, 64, 0).decode("ascii", "replace").strip()
        if not text:
            return 0
        if not text.isdigit():
            raise errors.Failed(f"the epoch in {self.path}.lock cannot be read; its file may be damaged")
        return int(text)
