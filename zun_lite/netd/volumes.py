# SPDX-License-Identifier: Apache-2.0
"""Volume files attached to this host: attach, detach, and what is needed after a restart.

A file stands on a loop device, its file system is mounted at MOUNT_DIR/<volume id>, and what a
container gets is the folder DATA in it: where the volume is not mounted that folder does not exist,
so that Docker refuses to bind it instead of giving the tenant a folder of the host's.
Never makes a file system. A record is written before anything is made. Whose a file is, among hosts
that see the same one, is filelock.py's.
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
from dataclasses import dataclass, replace

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment
from zun_lite.netd import filelock, filemounts, filesystems, formatting, kernel, loops, mounts, sharing
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.reach import Reach
from zun_lite.netd.stills import Stills
from zun_lite.netd.store import Store, VolumeRecord

LOG = logging.getLogger(__name__)
DATA = "data"
_LET_GO_SECONDS = 3.0
_STILL_SECONDS = 20.0
_SECTOR_BYTES, _PAGE_BYTES = 512, 4096


@dataclass(frozen=True)
class VolumeState:
    """A record and what the kernel says about it."""

    record: VolumeRecord
    device: str | None
    source: str
    mounted: bool


class Volumes:
    """The attached volumes of one host; host_id tells it from others that see the same files."""

    def __init__(
        self,
        mount_dir: str,
        store: Store,
        locks: ObjectLocks,
        host_id: str,
        stills: Stills,
        reach: Reach | None = None,
    ) -> None:
        self.mount_dir = mount_dir
        self._store = store
        self._locks = locks
        self._host_id = host_id
        self._stills = stills
        self._reach = reach or Reach((), "")
        # descriptors that keep files locked whose loop device was made by others
        self._held: dict[str, int] = {}

    def attach(self, attachment: Attachment, path: str) -> str:
        """Mount a volume's file; answers the folder to bind."""
        volume_id = attachment.volume_id
        with self._locks.held("volume", volume_id):
            self._wait_until_moving(volume_id)
            record = self._store.volume(volume_id)
            wanted = sharing.joined(record, attachment, path)
            if attachment.connection is not None:
                return self._attach_connected(wanted, record, attachment)
            return self._attach(wanted, record, attachment)

    def make_ready(self, attachment: Attachment) -> None:
        """Connect a volume that has a connection, and see that there is a file system on it."""
        with self._locks.held("volume", attachment.volume_id):
            record = self._store.volume(attachment.volume_id)
            wanted = sharing.joined(record, attachment, "")
            if mounts.at(self.point(attachment.volume_id)) is None:
                with self._connected(wanted) as path:
                    formatting.see_to(attachment, path, self._store)

    def _attach_connected(self, wanted: VolumeRecord, record: VolumeRecord | None, attachment: Attachment) -> str:
        if record is not None and mounts.at(self.point(wanted.volume_id)) is not None:
            mounted = replace(wanted.attachment, fs_type=record.attachment.fs_type)
            return self._attach(replace(wanted, attachment=mounted, path=record.path), record, attachment)
        with self._connected(wanted) as path:
            fs_type = formatting.see_to(replace(attachment, formatted=True), path, self._store)
            there = replace(wanted, attachment=replace(wanted.attachment, fs_type=fs_type), path=path)
            return self._attach(there, record, attachment)

    @contextmanager
    def _connected(self, wanted: VolumeRecord) -> Iterator[str]:
        """The volume's path, connected; it is recorded before, and let go of again if the block fails."""
        connection = wanted.attachment.connection
        assert connection is not None
        self._store.save_volume(wanted)
        crash.point("netd.connect.recorded")
        try:
            path = self._reach.reach(wanted.volume_id, connection)
            crash.point("netd.connect.after")
            yield path
        except Exception:
            if mounts.at(self.point(wanted.volume_id)) is None:
                self._reach.leave(connection)
                self._store.drop_volume(wanted.volume_id)
            raise

    def _attach(self, wanted: VolumeRecord, record: VolumeRecord | None, attachment: Attachment) -> str:
        volume_id, path, read_only = wanted.volume_id, wanted.path, wanted.attachment.read_only
        with filemounts.opened(path, read_only, device=attachment.connection is not None) as file_fd:
            if record is not None and record.path not in ("", path):
                self._refuse_other_file(record, file_fd)
            with filelock.changing(path, _LET_GO_SECONDS, file_fd) as ownership:
                ownership.admit(self._host_id, attachment.epoch, attachment.shared, attachment.read_only)
                try:
                    self._make_ready(wanted, file_fd)
                    if not (attachment.shared and read_only):
                        ownership.note(self._host_id, attachment.epoch)
                    crash.point("netd.own.after")
                    self._mount(wanted.attachment, path, file_fd)
                    return self._data_folder(volume_id, read_only)
                except Exception:
                    self._give_up(volume_id, ownership)
                    raise

    def detach(self, volume_id: str, epoch: int) -> None:
        """Unmount a volume and let its file go; refused while a container or a process has it."""
        crash.point("netd.detach.begin")
        with self._locks.held("volume", volume_id):
            self._wait_until_moving(volume_id)
            record = self._store.volume(volume_id)
            if record is not None and self._others_stay(record, epoch):
                return
            if record is not None and epoch < record.epoch:
                raise errors.Conflict(
                    f"volume {volume_id} is held at epoch {record.epoch}; epoch {epoch} has nothing to detach"
                )
            self._unmount(volume_id)
            crash.point("netd.umount.after")
            if record is not None:
                self._free_device(record)
                self._give_back(record.path)
                if record.attachment.connection is not None:
                    self._let_go(volume_id)
                    self._reach.leave(record.attachment.connection)
                    crash.point("netd.disconnect.after")
                self._store.drop_volume(volume_id)
                LOG.info("volume %s is detached", volume_id)
            self._remove_point(volume_id)
            self._let_go(volume_id)
            crash.point("netd.detach.end")

    def resume(self) -> None:
        """Look after mounted volumes again, and mount those that a reboot took away.

        Docker refuses to start a container whose bound folder is missing, before any runtime is asked.
        """
        for state in self.states():
            record = state.record
            try:
                if state.mounted:
                    # whoever held it still is gone
                    filesystems.thaw(self.point(record.volume_id))
                    self._lock_again(record)
                else:
                    self.attach(record.attachment, record.path)
            except (errors.ZunError, OSError) as error:
                LOG.error("volume %s is recorded but not ours to use: %s", record.volume_id, error)
        self.fence()

    def fence(self) -> None:
        """Let nothing more be written to volumes that another host took over with a newer attachment."""
        for state in self.states():
            record = state.record
            try:
                owner = filelock.owner(record.path)
                if state.mounted and owner.epoch > record.epoch and owner.host_id != self._host_id:
                    filesystems.shut_down(self.point(record.volume_id))
                    LOG.error(
                        "volume %s belongs to epoch %s by now; nothing more is written to it from here, where it is "
                        "mounted at epoch %s",
                        record.volume_id,
                        owner.epoch,
                        record.epoch,
                    )
            except (errors.ZunError, OSError) as error:
                LOG.error("whose volume %s is cannot be told: %s", record.volume_id, error)

    def states(self) -> list[VolumeState]:
        """Every recorded volume as it is now."""
        found = {mount.point: mount for mount in mounts.here()}
        states = []
        for record in self._store.volumes():
            mount = found.get(self.point(record.volume_id))
            device = mount.source if mount else None
            states.append(VolumeState(record, device, self._source(record.volume_id), mount is not None))
        return states

    def discard_mount(self, volume_id: str) -> None:
        """Take away a mount and its folder that no record stands for."""
        with self._locks.held("volume", volume_id):
            if self._store.volume(volume_id) is None:
                self._unmount(volume_id)
                self._remove_point(volume_id)

    @contextmanager
    def staged(self, volume_id: str, path: str, fs_type: str) -> Iterator[str]:
        """A file that is no volume yet, mounted for the length of the block; answers its loop device."""
        attachment = Attachment(volume_id, 0, 0, "/", fs_type)
        with self._locks.held("volume", volume_id):
            if self._store.volume(volume_id) is not None:
                raise errors.Conflict(f"volume {volume_id} is attached, and not to be made ready")
            with filemounts.opened(path, False) as file_fd:
                filelock.hold(file_fd, path, False, _LET_GO_SECONDS)
                self._make_point(self.point(volume_id))
                try:
                    node = self._mount(attachment, path, file_fd)
                    yield node
                finally:
                    self._unmount(volume_id)
                    self._remove_point(volume_id)
                    loops.is_gone(os.fstat(file_fd), _LET_GO_SECONDS, self._host_id)

    def _make_ready(self, wanted: VolumeRecord, file_fd: int) -> None:
        """Have the file locked for this access, and the record written.

        What was mounted for another access is unmounted, and so is what nobody has and could only grow unmounted.
        """
        file = os.fstat(file_fd)
        volume_id, read_only = wanted.volume_id, wanted.attachment.read_only
        point = self.point(volume_id)
        mount, loop = mounts.at(point), self._standing_on(file, wanted.path)
        if loop is not None:
            self._refuse_second_volume(point, loop, wanted.path)
        if mount is not None:
            if loop is None or loop.node != mount.source:
                raise errors.Conflict(
                    f"{mount.source} is mounted at {point}, which is not {wanted.path}; detach it first"
                )
            if mount.read_only != read_only or self._is_to_grow(wanted.attachment, mount):
                self._unmount(volume_id)
                self._let_go(volume_id)
                loops.is_gone(file, _LET_GO_SECONDS, self._host_id)
                loop = self._standing_on(file, wanted.path)
        if loop is None or not loop.owner:
            self._lock(volume_id, file_fd, wanted.path, read_only, kept=loop is not None)
        if self._store.volume(volume_id) != wanted:
            self._store.save_volume(wanted)

    def _is_to_grow(self, attachment: Attachment, mount: mounts.Mount) -> bool:
        waits = filemounts.waits_to_grow(attachment, mount.source)
        return waits and not mounts.elsewhere(mount) and not mounts.users(mount.point)

    def _lock(self, volume_id: str, file_fd: int, path: str, read_only: bool, kept: bool) -> None:
        """kept: no device of ours will keep the lock, so that this program has to."""
        held = self._held.get(volume_id)
        if held is not None and os.path.sameopenfile(held, file_fd):
            return
        filelock.hold(file_fd, path, read_only, _LET_GO_SECONDS)
        if kept:
            self._let_go(volume_id)
            self._held[volume_id] = os.dup(file_fd)

    def _lock_again(self, record: VolumeRecord) -> None:
        """After a start: a device of ours still has the lock, one that others made never had."""
        device = record.attachment.connection is not None
        with filemounts.opened(record.path, record.attachment.read_only, device=device) as file_fd:
            loop = self._standing_on(os.fstat(file_fd), record.path)
            if loop is None or not loop.owner:
                self._lock(record.volume_id, file_fd, record.path, record.attachment.read_only, kept=True)

    def _refuse_second_volume(self, point: str, loop: loops.Loop, path: str) -> None:
        for mount in mounts.here():
            if mount.source == loop.node and mount.point != point and os.path.dirname(mount.point) == self.mount_dir:
                raise errors.Conflict(f"volume file {path} is attached as {os.path.basename(mount.point)} already")

    def _mount(self, attachment: Attachment, path: str, file_fd: int) -> str:
        """Mount the file, whose lock is held, unless it is; answers the device."""
        point = self.point(attachment.volume_id)
        mount = mounts.at(point)
        if mount is not None:
            return mount.source
        self._make_point(point)
        loop = self._standing_on(os.fstat(file_fd), path)
        if loop is not None:
            # two devices on one file would be two file systems at odds; on one device they are one
            filemounts.mount(attachment, loop.node, point)
            return loop.node
        try:
            found = filesystems.described(file_fd)
            sector_bytes = min(found.sector_bytes, _PAGE_BYTES) if found else _SECTOR_BYTES
            with loops.made(file_fd, path, attachment.read_only, self._host_id, sector_bytes) as node:
                crash.point("netd.loop.after")
                filemounts.mount(attachment, node, point)
        except OSError as error:
            raise errors.Failed(f"no loop device for volume {attachment.volume_id}: {error.strerror}") from error
        return node

    def _unmount(self, volume_id: str) -> None:
        point = self.point(volume_id)
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
        loop = loops.on_file(file, self._host_id)
        if loop is None:
            return
        loops.free(loop.node)
        if not loops.is_gone(file, _LET_GO_SECONDS, self._host_id):
            raise errors.Failed(f"volume {record.volume_id} is still in use through {loop.node}; stop what uses it")

    def _others_stay(self, record: VolumeRecord, epoch: int) -> bool:
        """Whether other attachments keep the volume; this one, if it was among them, is forgotten."""
        left = sharing.without(record, epoch)
        if left is not None and left != record:
            self._store.save_volume(left)
        return left is not None

    def _give_back(self, path: str) -> None:
        if os.path.isfile(path):
            with filelock.changing(path, _LET_GO_SECONDS) as ownership:
                ownership.give_back(self._host_id)

    def _let_go(self, volume_id: str) -> None:
        descriptor = self._held.pop(volume_id, None)
        if descriptor is not None:
            os.close(descriptor)

    def _give_up(self, volume_id: str, ownership: filelock.Ownership) -> None:
        """After a failed attach: forget the volume unless it is mounted all the same."""
        if mounts.at(self.point(volume_id)) is None:
            self._remove_point(volume_id)
            self._store.drop_volume(volume_id)
            self._let_go(volume_id)
            ownership.give_back(self._host_id)

    def _wait_until_moving(self, volume_id: str) -> None:
        if not self._stills.wait(volume_id, _STILL_SECONDS):
            raise errors.Conflict(f"volume {volume_id} is being copied; try again when that has ended")

    def _standing_on(self, file: os.stat_result, path: str) -> loops.Loop | None:
        """The device that stands on this file; one that is connected as a device is its own."""
        if stat.S_ISBLK(file.st_mode):
            return loops.Loop(path, file.st_dev, file.st_ino, path, False)
        return loops.on_file(file, self._host_id)

    def _refuse_other_file(self, record: VolumeRecord, file_fd: int) -> None:
        """A volume's file may be renamed while it is attached, not exchanged."""
        mount = mounts.at(self.point(record.volume_id))
        loop = self._standing_on(os.fstat(file_fd), record.path)
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
        point = self.point(volume_id)
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

    def point(self, volume_id: str) -> str:
        return os.path.join(self.mount_dir, volume_id)

    def _source(self, volume_id: str) -> str:
        return os.path.join(self.point(volume_id), DATA)
