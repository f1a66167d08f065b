# SPDX-License-Identifier: Apache-2.0
"""Volume files attached to this host: attach, detach, and what is needed after a restart.

A file stands on a loop device, its file system is mounted at MOUNT_DIR/<volume id>, and what a
container gets is the folder DATA in it: where the volume is not mounted that folder does not exist,
so that Docker refuses to bind it instead of giving the tenant a folder of the host's.
Never makes a file system. A record is written before anything is made.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment
from zun_lite.netd import kernel, loops, mounts
from zun_lite.netd.filelock import FileLock
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.store import Store, VolumeRecord

LOG = logging.getLogger(__name__)
DATA = "data"
# a volume made from a copy of another has the same file system id
_OPTIONS = {"xfs": "nouuid", "ext4": ""}
_LET_GO_SECONDS = 3.0


@dataclass(frozen=True)
class VolumeState:
    """A record and what the kernel says about it."""

    record: VolumeRecord
    device: str | None
    source: str
    mounted: bool


class Volumes:
    """The attached volumes; holds the locks of their files as long as they are attached."""

    def __init__(self, mount_dir: str, store: Store, locks: ObjectLocks) -> None:
        self.mount_dir = mount_dir
        self._store = store
        self._locks = locks
        self._held: dict[str, FileLock] = {}

    def attach(self, attachment: Attachment, path: str) -> str:
        """Mount a volume's file; answers the folder to bind."""
        volume_id = attachment.volume_id
        with self._locks.held("volume", volume_id):
            record = self._store.volume(volume_id)
            if record is not None and attachment.epoch < record.epoch:
                raise errors.Conflict(
                    f"volume {volume_id} is held at epoch {record.epoch}; epoch {attachment.epoch} is over"
                )
            with _opened(path, attachment.read_only) as file_fd:
                if record is not None and record.path != path:
                    self._refuse_other_file(record, file_fd)
                self._hold(volume_id, path, attachment.epoch)
                try:
                    wanted = VolumeRecord(attachment, path)
                    if record != wanted:
                        self._store.save_volume(wanted)
                    self._mount(attachment, path, file_fd)
                    source = self._data_folder(volume_id, attachment.read_only)
                except Exception:
                    self._give_up(volume_id)
                    raise
        return source

    def detach(self, volume_id: str, epoch: int) -> None:
        """Unmount a volume and let its file go; refused while a container or a process has it."""
        crash.point("netd.detach.begin")
        with self._locks.held("volume", volume_id):
            record = self._store.volume(volume_id)
            if record is not None and epoch < record.epoch:
                raise errors.Conflict(
                    f"volume {volume_id} is held at epoch {record.epoch}; epoch {epoch} has nothing to detach"
                )
            self._unmount(volume_id)
            crash.point("netd.umount.after")
            if record is not None:
                self._free_device(record)
                self._store.drop_volume(volume_id)
                LOG.info("volume %s is detached", volume_id)
            self._remove_point(volume_id)
            self._let_go(volume_id)
            crash.point("netd.detach.end")

    def resume(self) -> None:
        """Take the locks of mounted volumes again, and mount those that a reboot took away.

        Docker refuses to start a container whose bound folder is missing, before any runtime is asked.
        """
        for state in self.states():
            record = state.record
            try:
                if state.mounted:
                    self._held[record.volume_id] = FileLock.take(record.path)
                else:
                    self.attach(record.attachment, record.path)
            except errors.ZunError as error:
                LOG.error("volume %s is recorded but not ours to use: %s", record.volume_id, error.message)

    def states(self) -> list[VolumeState]:
        """Every recorded volume as it is now."""
        found = {mount.point: mount for mount in mounts.here()}
        states = []
        for record in self._store.volumes():
            mount = found.get(self._point(record.volume_id))
            device = mount.source if mount else None
            states.append(VolumeState(record, device, self._source(record.volume_id), mount is not None))
        return states

    def discard_mount(self, volume_id: str) -> None:
        """Take away a mount and its folder that no record stands for."""
        with self._locks.held("volume", volume_id):
            if self._store.volume(volume_id) is None:
                self._unmount(volume_id)
                self._remove_point(volume_id)

    def _mount(self, attachment: Attachment, path: str, file_fd: int) -> None:
        point = self._point(attachment.volume_id)
        file = os.fstat(file_fd)
        mount = mounts.at(point)
        if mount is not None:
            loop = loops.on_file(file)
            if loop is None or loop.node != mount.source:
                raise errors.Conflict(f"{mount.source} is mounted at {point}, which is not {path}; detach it first")
            if mount.read_only == attachment.read_only:
                return
            self._unmount(attachment.volume_id)
            loops.is_gone(file, _LET_GO_SECONDS)
        self._make_point(point)
        loop = loops.on_file(file)
        if loop is not None:
            # two devices on one file would be two file systems at odds; on one device they are one
            self._mount_device(attachment, loop.node, point)
            return
        try:
            with loops.made(file_fd, path, attachment.read_only) as node:
                crash.point("netd.loop.after")
                self._mount_device(attachment, node, point)
        except OSError as error:
            raise errors.Failed(f"no loop device for volume {attachment.volume_id}: {error.strerror}") from error

    def _mount_device(self, attachment: Attachment, node: str, point: str) -> None:
        flags = kernel.MS_NODEV | (kernel.MS_RDONLY if attachment.read_only else 0)
        try:
            kernel.mount(node, point, attachment.fs_type, flags, _OPTIONS[attachment.fs_type])
        except OSError as error:
            raise errors.Failed(
                f"the kernel did not mount volume {attachment.volume_id} as {attachment.fs_type}: {_reason(error)}"
            ) from error
        crash.point("netd.mount.after")
        LOG.info("volume %s is mounted from %s at epoch %s", attachment.volume_id, node, attachment.epoch)

    def _unmount(self, volume_id: str) -> None:
        point = self._point(volume_id)
        while (mount := mounts.at(point)) is not None:
            holders = self._wait_for_holders(mount)
            if holders:
                raise errors.Failed(f"volume {volume_id} is in use by {', '.join(holders[:5])}; stop that first")
            try:
                kernel.unmount(point)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    who = ", ".join(mounts.users(point)[:5]) or "another mount"
                    raise errors.Failed(f"volume {volume_id} is busy: {who} uses it on the host") from error
                raise errors.Failed(f"the kernel did not unmount volume {volume_id}: {error.strerror}") from error

    def _wait_for_holders(self, mount: mounts.Mount) -> list[str]:
        """Who has the volume in a container; one that just ended, or is being made, is given time to let go."""
        deadline = time.monotonic() + _LET_GO_SECONDS
        while holders := mounts.elsewhere(mount):
            if time.monotonic() > deadline:
                return holders
            time.sleep(0.02)
        return []

    def _free_device(self, record: VolumeRecord) -> None:
        """Make sure that nothing can write to the file any more."""
        try:
            file = os.stat(record.path, follow_symlinks=False)
        except FileNotFoundError:
            return
        loop = loops.on_file(file)
        if loop is None:
            return
        loops.free(loop.node)
        if not loops.is_gone(file, _LET_GO_SECONDS):
            raise errors.Failed(f"volume {record.volume_id} is still in use through {loop.node}; stop what uses it")

    def _hold(self, volume_id: str, path: str, epoch: int) -> None:
        lock = self._held.get(volume_id)
        fresh = lock is None or lock.path != path
        if lock is None or fresh:
            lock = FileLock.take(path)
        try:
            lock.advance(epoch)
        except Exception:
            if fresh:
                lock.release()
            raise
        if fresh:
            self._let_go(volume_id)
            self._held[volume_id] = lock

    def _let_go(self, volume_id: str) -> None:
        lock = self._held.pop(volume_id, None)
        if lock is not None:
            lock.release()

    def _give_up(self, volume_id: str) -> None:
        """After a failed attach: forget the volume unless it is mounted all the same."""
        if mounts.at(self._point(volume_id)) is None:
            self._remove_point(volume_id)
            self._store.drop_volume(volume_id)
            self._let_go(volume_id)

    def _refuse_other_file(self, record: VolumeRecord, file_fd: int) -> None:
        """A volume's file may be renamed while it is attached, not exchanged."""
        mount = mounts.at(self._point(record.volume_id))
        loop = loops.on_file(os.fstat(file_fd))
        if mount is not None and (loop is None or loop.node != mount.source):
            raise errors.Conflict(f"volume {record.volume_id} is attached from {record.path}; detach it first")

    def _make_point(self, point: str) -> None:
        os.makedirs(self.mount_dir, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(point, 0o700)
        # Docker makes an empty folder where a container was bound by -v while the volume was away
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(point, DATA))
        if os.listdir(point):
            raise errors.Failed(f"{point} holds files, which a volume mounted there would hide; move them away")
        os.chmod(point, 0o700)

    def _remove_point(self, volume_id: str) -> None:
        point = self._point(volume_id)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.join(point, DATA))
        try:
            os.rmdir(point)
        except FileNotFoundError:
            pass
        except OSError as error:
            LOG.warning("folder %s is left: %s", point, error.strerror)

    def _data_folder(self, volume_id: str, read_only: bool) -> str:
        source = self._source(volume_id)
        try:
            if not stat.S_ISDIR(os.lstat(source).st_mode):
                raise errors.Failed(f"{DATA} in volume {volume_id} is no folder; the volume was not made by us")
        except FileNotFoundError:
            if read_only:
                raise errors.Failed(f"volume {volume_id} was never attached for writing and holds nothing") from None
            os.mkdir(source, 0o755)
        return source

    def _point(self, volume_id: str) -> str:
        return os.path.join(self.mount_dir, volume_id)

    def _source(self, volume_id: str) -> str:
        return os.path.join(self._point(volume_id), DATA)


@contextmanager
def _opened(path: str, read_only: bool) -> Iterator[int]:
    """The volume's file, which must be a regular one and no link to another."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_RDONLY if read_only else os.O_RDWR)
    try:
        file_fd = os.open(path, flags)
    except FileNotFoundError as error:
        raise errors.NotFound(f"no volume file at {path}") from error
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise errors.Invalid(f"{path} is not usable as a volume: {reason}") from error
    try:
        if not stat.S_ISREG(os.fstat(file_fd).st_mode):
            raise errors.Invalid(f"{path} is not usable as a volume: it is no regular file")
        yield file_fd
    finally:
        os.close(file_fd)


def _reason(error: OSError) -> str:
    """The kernel's reason; its number for "no file system found" says little to a reader."""
    if error.errno == errno.EINVAL:
        return "it holds no such file system, or a damaged one (invalid argument)"
    return (error.strerror or str(error)).lower()
