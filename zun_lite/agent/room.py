# SPDX-License-Identifier: Apache-2.0
"""How much of a volume pool can still be promised.

Volumes are thin: one promises its whole size and takes up what was written. So that a pool does not run full
under those who were promised room, what is promised may be at most overcommit times what the pool could
hold, and nothing more is promised while less than the reserve is free. A snapshot promises what its volume took
up, since the volume may come to differ from it in all of that.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zun_lite.domain import errors

GIB = 1024**3


class Room:
    """Of one pool, for one agent."""

    def __init__(self, pool_dir: Path, overcommit: float, reserve_gib: float) -> None:
        self._dir = pool_dir
        self._overcommit = overcommit
        self._reserve_bytes = int(reserve_gib * GIB)
        self._promising = threading.Lock()

    def left_bytes(self) -> int:
        """What can still be promised; negative where too much is already."""
        found = _file_system(self._dir)
        free = found.f_bavail * found.f_frsize
        promised, used = self._promised()
        # what copies share is counted for each of them, so that files may seem to use more than there is
        capacity = min(found.f_blocks * found.f_frsize, free + used)
        if free <= self._reserve_bytes:
            return min(0, free - self._reserve_bytes)
        return int((capacity - self._reserve_bytes) * self._overcommit) - promised

    def require(self, wanted_bytes: int) -> None:
        """Failed where so many bytes cannot be written now without going below the reserve."""
        found = _file_system(self._dir)
        free = found.f_bavail * found.f_frsize - self._reserve_bytes
        if wanted_bytes > free:
            raise errors.Failed(
                f"A copy needs {_gib(wanted_bytes)} GiB and the host's pool has {_gib(free)} GiB free; "
                "delete volumes or snapshots there."
            )

    @contextmanager
    def taken(self, wanted_bytes: int, failure: str) -> Iterator[None]:
        """While the block makes the promise visible, nobody else promises; Failed where there is not so much room."""
        with self._promising:
            left = self.left_bytes()
            if wanted_bytes > left:
                raise errors.Failed(
                    f"{failure}: insufficient free space, the host's pool has {_gib(left)} GiB left to promise. "
                    "Delete volumes or snapshots there, or ask for less."
                )
            yield

    def _promised(self) -> tuple[int, int]:
        """Bytes that the pool's files promise, and that they take up."""
        promised = used = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(self._dir) as entries:
            for entry in entries:
                is_snapshot = ".snap" in entry.name
                if not is_snapshot and ".img" not in entry.name:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    file = entry.stat(follow_symlinks=False)
                    used += file.st_blocks * 512
                    promised += file.st_blocks * 512 if is_snapshot else max(file.st_size, file.st_blocks * 512)
        return promised, used


def _file_system(folder: Path) -> os.statvfs_result:
    while not folder.exists():
        folder = folder.parent
    return os.statvfs(folder)


def _gib(amount: int) -> str:
    return f"{max(0, amount) / GIB:.1f}"
