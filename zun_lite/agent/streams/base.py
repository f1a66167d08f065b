# SPDX-License-Identifier: Apache-2.0
"""What looking into a container needs of an engine, in the agent's own words.

Containers are named by their workload's uuid. NotFound: it is not on this host. Conflict: its state
does not allow it. Nothing here changes what a container is, and the reconciler knows nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Processes:
    """A table of what runs in a container."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Usage:
    """What a container uses now. cpu_percent: of one CPU. Counters of bytes are since its start."""

    cpu_percent: float
    memory_bytes: int
    memory_limit_bytes: int
    disk_read_bytes: int
    disk_written_bytes: int
    network_received_bytes: int
    network_sent_bytes: int


@dataclass(frozen=True)
class Archive:
    """A plain tar of a path, and what the engine says of that path: name, size, mode, mtime, linkTarget."""

    content: bytes
    stat: dict[str, Any]


class Duplex(Protocol):
    """A process's terminal, or its three streams in one."""

    async def read(self) -> tuple[int, bytes]:
        """Which stream (0 where it is one terminal) and some bytes of it; no bytes at the end."""
        ...

    async def write(self, content: bytes) -> None:
        """To its stdin; returns when it may take more."""
        ...

    async def close(self) -> None: ...


class Streams(Protocol):
    """Blocks, but for the two that open a Duplex. Invalid: what was asked for cannot be right."""

    def top(self, uuid: str, ps_args: str | None) -> Processes: ...

    def stats(self, uuid: str) -> Usage: ...

    def get_archive(self, uuid: str, path: str) -> Archive: ...

    def put_archive(self, uuid: str, path: str, content: bytes) -> None: ...

    def resize(self, uuid: str, height: int, width: int) -> None: ...

    def create_exec(self, uuid: str, command: list[str], terminal: bool) -> str:
        """The id of an exec that waits to be started."""
        ...

    def resize_exec(self, uuid: str, exec_id: str, height: int, width: int) -> None: ...

    def hang_up_exec(self, uuid: str, exec_id: str) -> None:
        """Tell an exec's process that its terminal is gone; no error if it ended."""
        ...

    async def attach(self, uuid: str) -> Duplex: ...

    async def start_exec(self, uuid: str, exec_id: str) -> Duplex:
        """Conflict: it was started before."""
        ...
