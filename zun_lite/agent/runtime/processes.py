# SPDX-License-Identifier: Apache-2.0
"""Ends a process in a container, with all that it started, from outside the container."""

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
