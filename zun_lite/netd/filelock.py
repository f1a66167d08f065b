# SPDX-License-Identifier: Apache-2.0
"""Who may use a volume's file, among all hosts that can see it: a lock in the file, and a record beside it.

The kernel protects no file from being mounted twice. hold() locks the file itself, by a descriptor that is then
given to a loop device: the device keeps the lock for as long as it stands, however this program ends. Writers
lock alone, readers together. A host that lost its locks, or is not there any more, is kept out by the record
in FILE.lock: the newest epoch that held the file for writing, and the host that did. Whoever attaches needs an
epoch that is newer, or its own; the record is on the disk before anything is mounted.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zun_lite.domain import errors

_RECORD_BYTES = 64
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Owner:
    """The newest epoch that held a file for writing, and the host that has it; empty once it was given back."""

    epoch: int = 0
    host_id: str = ""


class Ownership:
    """A file's record, while nobody else changes it. Made by changing()."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @property
    def owner(self) -> Owner:
        return _parse(os.pread(self._descriptor, _RECORD_BYTES, 0), self._path)

    def admit(self, host_id: str, epoch: int, shared: bool, read_only: bool) -> None:
        """Conflict where a newer attachment held the file since, or this one does on another host.

        shared: one of several attachments that may use the volume at once; those of one host are ordered by nothing.
        Readers of a shared volume are let in by the lock alone.
        """
        if shared and read_only:
            return
        owner = self.owner
        if epoch < owner.epoch and not (shared and owner.host_id == host_id):
            raise errors.Conflict(
                f"volume file {self._path} was attached at epoch {owner.epoch} since; epoch {epoch} is over"
            )
        if epoch == owner.epoch and owner.host_id not in ("", host_id):
            raise errors.Conflict(
                f"volume file {self._path} is held by host {owner.host_id} at epoch {epoch}; "
                "only a newer attachment can take it from there"
            )

    def note(self, host_id: str, epoch: int) -> None:
        """Write down who holds the file from now on."""
        self._write(Owner(max(epoch, self.owner.epoch), host_id))

    def give_back(self, host_id: str) -> None:
        """The host holds the file no more; its epoch stays, and fences older ones."""
        if self.owner.host_id == host_id:
            self._write(Owner(self.owner.epoch, ""))

    def _write(self, owner: Owner) -> None:
        if owner == self.owner:
            return
        line = f"{owner.epoch:020d} {owner.host_id or '-'}".ljust(_RECORD_BYTES - 1) + "\n"
        os.pwrite(self._descriptor, line.encode(), 0)
        os.fsync(self._descriptor)


class Unshared(Ownership):
    """Of a device, which has nothing beside it: whose it is, its owner says by connecting it."""

    def __init__(self, path: str) -> None:
        super().__init__(path, -1)

    @property
    def owner(self) -> Owner:
        return Owner()

    def _write(self, owner: Owner) -> None:
        pass


@contextmanager
def changing(path: str, timeout_seconds: float, file_fd: int | None = None) -> Iterator[Ownership]:
    """The record of a file, which nobody else changes meanwhile; Conflict when somebody does for long.

    file_fd: the file, where it may be a device.
    """
    if file_fd is not None and stat.S_ISBLK(os.fstat(file_fd).st_mode):
        yield Unshared(path)
        return
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise errors.Failed(f"cannot lock {path}: {error.strerror}") from error
    try:
        if not _locked(descriptor, fcntl.LOCK_EX, timeout_seconds):
            raise errors.Conflict(f"volume file {path} is being attached or detached by another host; try again")
        yield Ownership(path, descriptor)
    finally:
        os.close(descriptor)


def owner(path: str) -> Owner:
    """What the record says at this moment."""
    try:
        with open(f"{path}.lock", "rb") as file:
            return _parse(file.read(_RECORD_BYTES), path)
    except FileNotFoundError:
        return Owner()


def hold(file_fd: int, path: str, read_only: bool, timeout_seconds: float) -> None:
    """Lock the open file for as long as anything has this descriptor open; a writer needs it alone.

    Waits a little for one who is about to let go. Conflict: another host or program uses the file.
    """
    kind = fcntl.LOCK_SH if read_only else fcntl.LOCK_EX
    if not _locked(file_fd, kind, timeout_seconds):
        others = "is written" if read_only else "is used"
        raise errors.Conflict(
            f"volume file {path} {others} by another host or program; "
            "several may only read it at once, and a writer must be alone"
        )


def _locked(descriptor: int, kind: int, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            sleep(_PAUSE_SECONDS)


def _parse(line: bytes, path: str) -> Owner:
    words = line.decode("ascii", "replace").split()
    if not words:
        return Owner()
    if not words[0].isdigit() or len(words) > 2:
        raise errors.Failed(f"the epoch in {path}.lock cannot be read; its file may be damaged")
    host_id = words[1] if len(words) == 2 else ""
    return Owner(int(words[0]), "" if host_id == "-" else host_id)
