# SPDX-License-Identifier: Apache-2.0
"""Volumes of this host: which file is whose, and the one moment at which a file system is made.

A volume's file gets its final name only after its file system was made on a staged one, so a file
under its final name was formatted exactly once, and nothing here ever formats one that has it.
netd does what needs the kernel: loop devices and mounts.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from pathlib import Path
from typing import Protocol

from zun_lite.common import crash
from zun_lite.domain import errors, names
from zun_lite.domain.wiring import Attachment

LOG = logging.getLogger(__name__)

_MKFS_TIMEOUT_SECONDS = 300
_MKFS = {
    "xfs": ("/sbin/mkfs.xfs", "-q", "-m", "reflink=1"),
    "ext4": ("/sbin/mkfs.ext4", "-q", "-F", "-m", "0"),
}
_NEWEST_EPOCH = 2**53


class DiskNetd(Protocol):
    """What is asked of netd for volumes."""

    def attach(self, attachment: Attachment, path: str) -> str: ...

    def detach(self, volume_id: str, epoch: int) -> None: ...


class Disks:
    """The volume files under pool_dir. Different volumes may be worked on at once."""

    def __init__(self, pool_dir: str, netd: DiskNetd) -> None:
        self._pool = Path(pool_dir)
        self._netd = netd
        self._formatting = threading.Lock()

    def path(self, volume_id: str) -> str:
        """Where a volume's file is or would be."""
        if not names.is_id(volume_id):
            raise errors.Invalid("A volume's id is a UUID.")
        return str(self._pool / f"{volume_id}.img")

    def exists(self, volume_id: str) -> bool:
        return os.path.exists(self.path(volume_id))

    def make(self, attachment: Attachment, formatted: bool) -> None:
        """See that the volume's file is there, with a file system.

        formatted: anyone says that it once had one. NotFound: then a missing file is lost data, and
        making a new one would hide that.
        """
        if self.exists(attachment.volume_id):
            return
        if formatted or attachment.formatted:
            raise errors.NotFound(f"The data of volume {attachment.volume_id} is not on this host.")
        crash.point("agent.disk.before")
        self._format(attachment)
        crash.point("agent.disk.made")
        LOG.info("volume %s: made, %s GiB of %s", attachment.volume_id, attachment.size_gib, attachment.fs_type)

    def attach(self, attachment: Attachment) -> str:
        """The folder to bind, mounted."""
        source = self._netd.attach(attachment, self.path(attachment.volume_id))
        crash.point("agent.disk.attached")
        return source

    def detach(self, volume_id: str, epoch: int) -> None:
        """Unmount it, unless a newer attachment holds it, which is then not ours to end."""
        try:
            self._netd.detach(volume_id, epoch)
        except errors.NotFound:
            return
        except errors.Conflict as error:
            LOG.warning("volume %s: left attached, a newer attachment holds it: %s", volume_id, error)

    def destroy(self, volume_id: str) -> None:
        """Take away a volume that its owner deleted, with its data."""
        path = self.path(volume_id)
        with contextlib.suppress(errors.NotFound):
            self._netd.detach(volume_id, _NEWEST_EPOCH)
        for name in (f"{path}.tmp", path, str(self._pool / f"{volume_id}.lock"), f"{path}.lock"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        LOG.info("volume %s: removed", volume_id)

    def _format(self, attachment: Attachment) -> None:
        mkfs = _MKFS.get(attachment.fs_type)
        if mkfs is None:
            raise errors.Invalid(f"A volume's file system is xfs or ext4, not {attachment.fs_type}.")
        path = self.path(attachment.volume_id)
        staged = f"{path}.tmp"
        with self._formatting:
            if os.path.exists(path):
                return
            try:
                self._make_staged(staged, attachment.size_gib, mkfs)
                os.rename(staged, path)
                _sync(self._pool)
            except (OSError, subprocess.SubprocessError) as error:
                with contextlib.suppress(OSError):
                    os.unlink(staged)
                LOG.error("volume %s: cannot be made: %s", attachment.volume_id, _reason(error))
                raise errors.Failed(f"Volume {attachment.volume_id} could not be made on its host.") from error

    def _make_staged(self, staged: str, size_gib: int, mkfs: tuple[str, ...]) -> None:
        self._pool.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)
        file = os.open(staged, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        try:
            os.ftruncate(file, size_gib * 1024**3)
            subprocess.run([*mkfs, staged], check=True, capture_output=True, timeout=_MKFS_TIMEOUT_SECONDS)
            os.fsync(file)
        finally:
            os.close(file)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        return (error.stderr or b"").decode(errors="replace").strip()[-500:]
    return str(error)
