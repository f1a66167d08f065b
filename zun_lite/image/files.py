# SPDX-License-Identifier: Apache-2.0
"""Files of images in one folder: written in constant memory, under a name that nobody else writes to.

A file is whole once it has its final name. Files that no record names come from programs that were
killed in between; sweep() removes them when they are a day old.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from zun_lite.domain import errors
from zun_lite.image.base import Source

BLOCK_BYTES = 256 * 1024
LEFT_OVER_SECONDS = 86400.0
_PART = ".part"


@dataclass(frozen=True)
class Written:
    """A file that is whole, by its name in the folder."""

    location: str
    size_bytes: int
    md5: str
    sha512: str


@dataclass
class OpenFile:
    """A file's bytes, to be read to the end in blocks, or as a file is."""

    size_bytes: int
    md5: str
    sha512: str
    _stream: BinaryIO = field(repr=False)

    def __iter__(self) -> Iterator[bytes]:
        while block := self._stream.read(BLOCK_BYTES):
            yield block

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        self._stream.close()


class ImageFiles:
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._swept_at = float("-inf")

    def write(self, source: Source, size_bytes: int | None, most_bytes: int) -> Written:
        """Take source to its end. Invalid: it is too large, or not as long as it was said to be."""
        if size_bytes is not None and size_bytes > most_bytes:
            raise too_large(most_bytes)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        location = uuid.uuid4().hex
        staged = self._folder / f"{location}{_PART}"
        try:
            with open(os.open(staged, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
                written = _copy(source, stream, location, most_bytes)
                if size_bytes is not None and written.size_bytes != size_bytes:
                    raise errors.Invalid(
                        f"{written.size_bytes} bytes came, {size_bytes} were announced; send it again."
                    )
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(staged, self._folder / location)
            # a record that is committed after this must find the name, power cut or not
            _sync_folder(self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                staged.unlink()
            raise
        return written

    def open(self, location: str) -> BinaryIO:
        """NotFound: there is no such file."""
        try:
            return (self._folder / location).open("rb")
        except FileNotFoundError as error:
            raise errors.NotFound("The image's bytes are gone from the image service's folder.") from error

    def remove(self, location: str | None) -> None:
        if location:
            (self._folder / location).unlink(missing_ok=True)

    def is_time_to_sweep(self) -> bool:
        """Once an hour."""
        now = time.monotonic()
        if now - self._swept_at < 3600.0:
            return False
        self._swept_at = now
        return True

    def sweep(self, named: Collection[str]) -> None:
        """Remove old files that no record names."""
        edge = time.time() - LEFT_OVER_SECONDS
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.name not in named and path.stat().st_mtime < edge:
                    path.unlink(missing_ok=True)


def _copy(source: Source, target: BinaryIO, location: str, most_bytes: int) -> Written:
    md5, sha512, size = hashlib.md5(usedforsecurity=False), hashlib.sha512(), 0
    while block := source.read(BLOCK_BYTES):
        size += len(block)
        if size > most_bytes:
            raise too_large(most_bytes)
        md5.update(block)
        sha512.update(block)
        target.write(block)
    return Written(location, size, md5.hexdigest(), sha512.hexdigest())


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def too_large(most_bytes: int) -> errors.TooLarge:
    return errors.TooLarge(f"The image is larger than the {most_bytes} bytes that may still come; remove other images.")
