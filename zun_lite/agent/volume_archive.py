# SPDX-License-Identifier: Apache-2.0
"""A volume as one file that can be kept elsewhere: what was written in it, where it was, and a checksum over all.

    magic         b"zun-lite volume 1\n"
    header        4 bytes of length, then JSON: {"size_bytes", "fs_type", "name", "volume_id", "taken_at"}
    pieces        16 bytes of begin and length, then so many bytes; holes are left out; an empty one ends them
    checksum      32 bytes, SHA-256 of everything before

Numbers are unsigned, the most significant byte first. Knows nothing of pools or records.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO

from zun_lite.agent.filecopy import written
from zun_lite.domain import errors
from zun_lite.domain.stored import read

MAGIC = b"zun-lite volume 1\n"
_LENGTH, _PIECE = struct.Struct(">I"), struct.Struct(">QQ")
_MOST_HEADER_BYTES = 65536
_PIECE_BYTES = 4 * 1024**2
_NOT_ONE = "{path} is no exported volume, or it is damaged: {what}."


@dataclass(frozen=True)
class Header:
    """What an archive says of its volume. taken_at: ISO 8601, UTC."""

    size_bytes: int
    fs_type: str
    name: str = ""
    volume_id: str = ""
    taken_at: str = ""


def write(source_fd: int, header: Header, target: BinaryIO) -> int:
    """Write the archive of an open file that does not change; how many bytes of data are in it."""
    digest = hashlib.sha256()
    amount = 0

    def put(block: bytes) -> None:
        digest.update(block)
        target.write(block)

    about = json.dumps(asdict(header)).encode()
    put(MAGIC + _LENGTH.pack(len(about)) + about)
    for begin, end in _pieces(source_fd):
        block = os.pread(source_fd, end - begin, begin)
        if len(block) != end - begin:
            raise errors.Failed("The volume's file became shorter while it was read.")
        put(_PIECE.pack(begin, len(block)))
        put(block)
        amount += len(block)
    put(_PIECE.pack(0, 0))
    target.write(digest.digest())
    return amount


def check(path: str) -> tuple[Header, int]:
    """What is in the archive, and how many bytes of data, after its checksum was found to be right.

    Invalid: it is none, or it is damaged or cut off.
    """
    with _opened(path) as archive:
        reader = _Reader(path, archive)
        header = reader.header()
        return header, sum(len(block) for _, block in reader.pieces(header.size_bytes))


def unpack(path: str, target_fd: int) -> None:
    """Fill an empty file that is as large as the volume. Invalid: see check()."""
    with _opened(path) as archive:
        reader = _Reader(path, archive)
        header = reader.header()
        for begin, block in reader.pieces(header.size_bytes):
            done = 0
            while done < len(block):
                done += os.pwrite(target_fd, block[done:], begin + done)


class _Reader:
    """Reads an archive from its beginning to its end, once."""

    def __init__(self, path: str, archive: BinaryIO) -> None:
        self._path = path
        self._archive = archive
        self._digest = hashlib.sha256()

    def header(self) -> Header:
        if self._take(len(MAGIC)) != MAGIC:
            raise self._refusal("it does not begin like one")
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > _MOST_HEADER_BYTES:
            raise self._refusal("its header is too long")
        try:
            header = read(Header, json.loads(self._take(length)))
        except (ValueError, TypeError, KeyError) as error:
            raise self._refusal("its header cannot be read") from error
        if not isinstance(header.size_bytes, int) or header.size_bytes <= 0:
            raise self._refusal("its volume has no size")
        return header

    def pieces(self, size_bytes: int) -> Iterator[tuple[int, bytes]]:
        """(begin, bytes) in order; the last one was read once the checksum is right."""
        before = 0
        while True:
            begin, length = _PIECE.unpack(self._take(_PIECE.size))
            if not length:
                break
            if begin < before or length > _PIECE_BYTES or begin + length > size_bytes:
                raise self._refusal("its parts are not in order")
            yield begin, self._take(length)
            before = begin + length
        found = self._digest.digest()
        if self._archive.read(len(found)) != found:
            raise self._refusal("its checksum is another one")
        if self._archive.read(1):
            raise self._refusal("something follows its end")

    def _take(self, amount: int) -> bytes:
        block = self._archive.read(amount)
        if len(block) != amount:
            raise self._refusal("it is cut off")
        self._digest.update(block)
        return block

    def _refusal(self, what: str) -> errors.Invalid:
        return errors.Invalid(_NOT_ONE.format(path=self._path, what=what))


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise errors.NotFound(f"{path} cannot be read: {error.strerror}.") from error


def _pieces(file_fd: int) -> Iterator[tuple[int, int]]:
    for begin, end in written(file_fd):
        for at in range(begin, end, _PIECE_BYTES):
            yield at, min(at + _PIECE_BYTES, end)
