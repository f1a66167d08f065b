# SPDX-License-Identifier: Apache-2.0
"""One volume file and one mount: open the file as what it must be, and mount the loop device that stands on it."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment
from zun_lite.netd import filesystems, kernel

LOG = logging.getLogger(__name__)

# discard: what is removed in a volume is free again in the pool. nouuid: a copy may have another's file system id
_OPTIONS = {"xfs": "nouuid,discard", "ext4": "discard"}


def mount(attachment: Attachment, node: str, point: str) -> None:
    """Mount a loop device with the attachment's access, and have its file system fill it where it is to be written.

    Failed: the kernel refuses; nothing is ever made or mended for that.
    """
    to_fill = _is_to_be_filled(attachment, node)
    if to_fill and attachment.fs_type == "ext4":
        _fill(attachment.volume_id, lambda: filesystems.grow_unmounted(node))
    flags = kernel.MS_NODEV | (kernel.MS_RDONLY if attachment.read_only else 0)
    try:
        kernel.mount(node, point, attachment.fs_type, flags, _OPTIONS[attachment.fs_type])
    except OSError as error:
        raise errors.Failed(
            f"the kernel did not mount volume {attachment.volume_id} as {attachment.fs_type}: {_reason(error)}"
        ) from error
    if to_fill and attachment.fs_type == "xfs":
        _fill(attachment.volume_id, lambda: filesystems.grow_mounted(point, node, "xfs"))
    crash.point("netd.mount.after")
    LOG.info("volume %s is mounted from %s at epoch %s", attachment.volume_id, node, attachment.epoch)


def waits_to_grow(attachment: Attachment, node: str) -> bool:
    """Whether its file system is smaller than its device, and may have to be unmounted to become as large."""
    return attachment.fs_type == "ext4" and _is_to_be_filled(attachment, node)


def _is_to_be_filled(attachment: Attachment, node: str) -> bool:
    return not attachment.read_only and _unused_bytes(node) > 0


def _unused_bytes(node: str) -> int:
    """How much larger the device is than the file system on it says that it is; 0 where that cannot be told."""
    device_fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = filesystems.described(device_fd)
        return max(0, os.lseek(device_fd, 0, os.SEEK_END) - found.size_bytes) if found else 0
    except OSError:
        return 0
    finally:
        os.close(device_fd)


def _fill(volume_id: str, grow: Callable[[], object]) -> None:
    """A volume that stays as small as it was is better than none."""
    try:
        grow()
        LOG.info("volume %s: its file system grew", volume_id)
    except errors.ZunError as error:
        LOG.error("volume %s keeps its size: %s", volume_id, error.message)


@contextmanager
def opened(path: str, read_only: bool, *, device: bool = False) -> Iterator[int]:
    """The volume's file, which must be a regular one and no link to another; device: or a block device."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_RDONLY if read_only else os.O_RDWR)
    try:
        file_fd = os.open(path, flags)
    except FileNotFoundError as error:
        raise errors.NotFound(f"no volume file at {path}") from error
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise errors.Invalid(f"{path} is not usable as a volume: {reason}") from error
    try:
        mode = os.fstat(file_fd).st_mode
        if not (stat.S_ISREG(mode) or (device and stat.S_ISBLK(mode))):
            raise errors.Invalid(f"{path} is not usable as a volume: it is no regular file")
        yield file_fd
    finally:
        os.close(file_fd)


def _reason(error: OSError) -> str:
    """The kernel's reason; its number for "no file system found" says little to a reader."""
    if error.errno == errno.EINVAL:
        return "it holds no such file system, or a damaged one (invalid argument)"
    return (error.strerror or str(error)).lower()
