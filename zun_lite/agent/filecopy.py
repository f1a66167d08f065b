# SPDX-License-Identifier: Apache-2.0
"""A copy of a sparse file: of its extents where the file system can share them, else of what was written in it."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator

SHARED, COPIED = "sharing what they have in common", "copied"
_CLONE = 0x40049409
_CANNOT_SHARE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)
_CANNOT_COPY_IN_KERNEL = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOSYS)
_PIECE_BYTES = 16 * 1024**2


def copy(source_fd: int, target_fd: int, size_bytes: int, require: Callable[[int], None]) -> str:
    """Fill the empty target, of size_bytes at least as many as the source's; SHARED or COPIED.

    require: refuses where so many bytes more would be too many. Holes stay holes.
    """
    try:
        fcntl.ioctl(target_fd, _CLONE, source_fd)
        how = SHARED
    except OSError as error:
        if error.errno not in _CANNOT_SHARE:
            raise
        require(os.fstat(source_fd).st_blocks * 512)
        for begin, end in written(source_fd):
            _copy_range(source_fd, target_fd, begin, end)
        how = COPIED
    os.ftruncate(target_fd, size_bytes)
    return how


def written(file_fd: int) -> Iterator[tuple[int, int]]:
    """From where to where there is data."""
    end = 0
    while True:
        try:
            begin = os.lseek(file_fd, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(file_fd, begin, os.SEEK_HOLE)
        yield begin, end


def _copy_range(source_fd: int, target_fd: int, begin: int, end: int) -> None:
    at = begin
    in_kernel = True
    while at < end:
        most = min(end - at, _PIECE_BYTES)
        if in_kernel:
            try:
                done = os.copy_file_range(source_fd, target_fd, most, at, at)
            except OSError as error:
                if error.errno not in _CANNOT_COPY_IN_KERNEL:
                    raise
                in_kernel = False
                continue
        else:
            done = os.pwrite(target_fd, os.pread(source_fd, most, at), at)
        if not done:
            raise OSError(errno.EIO, "the file became shorter while it was copied")
        at += done
