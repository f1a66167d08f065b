# SPDX-License-Identifier: Apache-2.0
"""What is mounted where, here and in other mount namespaces, and who keeps it busy."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """One line of a mountinfo file. device is "major:minor".

    shared, master: the groups of mounts that it tells of what is unmounted, and that tell it.
    """

    device: str
    point: str
    read_only: bool
    fs_type: str
    source: str
    shared: str | None = None
    master: str | None = None


def here() -> list[Mount]:
    """Every mount that this program sees, upper ones last."""
    return _read("/proc/self/mountinfo")


def at(point: str) -> Mount | None:
    """The uppermost mount at exactly this path."""
    found = [mount for mount in here() if mount.point == point]
    return found[-1] if found else None


def elsewhere(mount: Mount) -> list[str]:
    """Processes, one a mount namespace other than ours, that would still see the device once it is unmounted here.

    A namespace that follows ours, as those of systemd's services do, has a copy of each mount that goes with it.
    """
    seen = {_namespace("self")}
    found: list[tuple[str, Mount]] = []
    for pid in _pids():
        namespace = _namespace(pid)
        if namespace is None or namespace in seen:
            continue
        seen.add(namespace)
        found += [(pid, other) for other in _read(f"/proc/{pid}/mountinfo") if other.device == mount.device]
    return [_describe(pid) for pid in dict(staying(mount, found))]


def staying(mount: Mount, others: list[tuple[str, Mount]]) -> list[tuple[str, Mount]]:
    """Those of other namespaces' mounts that do not go when this one is unmounted. Pure."""
    told = {mount.shared} - {None}
    while more := {other.shared for _, other in others if other.shared and other.master in told} - told:
        told |= more
    return [(pid, other) for pid, other in others if other.shared not in told and other.master not in told]


def users(point: str) -> list[str]:
    """Processes with an open file, working folder or root on what is mounted at the path."""
    device = os.stat(point).st_dev
    return [_describe(pid) for pid in _pids() if any(_is_on(path, device) for path in _places(pid))]


def _read(path: str) -> list[Mount]:
    try:
        with open(path) as lines:
            return [_parse(line) for line in lines]
    except OSError:
        return []


def _parse(line: str) -> Mount:
    before, _, after = line.partition(" - ")
    fields, (fs_type, source, *_) = before.split(" "), after.split(" ")
    groups = dict(tag.split(":", 1) for tag in fields[6:] if ":" in tag)
    return Mount(
        fields[2],
        _plain(fields[4]),
        "ro" in fields[5].split(","),
        fs_type,
        _plain(source),
        groups.get("shared"),
        groups.get("master"),
    )


def _plain(text: str) -> str:
    """Undo the kernel's octal spelling of blanks and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _pids() -> list[str]:
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None


def _places(pid: str) -> Iterator[str]:
    yield f"/proc/{pid}/cwd"
    yield f"/proc/{pid}/root"
    with contextlib.suppress(OSError):
        for name in os.listdir(f"/proc/{pid}/fd"):
            yield f"/proc/{pid}/fd/{name}"


def _is_on(path: str, device: int) -> bool:
    try:
        return os.stat(path).st_dev == device
    except OSError:
        return False


def _describe(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm") as name:
            return f"process {pid} ({name.read().strip()})"
    except OSError:
        return f"process {pid}"
