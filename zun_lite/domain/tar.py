# SPDX-License-Identifier: Apache-2.0
"""Walks through a tar without unpacking it: who is in it, and how to leave some out.

Reads what tenants made, so it goes forward only, holds no more than one header at a time, and
refuses what another reader might understand in another way (sparse files, a size below zero).
Knows the old, ustar, GNU and pax forms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from zun_lite.domain import errors

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024
END = b"\0" * (2 * BLOCK_BYTES)

FILE, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO = "0", "1", "2", "3", "4", "5", "6"
_WITHOUT_BODY = frozenset((HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, FOLDER, FIFO))
_FILES = frozenset(("0", "\0", "7"))

Read = Callable[[int], bytes]


@dataclass(frozen=True)
class Entry:
    """One member. kind: one of the constants above. header: all blocks that stand before its body_bytes."""

    name: str
    kind: str
    target: str
    body_bytes: int
    header: bytes

    @property
    def padded_bytes(self) -> int:
        return _padded(self.body_bytes)


def entries(content: bytes) -> Iterator[Entry]:
    """The members of a whole tar. Invalid: it is none, or one that cannot be understood for certain."""
    source = _Source(content)
    return walk(source.read, source.skip)


def walk(read: Read, skip: Callable[[int], bool]) -> Iterator[Entry]:
    """Likewise of a tar that is elsewhere. skip: passes over bytes, and says whether there were as many."""
    while (entry := _next(read)) is not None:
        yield entry
        if not skip(entry.padded_bytes):
            raise errors.Invalid("The archive ends in the middle of a file.")


def without(read: Read, hidden: Callable[[str], bool], skipped: Callable[[int], None]) -> Iterator[bytes]:
    """A tar, in pieces, without the members whose name is hidden. skipped: is told bytes that were read in vain."""
    while (entry := _next(read)) is not None:
        keep = not hidden(entry.name)
        if keep:
            yield entry.header
        left = entry.padded_bytes
        while left:
            chunk = read(min(left, CHUNK_BYTES))
            if not chunk:
                raise errors.Failed("The archive ended in the middle of a file.")
            left -= len(chunk)
            if keep:
                yield chunk
            else:
                skipped(len(chunk))
    yield END


class _Source:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int) -> bytes:
        piece = self._content[self._at : self._at + count]
        self._at += count
        return piece

    def skip(self, count: int) -> bool:
        self._at += count
        return self._at <= len(self._content)


def _next(read: Read) -> Entry | None:
    """The next member, its extensions applied; None at the end."""
    header: list[bytes] = []
    said: dict[str, str] = {}
    extended: set[str] = set()
    while True:
        block = _exactly(read, BLOCK_BYTES)
        if not block or not block.strip(b"\0"):
            if header:
                raise errors.Invalid("The archive ends where a file should be.")
            return None
        _check(block)
        header.append(block)
        kind, size = chr(block[156]), _number(block[124:136])
        if kind not in "xgLK":
            return _entry(block, kind, size, said, b"".join(header))
        if size > MAX_EXTENSION_BYTES:
            raise errors.Invalid("A header in the archive is too long.")
        body = _exactly(read, _padded(size))
        header.append(body)
        more = _extension(kind, body[:size])
        if kind == "g":
            _check_global(more)
            continue
        # Of several, readers differ in which counts.
        if kind in extended or "x" in extended or (kind == "x" and extended):
            raise errors.Invalid("A file in the archive has its name in several extended headers.")
        extended.add(kind)
        said.update(more)


def _entry(block: bytes, kind: str, size: int, said: dict[str, str], header: bytes) -> Entry:
    name = said.get("path") or _plain_name(block)
    if kind not in _WITHOUT_BODY and kind not in _FILES:
        raise errors.Invalid(f"The archive holds {name!r}, which is neither a file, a folder nor a link.")
    if "size" in said:
        if not said["size"].isascii() or not said["size"].isdigit():
            raise errors.Invalid("A file in the archive has no size that is a number.")
        size = int(said["size"])
    shown = FILE if kind in _FILES else kind
    if kind == "\0" and name.endswith("/"):
        # as the oldest tars write a folder, which has no body whatever its size says
        shown = FOLDER
    target = said.get("linkpath") or _text(block[157:257])
    return Entry(name, shown, target, 0 if shown in _WITHOUT_BODY else size, header)


def _plain_name(block: bytes) -> str:
    if block[257:265] == b"ustar  \0":
        # times here, or Docker takes it for a prefix of the name
        _number(block[345:357])
        _number(block[357:369])
    # star keeps times behind a shorter prefix
    name, prefix = _text(block[0:100]), _text(block[345 : 476 if block[508:512] == b"tar\0" else 500])
    return f"{prefix}/{name}" if prefix and block[257:263] == b"ustar\0" else name


def _check_global(records: dict[str, str]) -> None:
    """Invalid: some readers give its name or size to every file that follows, and Docker to none."""
    if records.keys() & {"path", "linkpath", "size"}:
        raise errors.Invalid("A global header in the archive names a file or a size; make it without.")


def _extension(kind: str, body: bytes) -> dict[str, str]:
    if kind in "LK":
        return {"path" if kind == "L" else "linkpath": _text(body)}
    records: dict[str, str] = {}
    while body:
        length, _, rest = body.partition(b" ")
        if not length.isdigit() or len(length) > 7 or not len(length) + 1 < int(length) <= len(body):
            raise errors.Invalid("A header in the archive cannot be read.")
        key, _, value = rest[: int(length) - len(length) - 2].partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise errors.Invalid("The archive holds a sparse file; make it without --sparse.")
        records[key.decode(errors="surrogateescape")] = value.decode(errors="surrogateescape")
        body = body[int(length) :]
    return records


def _check(block: bytes) -> None:
    """Invalid unless the block's sum is right: then it is a header, by all likelihood."""
    said = block[148:156].strip(b" \0")
    total = sum(block) - sum(block[148:156]) + 8 * 32
    try:
        right = int(said, 8) == total
    except ValueError:
        right = False
    if len(block) != BLOCK_BYTES or not right:
        raise errors.Invalid("The archive is not a tar; send a plain, uncompressed one.")


def _number(field: bytes) -> int:
    """Octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        if field[0] == 0xFF:
            raise errors.Invalid("A file in the archive has a size below zero.")
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    text = field.strip(b" \0").split(b"\0", 1)[0]
    try:
        number = int(text or b"0", 8)
    except ValueError as error:
        raise errors.Invalid("A header in the archive has no number where one belongs.") from error
    if number < 0:
        raise errors.Invalid("A file in the archive has a size below zero.")
    return number


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="surrogateescape")


def _padded(count: int) -> int:
    return (count + BLOCK_BYTES - 1) // BLOCK_BYTES * BLOCK_BYTES


def _exactly(read: Read, count: int) -> bytes:
    """So many bytes, none at the end of the source. Invalid: some, but not enough."""
    pieces: list[bytes] = []
    left = count
    while left:
        piece = read(left)
        if not piece:
            break
        pieces.append(piece)
        left -= len(piece)
    if left and left != count:
        raise errors.Invalid("The archive is cut off.")
    return b"".join(pieces)
