# SPDX-License-Identifier: Apache-2.0
"""What the first bytes of a volume's file say of its file system: which it is, how large, and its id.

Pure. They are the file system's own account as it was last written back: of one that is mounted, or was not
unmounted in order, the size may lag behind.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

READ_BYTES = 2048
_EXT_AT = 1024
_EXT_64BIT = 0x80


@dataclass(frozen=True)
class Superblock:
    """fs_type is xfs or ext4; fs_id its 16 bytes; sector_bytes: the least that it reads or writes at once."""

    fs_type: str
    size_bytes: int
    fs_id: bytes
    sector_bytes: int


def read(start: bytes) -> Superblock | None:
    """What READ_BYTES from a file's beginning tell; None where there is neither an xfs nor an ext4."""
    if len(start) < READ_BYTES:
        return None
    if start.startswith(b"XFSB"):
        block_bytes, blocks = struct.unpack_from(">IQ", start, 4)
        (sector_bytes,) = struct.unpack_from(">H", start, 102)
        return Superblock("xfs", block_bytes * blocks, start[32:48], sector_bytes)
    if start[_EXT_AT + 56 : _EXT_AT + 58] == b"\x53\xef":
        return _ext4(start[_EXT_AT:])
    return None


def _ext4(block: bytes) -> Superblock:
    (blocks,) = struct.unpack_from("<I", block, 4)
    (shift,) = struct.unpack_from("<I", block, 24)
    (features,) = struct.unpack_from("<I", block, 96)
    if features & _EXT_64BIT:
        blocks |= struct.unpack_from("<I", block, 0x150)[0] << 32
    block_bytes = 1024 << min(shift, 6)
    return Superblock("ext4", blocks * block_bytes, block[104:120], block_bytes)
