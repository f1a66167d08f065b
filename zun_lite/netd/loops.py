# SPDX-License-Identifier: Apache-2.0
"""Loop devices: which one stands on a file, make one, free one.

A device is known by its file's inode, so that a file renamed while attached is still found. Those
made here free themselves when nothing holds them any more, so that a killed netd leaves none. They bear the
id of the host that made them, and hold the lock that their file's descriptor had.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

_CLEAR, _STATUS, _CAPACITY, _CONFIGURE, _GET_FREE = 0x4C01, 0x4C05, 0x4C07, 0x4C0A, 0x4C82
_READ_ONLY, _FREE_ITSELF, _DIRECT_IO = 1, 4, 16
_STATUS_FORMAT = "=5Q4I64s64s32s2Q"
_ATTEMPTS = 64
_OWNER = "zl:"


@dataclass(frozen=True)
class Loop:
    """A device in use: its node, the file it stands on by device number and inode, and by name.

    owner: the id of the host whose netd made it; empty for one that something else made.
    """

    node: str
    file_device: int
    file_inode: int
    file_name: str
    read_only: bool
    owner: str = ""


def in_use() -> list[Loop]:
    found = []
    for name in os.listdir("/sys/block"):
        if not re.fullmatch(r"loop\d+", name):
            continue
        try:
            with open(f"/sys/block/{name}/loop/backing_file") as backing:
                file_name = backing.read().rstrip("\n")
            found.append(_status(f"/dev/{name}", file_name))
        except OSError:
            continue
    return found


def on_file(file: os.stat_result, owner: str | None = None) -> Loop | None:
    """The device that stands on this very file, if any; owner: those of other hosts are passed over."""
    for loop in in_use():
        if (loop.file_device, loop.file_inode) == (file.st_dev, file.st_ino):
            if owner is None or loop.owner in ("", owner):
                return loop
    return None


@contextmanager
def made(file_fd: int, file_name: str, read_only: bool, owner: str = "", sector_bytes: int = 512) -> Iterator[str]:
    """A new device on the open file; it goes at the end of the block unless something mounted it.

    sector_bytes: what the file system counts with; the kernel would choose larger ones for a file that shares
    extents with another, and then not mount what is made for smaller ones.
    """
    for _ in range(_ATTEMPTS):
        node = f"/dev/loop{_free_number()}"
        device_fd = os.open(node, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
        try:
            _configure(device_fd, file_fd, file_name, read_only, owner, sector_bytes)
        except OSError as error:
            os.close(device_fd)
            if error.errno == errno.EBUSY:
                continue
            raise
        # some kernels mount no device that is open for writing
        holding_fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
        os.close(device_fd)
        try:
            yield node
        finally:
            os.close(holding_fd)
        return
    raise errors.Failed("no loop device is free; other programs take them as fast as we ask")


def free(node: str) -> None:
    """Free a device now, or when what holds it lets go; fine if it is free already."""
    with contextlib.suppress(FileNotFoundError):
        device_fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device_fd, _CLEAR)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        finally:
            os.close(device_fd)


def follow_size(node: str) -> None:
    """Have the device be as large as its file is now."""
    device_fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device_fd, _CAPACITY)
    finally:
        os.close(device_fd)


def is_gone(file: os.stat_result, timeout_seconds: float, owner: str | None = None) -> bool:
    """Whether no device stands on the file, waiting a little for one that is about to go."""
    deadline = time.monotonic() + timeout_seconds
    while on_file(file, owner) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _free_number() -> int:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        return fcntl.ioctl(control, _GET_FREE)
    finally:
        os.close(control)


def _configure(device_fd: int, file_fd: int, file_name: str, read_only: bool, owner: str, sector_bytes: int) -> None:
    flags = _FREE_ITSELF | (_READ_ONLY if read_only else 0)
    # the kernel shows the file's own name elsewhere; this field is free for a word of ours
    name = os.fsencode(f"{_OWNER}{owner}" if owner else file_name)[:63]
    for wanted in (flags | _DIRECT_IO, flags):
        status = struct.pack(_STATUS_FORMAT, 0, 0, 0, 0, 0, 0, 0, 0, wanted, name, b"", b"", 0, 0)
        try:
            fcntl.ioctl(device_fd, _CONFIGURE, struct.pack("=2I", file_fd, sector_bytes) + status + bytes(64))
            break
        except OSError as error:
            # some file systems refuse direct I/O by failing rather than by leaving it out
            if error.errno != errno.EINVAL or not wanted & _DIRECT_IO:
                raise
    # others leave it out without a word
    if not _flags(device_fd) & _DIRECT_IO:
        LOG.warning("%s goes through the page cache: its file system has no direct I/O", file_name)


def _flags(device_fd: int) -> int:
    return struct.unpack(_STATUS_FORMAT, fcntl.ioctl(device_fd, _STATUS, bytes(struct.calcsize(_STATUS_FORMAT))))[8]


def _status(node: str, file_name: str) -> Loop:
    device_fd = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(device_fd, _STATUS, bytes(struct.calcsize(_STATUS_FORMAT)))
    finally:
        os.close(device_fd)
    fields = struct.unpack(_STATUS_FORMAT, answer)
    device, inode, flags = fields[0], fields[1], fields[8]
    # the kernel packs a device number its own way: 8 low bits of minor, 12 of major, the rest of minor
    minor = (device & 0xFF) | ((device >> 12) & ~0xFF)
    name = fields[9].rstrip(b"\0").decode("utf-8", "replace")
    owner = name.removeprefix(_OWNER) if name.startswith(_OWNER) else ""
    return Loop(node, os.makedev((device >> 8) & 0xFFF, minor), inode, file_name, bool(flags & _READ_ONLY), owner)
