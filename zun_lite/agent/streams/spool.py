# SPDX-License-Identifier: Apache-2.0
"""An archive on its way, in a file without a name: as fast as Docker on one side, as slow as the client on the other.

Docker holds its lock of a container for as long as an archive of it is under way; a slow client must not
hold that. The file takes room on the host's disk while it is used, and none when its program has died.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from types import TracebackType

from zun_lite.domain import errors

# no more than a message to the gateway may hold
PIECE_BYTES = 1024 * 1024
# this much of the disk is left to others
RESERVE_BYTES = 1024**3
_LOOK_EVERY_BYTES = 64 * 1024 * 1024


class Spool:
    """Written by one, read by another, forward. folder: on the disk that is to hold it."""

    def __init__(self, folder: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)
        self._loop = asyncio.get_running_loop()
        self._more = asyncio.Event()
        self._written = 0
        self._read = 0
        self._looked = -_LOOK_EVERY_BYTES
        self._whole = False
        self._closed = False

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._file.close()

    def give_up(self) -> None:
        """Nobody reads any more: the next write fails."""
        self._closed = True

    def write(self, content: bytes) -> None:
        """From any thread. Unavailable: the disk has no more room; Conflict: nobody reads any more."""
        if self._closed:
            raise errors.Conflict("The client left.")
        if self._written - self._looked >= _LOOK_EVERY_BYTES:
            self._looked = self._written
            found = os.fstatvfs(self._file.fileno())
            if found.f_bavail * found.f_frsize < RESERVE_BYTES:
                raise errors.Unavailable("The host has no room for an archive of that size; copy less at a time.")
        try:
            os.pwrite(self._file.fileno(), content, self._written)
        except (OSError, ValueError) as error:
            raise errors.Unavailable("The host could not keep the archive; copy less at a time.") from error
        self._written += len(content)
        self._tell()

    def end(self) -> None:
        """All is written."""
        self._whole = True
        self._tell()

    async def next(self) -> bytes:
        """The next piece; no bytes at the end."""
        while self._read == self._written and not self._whole:
            self._more.clear()
            if self._read == self._written and not self._whole:
                await self._more.wait()
        return self.take()

    def take(self) -> bytes:
        """The next piece of what is written already; no bytes where there is none."""
        piece = os.pread(self._file.fileno(), min(PIECE_BYTES, self._written - self._read), self._read)
        self._read += len(piece)
        return piece

    def skip(self, count: int) -> bool:
        """Pass over bytes that are written already; whether there were as many."""
        self._read += count
        return self._read <= self._written

    def rewind(self) -> None:
        self._read = 0

    def _tell(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._more.set)
