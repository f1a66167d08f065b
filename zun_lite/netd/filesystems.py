# SPDX-License-Identifier: Apache-2.0
"""What is asked of a file system that is, or is about to be, mounted: hold still, grow, give space back, stop.

Knows the ioctls and tools of xfs and ext4, nothing of volumes. Never makes a file system.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from zun_lite.domain import errors, superblock
from zun_lite.domain.superblock import Superblock

_FREEZE, _THAW, _SHUT_DOWN = 0xC0045877, 0xC0045878, 0x8004587D
_WITHOUT_THE_LOG = 2
_TOOL_SECONDS = 600
_MENDED = 1


def freeze(point: str) -> None:
    """Write everything back and let nothing be written until thaw(); Conflict when it is frozen already."""
    with _opened(point) as descriptor:
        try:
            fcntl.ioctl(descriptor, _FREEZE, 0)
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise errors.Conflict(f"what is mounted at {point} is held still by somebody else") from error
            raise errors.Failed(f"the kernel does not hold {point} still: {error.strerror}") from error


def thaw(point: str) -> bool:
    """Let writing go on; whether it had been held."""
    with _opened(point) as descriptor:
        try:
            fcntl.ioctl(descriptor, _THAW, 0)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EROFS, errno.EOPNOTSUPP):
                return False
            raise
    return True


def shut_down(point: str) -> None:
    """From now on nothing is written, not even what was accepted; whoever uses it gets I/O errors."""
    with _opened(point) as descriptor:
        fcntl.ioctl(descriptor, _SHUT_DOWN, struct.pack("=I", _WITHOUT_THE_LOG))


def described(file_fd: int) -> Superblock | None:
    """What the open file or device says of the file system on it."""
    return superblock.read(os.pread(file_fd, superblock.READ_BYTES, 0))


def grow_mounted(point: str, node: str, fs_type: str) -> bool:
    """Have what is mounted fill its device; False where the kernel does not let it while it is mounted."""
    command = ["/usr/sbin/xfs_growfs", "-d", point] if fs_type == "xfs" else ["/sbin/resize2fs", node]
    done = _run(command)
    if done.returncode == 0:
        return True
    if fs_type == "ext4":
        return False
    raise errors.Failed(f"the file system at {point} did not grow: {_last_words(done)}")


def grow_unmounted(node: str) -> None:
    """Have an ext4 that is not mounted fill its device."""
    checked = _run(["/sbin/e2fsck", "-f", "-p", node])
    if checked.returncode not in (0, _MENDED):
        raise errors.Failed(f"the file system on {node} is damaged and cannot grow: {_last_words(checked)}")
    grown = _run(["/sbin/resize2fs", node])
    if grown.returncode != 0:
        raise errors.Failed(f"the file system on {node} did not grow: {_last_words(grown)}")


@contextmanager
def _opened(point: str) -> Iterator[int]:
    descriptor = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TOOL_SECONDS)
    raise errors.Failed(f"{command[0]} took longer than {_TOOL_SECONDS} s and was ended")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1][-200:] if lines else f"status {done.returncode}"
