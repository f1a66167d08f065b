# SPDX-License-Identifier: Apache-2.0
"""The system calls that Python lacks: mount, umount, unshare, setns. Each raises OSError as os does."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from typing import Any

CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NODEV, MS_BIND, MS_REC, MS_SHARED = 0x1, 0x4, 0x1000, 0x4000, 0x100000
MNT_DETACH, UMOUNT_NOFOLLOW = 0x2, 0x8


@lru_cache(maxsize=1)
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, about: str, *arguments: Any) -> None:
    if getattr(_libc(), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)


def mount(source: str, target: str, fs_type: str | None, flags: int, options: str = "") -> None:
    fs = fs_type.encode() if fs_type else None
    _call("mount", target, source.encode(), target.encode(), fs, ctypes.c_ulong(flags), options.encode() or None)


def unmount(target: str, flags: int = 0) -> None:
    _call("umount2", target, target.encode(), flags | UMOUNT_NOFOLLOW)


def leave_network_namespace() -> None:
    """Give the calling thread a new, empty network namespace."""
    _call("unshare", "network namespace", CLONE_NEWNET)


def enter_network_namespace(namespace_fd: int) -> None:
    """Move the calling thread, and no other, into a network namespace."""
    _call("setns", "network namespace", namespace_fd, CLONE_NEWNET)
