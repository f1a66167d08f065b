# SPDX-License-Identifier: Apache-2.0
"""What /proc says of a process. A pid alone names nothing for long: with the start time it does."""

from __future__ import annotations

import os
import resource
import time


def started_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is no such process or it is dead."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def is_same(pid: int, ticks: int) -> bool:
    """Whether the process that was noted is still there, and not another one with its number."""
    return started_ticks(pid) == ticks


def command_line(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().decode(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            parents[int(entry)] = int(fields[1])
    found = [pid]
    for member in found:
        found.extend(child for child, parent in parents.items() if parent == member)
    return found


def memory_kib(pid: int) -> int:
    """Proportional memory (PSS) of one process; 0 when it cannot be told."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as stream:
            return next(int(line.split()[1]) for line in stream if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0


def wait_gone(pid: int, ticks: int, timeout_seconds: float) -> bool:
    """Wait for a process that is not ours to reap."""
    deadline = time.monotonic() + timeout_seconds
    while is_same(pid, ticks):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def raise_open_files() -> None:
    """Let this process hold as many open files as the kernel allows it: a stream takes one or two."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the state on; the name before it may hold blanks and brackets."""
    try:
        with open(f"/proc/{pid}/stat") as stream:
            return stream.read().rpartition(")")[2].split()
    except OSError:
        return None
