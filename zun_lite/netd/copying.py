# SPDX-License-Identifier: Apache-2.0
"""What the kernel has to do when volumes are copied or grow: hold one still, let it go on, fill what got larger.

Whoever copies a volume's file asks freeze, copies, and asks thaw, which tells whether the volume was still
all the time. Copies nothing itself.
"""

from __future__ import annotations

import logging
import os

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.netd import filelock, filemounts, filesystems, loops, mounts
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.stills import Stills
from zun_lite.netd.store import Store
from zun_lite.netd.volumes import Volumes

LOG = logging.getLogger(__name__)
_LOCK_SECONDS = 3.0


class Copying:
    """Of one host's volumes."""

    def __init__(self, volumes: Volumes, store: Store, locks: ObjectLocks, stills: Stills) -> None:
        self._volumes = volumes
        self._store = store
        self._locks = locks
        self._stills = stills

    def freeze(self, volume_id: str, path: str, seconds: float) -> None:
        """Hold a volume still, for so long at most; one that is not mounted cannot be meanwhile.

        Conflict: another host has it.
        """
        with self._locks.held("volume", volume_id):
            # of one who asked before and is gone
            self._stills.end(volume_id)
            point = self._volumes.point(volume_id)
            if mounts.at(point) is not None:
                filesystems.freeze(point)
                self._stills.begin(volume_id, seconds, lambda: _thaw(point))
            else:
                with filemounts.opened(path, read_only=False) as file_fd:
                    filelock.hold(file_fd, path, False, _LOCK_SECONDS)
                    held_fd = os.dup(file_fd)
                self._stills.begin(volume_id, seconds, lambda: os.close(held_fd))
        crash.point("netd.freeze.after")

    def thaw(self, volume_id: str) -> bool:
        """Let a volume go on; whether it had been still since freeze."""
        return self._stills.end(volume_id)

    def thaw_all(self) -> None:
        self._stills.end_all()

    def grow(self, volume_id: str) -> bool:
        """Have a mounted volume fill its file, which got larger; False: that happens when it is next mounted."""
        with self._locks.held("volume", volume_id):
            point, record = self._volumes.point(volume_id), self._store.volume(volume_id)
            mount = mounts.at(point)
            if record is None or mount is None or mount.read_only:
                return False
            if not self._stills.wait(volume_id, _LOCK_SECONDS):
                raise errors.Conflict(f"volume {volume_id} is being copied; let it grow when that has ended")
            try:
                loops.follow_size(mount.source)
            except OSError as error:
                raise errors.Failed(f"{mount.source} did not grow with its file: {error.strerror}") from error
            crash.point("netd.grow.device")
            grown = filesystems.grow_mounted(point, mount.source, record.attachment.fs_type)
        LOG.info("volume %s: %s", volume_id, "its file system grew" if grown else "it grows when it is next mounted")
        return grown

    def settle(self, volume_id: str, path: str, fs_type: str) -> None:
        """Mount a copy once, so that what its origin had accepted is in its place, and its log is empty."""
        with self._volumes.staged(volume_id, path, fs_type):
            crash.point("netd.settle.mounted")


def _thaw(point: str) -> None:
    try:
        filesystems.thaw(point)
    except OSError as error:
        LOG.error("%s is not let go on: %s", point, error)
