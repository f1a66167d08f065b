# SPDX-License-Identifier: Apache-2.0
"""What looking into a container needs of an engine, in the agent's own words.

Containers are named by their workload's uuid. NotFound: it is not on this host. Conflict: its state
does not allow it. Nothing here changes what a container is, and the reconciler knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Source(Protocol):
    """A whole archive that can be read twice, forward."""

    def take(self) -> bytes:
        """The next piece; no bytes at the end."""
        ...

    def skip(self, count: int) -> bool:
        """Pass over bytes; whether there were as many."""
        ...

    def rewind(self) -> None: ...


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

    async def end_input(self) -> None:
        """Its stdin ends; what it says is still read."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class LogOptions:
    """Which lines of a log. since: seconds since 1970, 0 for all; tail: how many of the last, None for all."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    follow: bool = False
    since: float = 0.0
    tail: int | None = None


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

    def exec_outcome(self, uuid: str, exec_id: str) -> int | None:
        """The exit code of an exec's process that has ended; None: it runs, or nobody knows."""
        ...

    def outcome(self, uuid: str) -> int | None:
        """The exit code of a container that has ended; None: it runs, or is gone."""
        ...

    def read_archive(
        self, uuid: str, path: str, told: Callable[[dict[str, Any]], None], give: Callable[[bytes], None]
    ) -> None:
        """A plain tar of a path of any size: what is known of the path is told first, then pieces are given."""
        ...

    def write_archive(self, uuid: str, path: str, source: Source) -> None:
        """Unpack a plain tar of any size. Invalid: it may not be unpacked there, and nothing of it is."""
        ...

    async def follow_logs(self, uuid: str, options: LogOptions) -> Duplex:
        """What a log says, and goes on saying until the container ends; nothing can be written."""
        ...

    async def open_port(self, uuid: str, port: int) -> Duplex:
        """A TCP connection to a port of the container, made in it. Conflict: nobody listens there."""
        ...

    async def attach(self, uuid: str) -> Duplex: ...

    async def start_exec(self, uuid: str, exec_id: str) -> Duplex:
        """Conflict: it was started before."""
        ...
