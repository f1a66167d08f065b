# SPDX-License-Identifier: Apache-2.0
"""A container's processes, from outside the container: end one, hang up on one, what its network carried."""

from __future__ import annotations

import contextlib
import os
import signal


def end_tree(pid: int, container_id: str) -> bool:
    """Kill a process and its descendants; whether it is gone.

    Nothing is killed unless the kernel says that the process belongs to the container, for a
    number may have been given to another process meanwhile.
    """
    if not belongs_to(pid, container_id):
        return True
    try:
        for member in [*reversed(_descendants(pid)), pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member, signal.SIGKILL)
    except PermissionError:
        return False
    return True


def hang_up(pid: int, container_id: str) -> None:
    """Tell a process that its terminal is gone, as a terminal that closes does."""
    if belongs_to(pid, container_id):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGHUP)


def traffic(pid: int) -> tuple[int, int]:
    """Bytes received and sent by the links, but the loopback, of a process's network namespace."""
    received = sent = 0
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as stream:
            for line in stream.readlines()[2:]:
                name, _, counters = line.partition(":")
                if name.strip() != "lo":
                    received += int(counters.split()[0])
                    sent += int(counters.split()[8])
    return received, sent


def belongs_to(pid: int, container_id: str) -> bool:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as stream:
            return container_id in stream.read()
    except OSError:
        return False


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as stream:
                children += [int(text) for text in stream.read().split()]
    return children
