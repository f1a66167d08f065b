# SPDX-License-Identifier: Apache-2.0
"""What may be copied into and out of a container: paths, plain tars, and what of volumes is meant.

A volume is entered only when a path in it is named: copying / leaves out what lies in /data, and
cannot write there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable
from typing import Protocol

from zun_lite.domain import errors, tar

MAX_BYTES = 16 * 1024 * 1024
MAX_PATH_BYTES = 4096
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x5d\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x1f\x9d": "compress",
}
# behind a first byte of 0x50 to 0x5f: a frame that zstd passes over, which may well be a tar
_ZSTD_SKIPPED = b"\x2a\x4d\x18"


def checked_path(path: object) -> str:
    """The absolute, normalised form of a path in a container. Invalid: not absolute, too long, or no path."""
    if not isinstance(path, str) or not path.startswith("/"):
        raise errors.Invalid("path must be given, and absolute: like /etc/hosts.")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise errors.Invalid("path must not hold control characters.")
    try:
        length = len(path.encode())
    except UnicodeEncodeError as error:
        raise errors.Invalid("path must be text that can be written as UTF-8.") from error
    if length > MAX_PATH_BYTES:
        raise errors.Invalid(f"path must not be longer than {MAX_PATH_BYTES} bytes.")
    return "/" + posixpath.normpath(path).lstrip("/")


def compression(content: bytes) -> str | None:
    """By what an archive is compressed, as its first bytes say."""
    if content[1:4] == _ZSTD_SKIPPED and content[0] & 0xF0 == 0x50:
        return "zstd"
    return next((name for magic, name in _MAGIC.items() if content.startswith(magic)), None)


def outside(path: str, mounts: Iterable[str]) -> list[str]:
    """Of where volumes are mounted, what lies under a path and is not named by it."""
    return [mount for mount in mounts if not _within(path, mount) and _within(mount, path)]


def hidden(path: str, mounts: Iterable[str]) -> Callable[[str], bool]:
    """Whether a member of the archive that was made of path lies in a volume that was not named."""
    left_out = outside(path, mounts)
    top = posixpath.basename(path)

    def is_hidden(name: str) -> bool:
        inner = posixpath.normpath("/" + name).lstrip("/")
        if top and (inner == top or inner.startswith(f"{top}/")):
            inner = inner[len(top) :].lstrip("/")
        full = posixpath.join(path, inner)
        return any(full != mount and _within(full, mount) for mount in left_out)

    return is_hidden


def check_content(content: bytes, path: str, mounts: Iterable[str]) -> None:
    """Invalid unless content is a plain tar that may be unpacked at path."""
    if len(content) > MAX_BYTES:
        raise errors.Invalid(f"The archive is larger than {MAX_BYTES} bytes; copy less at a time.")
    if compression(content):
        raise errors.Invalid("The archive is compressed; send a plain tar.")
    left_out = outside(path, mounts)
    for entry in tar.entries(content):
        _check_entry(entry, path, left_out)


def check_stream(source: Source, path: str, mounts: Iterable[str]) -> None:
    """Invalid unless what can be read from source, of any size, is a plain tar that may be unpacked at path."""
    left_out = outside(path, mounts)
    reading = _Reading(source)
    for entry in tar.walk(reading.read, reading.skip):
        _check_entry(entry, path, left_out)


class Source(Protocol):
    """An archive that lies somewhere."""

    def take(self) -> bytes:
        """The next piece; no bytes at the end."""
        ...

    def skip(self, count: int) -> bool:
        """Pass over bytes; whether there were as many."""
        ...


class _Reading:
    """So many bytes at a time, of a source that gives pieces of its own size."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held = b""
        self._at = 0

    def read(self, count: int) -> bytes:
        if self._at == len(self._held):
            self._held, self._at = self._source.take(), 0
        piece = self._held[self._at : self._at + count]
        self._at += len(piece)
        return piece

    def skip(self, count: int) -> bool:
        held = min(count, len(self._held) - self._at)
        self._at += held
        return count == held or self._source.skip(count - held)


def _check_entry(entry: tar.Entry, path: str, left_out: list[str]) -> None:
    if entry.kind in (tar.CHARACTER_DEVICE, tar.BLOCK_DEVICE):
        raise errors.Invalid(f"The archive holds a device, {entry.name!r}; leave it out.")
    if ".." in entry.name.split("/") or (entry.kind == tar.HARD_LINK and ".." in entry.target.split("/")):
        raise errors.Invalid(f"The archive names {entry.name!r}, which leads out of its own folder.")
    full = posixpath.normpath(posixpath.join(path, entry.name.lstrip("/")))
    for mount in left_out:
        if _within(full, mount) and not (full == mount and entry.kind == tar.FOLDER):
            raise errors.Invalid(f"{full} lies in the volume at {mount}; name a path in that volume to write there.")


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
