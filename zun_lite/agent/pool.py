# SPDX-License-Identifier: Apache-2.0
"""A host's volume pool: a folder with a file for each volume and each snapshot.

ID.img is a volume, ID.snap a snapshot, ID.img.lock says whose the volume is (netd's), ID.made that there was one.
A file is made under a staged name and gets its own only when it is whole and on the disk, so that a file
with its own name was given a file system exactly once. Once ID.made is there, a file that is missing
is lost data and never made anew. Every call may be made again, also after a death in the middle of it.

Volumes take up what is written to them. Copies share what they have in common where the pool's file system
can (filecopy.py); netd does what needs the kernel. What is promised is bounded: see room.py.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zun_lite.agent import filecopy
from zun_lite.agent.room import GIB, Room
from zun_lite.agent.turns import Turns, among_programs
from zun_lite.common import crash
from zun_lite.domain import errors, names, superblock
from zun_lite.domain.wiring import EVERY_EPOCH

LOG = logging.getLogger(__name__)

NOW, AT_THE_NEXT_MOUNT = "now", "at the next mount"
_VOLUME, _SNAPSHOT, _STAGED, _MADE, _LOCK = ".img", ".snap", ".tmp", ".made", ".img.lock"
_TOOL_SECONDS = 600
# files that share extents are written in whole blocks, so that direct I/O to them needs sectors as large
_MKFS = {
    "xfs": ("/sbin/mkfs.xfs", "-q", "-m", "reflink=1", "-s", "size=4096"),
    "ext4": ("/sbin/mkfs.ext4", "-q", "-F", "-m", "0"),
}
_MENDED = 1
_STILL_LEAST_SECONDS, _STILL_MOST_SECONDS = 30, 3600
_SLOWEST_COPY_BYTES_A_SECOND = 20 * 1024**2


class PoolNetd(Protocol):
    """What is asked of netd for the files of a pool."""

    def detach(self, volume_id: str, epoch: int) -> None: ...

    def freeze(self, volume_id: str, path: str, seconds: int) -> None: ...

    def thaw(self, volume_id: str) -> bool: ...

    def grow(self, volume_id: str) -> bool: ...

    def settle(self, volume_id: str, path: str, fs_type: str) -> None: ...


@dataclass(frozen=True)
class Kept:
    """A file of the pool. size_gib: what it promises; used_bytes: what it takes up, shared or not; there: it is."""

    size_gib: int
    used_bytes: int
    there: bool = True


@dataclass(frozen=True)
class Contents:
    """What is in a pool, by id; unfinished: ids of files that are being made, or were when somebody died."""

    volumes: dict[str, Kept]
    snapshots: dict[str, Kept]
    unfinished: tuple[str, ...] = ()


class Pool:
    """The pool in pool_dir. Different volumes may be worked on at once; overcommit and reserve_gib: see Room.

    Raises errors.Failed with what went wrong, NotFound where data is missing, Conflict where another host has it,
    Busy where it is being copied.
    """

    def __init__(
        self,
        pool_dir: str,
        netd: PoolNetd,
        overcommit: float = 2.0,
        reserve_gib: float = 2.0,
        shared: bool = False,
    ) -> None:
        self._dir = Path(pool_dir)
        self._netd = netd
        self._room = Room(self._dir, overcommit, reserve_gib)
        self._shared = shared
        self._turns = Turns()

    # what is there

    def path(self, volume_id: str) -> str:
        """Where a volume's file is or would be."""
        return self._name(volume_id, _VOLUME)

    def snapshot_path(self, snapshot_id: str) -> str:
        return self._name(snapshot_id, _SNAPSHOT)

    def exists(self, volume_id: str) -> bool:
        return os.path.exists(self.path(volume_id))

    def contents(self) -> Contents:
        """What is in the pool now; a volume whose file is lost is not there, and has no size."""
        volumes: dict[str, Kept] = {}
        snapshots: dict[str, Kept] = {}
        unfinished = []
        made = set()
        with contextlib.suppress(FileNotFoundError), os.scandir(self._dir) as entries:
            for entry in entries:
                file_id, dot, rest = entry.name.partition(".")
                if not names.is_id(file_id):
                    continue
                kind = dot + rest
                with contextlib.suppress(FileNotFoundError):
                    if kind in (_VOLUME, _SNAPSHOT):
                        kept = _kept(entry.stat(follow_symlinks=False))
                        (volumes if kind == _VOLUME else snapshots)[file_id] = kept
                    elif kind.endswith(_STAGED):
                        unfinished.append(file_id)
                    elif kind == _MADE:
                        made.add(file_id)
        for lost in made - volumes.keys():
            volumes[lost] = Kept(0, 0, there=False)
        return Contents(volumes, snapshots, tuple(sorted(unfinished)))

    def free_gib(self) -> int:
        """How many GiB can still be promised."""
        return max(0, self._room.left_bytes() // GIB)

    def require(self, wanted_bytes: int) -> None:
        """Failed where so many bytes cannot be written to the pool now."""
        self._room.require(wanted_bytes)

    # volumes

    def make(self, volume_id: str, size_gib: int, fs_type: str) -> None:
        """See that a volume's file is there, empty, with a file system.

        NotFound: it was there, and is not any more.
        """
        mkfs = _MKFS.get(fs_type)
        if mkfs is None:
            raise errors.Invalid(f"A volume's file system is xfs or ext4, not {fs_type}.")
        with self._work_on(volume_id, "made"):
            if self._is_there(volume_id):
                return
            path = self.path(volume_id)
            with self._staged(path, size_gib * GIB, f"Volume {volume_id} of {size_gib} GiB cannot be made"):
                _run([*mkfs, f"{path}{_STAGED}"])
            self._note_made(volume_id)
        LOG.info("volume %s: made, %s GiB of %s", volume_id, size_gib, fs_type)

    def copy(self, volume_id: str, size_gib: int, source: str) -> None:
        """See that a volume's file is there, with what source holds now; source is the path of a volume or snapshot.

        A larger size_gib is filled when it is first mounted. A volume that is in use is held still meanwhile.
        """
        with self._work_on(volume_id, "made"):
            if self._is_there(volume_id):
                return
            path = self.path(volume_id)
            size_bytes = max(size_gib * GIB, _size(source))
            with self._staged(path, size_bytes, f"Volume {volume_id} of {size_gib} GiB cannot be made") as staged_fd:
                how = self._copy_still(source, staged_fd, size_bytes)
                crash.point("agent.pool.copied")
                self._give_own_id(volume_id, f"{path}{_STAGED}", staged_fd)
            self._note_made(volume_id)
        LOG.info("volume %s: made, %s GiB, out of %s, %s", volume_id, size_gib, os.path.basename(source), how)

    def grow(self, volume_id: str, size_gib: int) -> str:
        """Make a volume larger; NOW, or AT_THE_NEXT_MOUNT where it is not mounted or the kernel wants it so."""
        path, size_bytes = self.path(volume_id), size_gib * GIB
        with self._alone_with(volume_id, "made larger"):
            before = _size(path)
            if size_bytes < before:
                raise errors.Invalid(f"Volume {volume_id} has {before // GIB} GiB already, and does not shrink.")
            if size_bytes > before:
                with self._room.taken(size_bytes - before, f"Volume {volume_id} cannot grow to {size_gib} GiB"):
                    file_fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                    try:
                        os.ftruncate(file_fd, size_bytes)
                        os.fsync(file_fd)
                    finally:
                        os.close(file_fd)
            crash.point("agent.pool.grown")
            try:
                how = NOW if self._netd.grow(volume_id) else AT_THE_NEXT_MOUNT
            except errors.Conflict as error:
                raise errors.Busy(error.message) from error
        LOG.info("volume %s: %s GiB, %s", volume_id, size_gib, how)
        return how

    def destroy(self, volume_id: str) -> None:
        """Take away a volume with its data, whose room is free at once."""
        path = self.path(volume_id)
        with self._work_on(volume_id, "removed", wait=False):
            with contextlib.suppress(errors.NotFound):
                self._netd.detach(volume_id, EVERY_EPOCH)
            with self._alone(volume_id) if self._shared and os.path.exists(path) else contextlib.nullcontext():
                for kind in (_VOLUME + _STAGED, _VOLUME):
                    _unlink(self._name(volume_id, kind))
                crash.point("agent.pool.destroyed")
            # the record goes last: while it is there, a missing file is known to be missing
            for kind in (_LOCK, _MADE):
                _unlink(self._name(volume_id, kind))
            _sync(self._dir)
        LOG.info("volume %s: removed", volume_id)

    # snapshots

    def snapshot(self, snapshot_id: str, volume_id: str) -> None:
        """See that a snapshot is there: what the volume holds at one moment, at which its writers are held still."""
        source, path = self.path(volume_id), self.snapshot_path(snapshot_id)
        with self._work_on(snapshot_id, "taken"):
            if os.path.exists(path):
                return
            size_bytes = _size(source)
            failure = f"Snapshot {snapshot_id} of volume {volume_id} cannot be taken"
            with self._staged(path, size_bytes, failure, promised_bytes=_used(source)) as staged_fd:
                how = self._copy_still(source, staged_fd, size_bytes)
                crash.point("agent.pool.copied")
        LOG.info("snapshot %s: taken of volume %s, %s", snapshot_id, volume_id, how)

    def destroy_snapshot(self, snapshot_id: str) -> None:
        with self._work_on(snapshot_id, "removed"):
            for kind in (_SNAPSHOT + _STAGED, _SNAPSHOT):
                _unlink(self._name(snapshot_id, kind))
            _sync(self._dir)
        LOG.info("snapshot %s: removed", snapshot_id)

    # how

    def _name(self, file_id: str, kind: str) -> str:
        if not names.is_id(file_id):
            raise errors.Invalid("The id of a volume or a snapshot is a UUID.")
        return str(self._dir / f"{file_id}{kind}")

    def _is_there(self, volume_id: str) -> bool:
        if self.exists(volume_id):
            self._note_made(volume_id)
            return True
        if os.path.exists(self._name(volume_id, _MADE)):
            raise errors.NotFound(f"The data of volume {volume_id} is not on this host.")
        return False

    def _note_made(self, volume_id: str) -> None:
        note = self._name(volume_id, _MADE)
        if not os.path.exists(note):
            os.close(os.open(note, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            _sync(self._dir)

    @contextmanager
    def _work_on(self, file_id: str, what: str, *, wait: bool = True) -> Iterator[None]:
        """One thread at a time; tells a user of a failure without telling of this machine. Busy: see Turns."""
        try:
            with self._turns.taken(file_id, wait=wait):
                yield
        except (OSError, subprocess.SubprocessError) as error:
            LOG.error("volume or snapshot %s: cannot be %s: %s", file_id, what, _reason(error))
            raise errors.Failed(
                f"Volume or snapshot {file_id} could not be {what} on its host; the host's log says why."
            ) from error

    @contextmanager
    def _alone_with(self, volume_id: str, what: str) -> Iterator[None]:
        """While nobody else copies this volume or makes it larger, no other program either. Busy: somebody does."""
        with self._work_on(volume_id, what, wait=False):
            if not self._is_there(volume_id):
                raise _missing(volume_id)
            with among_programs(self._name(volume_id, _MADE), volume_id):
                yield

    @contextmanager
    def _staged(self, path: str, size_bytes: int, failure: str, *, promised_bytes: int | None = None) -> Iterator[int]:
        """A new file of that size to be filled, under its own name once the block has ended well."""
        staged = f"{path}{_STAGED}"
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        _unlink(staged)
        with self._room.taken(size_bytes if promised_bytes is None else promised_bytes, failure):
            file_fd = os.open(staged, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
            os.ftruncate(file_fd, size_bytes)
        crash.point("agent.pool.staged")
        try:
            yield file_fd
            os.fsync(file_fd)
            os.rename(staged, path)
            _sync(self._dir)
        except Exception:
            _unlink(staged)
            raise
        finally:
            os.close(file_fd)
        crash.point("agent.pool.renamed")

    def _copy_still(self, source: str, target_fd: int, size_bytes: int) -> str:
        """Copy a file that does not change meanwhile; how that was done."""
        source_fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            volume_id = _volume_of(source)
            if volume_id is None:
                return filecopy.copy(source_fd, target_fd, size_bytes, self._room.require)
            # netd holds a volume still for one at a time: a second one would let it go for the first
            with self._alone_with(volume_id, "copied"), self._still(volume_id, source):
                size_bytes = max(size_bytes, os.fstat(source_fd).st_size)
                return filecopy.copy(source_fd, target_fd, size_bytes, self._room.require)
        finally:
            os.close(source_fd)

    @contextmanager
    def _still(self, volume_id: str, path: str) -> Iterator[None]:
        seconds = min(_STILL_LEAST_SECONDS + _used(path) // _SLOWEST_COPY_BYTES_A_SECOND, _STILL_MOST_SECONDS)
        self._netd.freeze(volume_id, path, seconds)
        still = False
        try:
            crash.point("agent.pool.frozen")
            yield
        finally:
            still = self._netd.thaw(volume_id)
        if not still:
            raise errors.Failed(f"Volume {volume_id} could not be held still long enough to be copied.")

    @contextmanager
    def _alone(self, volume_id: str) -> Iterator[None]:
        """While no other host can have it."""
        self._netd.freeze(volume_id, self.path(volume_id), _STILL_LEAST_SECONDS)
        try:
            yield
        finally:
            self._netd.thaw(volume_id)

    def _give_own_id(self, volume_id: str, path: str, file_fd: int) -> None:
        """Of two file systems with one id, tools and kernels take one for the other."""
        found = _described(file_fd)
        if found is None:
            raise errors.Failed(f"What volume {volume_id} is copied from holds no file system that is known here.")
        if found.fs_type == "ext4":
            _run(["/sbin/e2fsck", "-f", "-p", path], _MENDED)
            _run(["/sbin/tune2fs", "-U", "random", path])
            return
        # answers 0 also where it changed nothing, because the log holds what is not in its place yet
        change = ["/usr/sbin/xfs_admin", "-f", "-U", "generate", path]
        _run(change)
        if _described(file_fd) == found:
            self._netd.settle(volume_id, path, found.fs_type)
            _run(change)


def _volume_of(path: str) -> str | None:
    """The id of a volume by its file's path; None for a snapshot's."""
    name = os.path.basename(path)
    return name.removesuffix(_VOLUME) if name.endswith(_VOLUME) else None


def _size(path: str) -> int:
    try:
        return os.stat(path, follow_symlinks=False).st_size
    except FileNotFoundError:
        raise _missing(Path(path).stem) from None


def _missing(file_id: str) -> errors.NotFound:
    return errors.NotFound(f"The data of {file_id} is not on this host.")


def _used(path: str) -> int:
    return os.stat(path, follow_symlinks=False).st_blocks * 512


def _kept(stat: os.stat_result) -> Kept:
    return Kept(stat.st_size // GIB, stat.st_blocks * 512)


def _described(file_fd: int) -> superblock.Superblock | None:
    # the tools wrote through descriptors of their own, but the page cache is one
    return superblock.read(os.pread(file_fd, superblock.READ_BYTES, 0))


def _run(command: list[str], worst: int = 0) -> None:
    done = subprocess.run(command, capture_output=True, timeout=_TOOL_SECONDS)
    if not 0 <= done.returncode <= worst:
        raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        words = (error.stderr or error.stdout or b"").decode(errors="replace").strip()[-500:]
        return words or str(error)
    return str(error)
