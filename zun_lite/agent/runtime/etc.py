# SPDX-License-Identifier: Apache-2.0
"""/etc/hosts and /etc/resolv.conf of containers whose network is not Docker's.

Docker makes both together with a network sandbox that netd has no use for and that costs more than the
rest of a start; a container without that sandbox gets them from here, as binds that it may write to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from zun_lite.agent.runtime.base import Bind, Order
from zun_lite.domain import errors, names

RESOLV = "resolv.conf"
GIVEN = "resolv.conf.given"
HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class EtcFiles:
    """One folder a workload under folder. Nothing is kept for a workload that has no container."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def write(self, order: Order) -> tuple[Bind, ...]:
        """Write what the container is to find; the binds that show it. What the user mounts there comes first."""
        folder = self._of(order.own_uuid)
        texts = {"hosts": HOSTS, RESOLV: _resolv(order.dns)}
        taken = {bind.target for bind in order.binds}
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        binds = []
        for name, text in texts.items():
            path = folder / name
            _write(path, text)
            if f"/etc/{name}" not in taken:
                binds.append(Bind(str(path), f"/etc/{name}"))
        _write(folder / GIVEN, texts[RESOLV])
        return tuple(binds)

    def give_dns(self, uuid: str, servers: tuple[str, ...]) -> None:
        """Name these servers in a container that may run, unless its user changed the file."""
        folder, text = self._of(uuid), _resolv(servers)
        given = folder / GIVEN
        with contextlib.suppress(FileNotFoundError):
            if _replace_text(folder / RESOLV, given.read_text(encoding="utf-8"), text):
                _write(given, text)

    def remove(self, uuid: str) -> None:
        """Fine to say twice, and for what never was a workload."""
        if names.is_id(uuid):
            shutil.rmtree(self._of(uuid), ignore_errors=True)

    def _of(self, uuid: str) -> Path:
        if not names.is_id(uuid):
            raise errors.Invalid("A workload's id is a UUID.")
        return self._folder / uuid


def _resolv(servers: tuple[str, ...]) -> str:
    return "".join(f"nameserver {server}\n" for server in servers)


def _replace_text(path: Path, before: str, after: str) -> bool:
    """In the file itself, which a container has bound; only if it says what it is thought to, or that already."""
    with open(os.open(path, os.O_RDWR | os.O_NOFOLLOW), "r+b") as file:
        there = file.read(64 * 1024)
        if there not in (before.encode(), after.encode()):
            return False
        if there != after.encode():
            # one write, so that who reads meanwhile finds the servers; what is too long goes afterwards
            os.pwrite(file.fileno(), after.encode(), 0)
            os.ftruncate(file.fileno(), len(after.encode()))
            os.fsync(file.fileno())
        return True


def _write(path: Path, text: str) -> None:
    """In one step, and so that a container which Docker starts after a power cut finds it."""
    staged = path.with_name(f".{path.name}")
    with open(staged, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        if text:
            os.fsync(file.fileno())
    os.replace(staged, path)
