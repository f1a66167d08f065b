# SPDX-License-Identifier: Apache-2.0
"""What this host is: its size, its engine, and which boot it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from zun_lite.agent.runtime.base import Engine
from zun_lite.domain import names
from zun_lite.domain.desired import Inventory
from zun_lite.domain.resources import Resources


def boot_id() -> str:
    """Changes with each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def take(
    engine: Engine,
    pool_dir: str,
    docker_runtime: str,
    underlay_address: str | None = None,
    external_bridge: str | None = None,
) -> Inventory:
    """The inventory to report; the disk is the whole file system that holds the volume pool.

    docker_runtime: our wrapper's name in Docker. Users may ask for what it wraps, and for NAME where
    the engine has another wrapper called like ours with -NAME at its end.
    """
    capacity = Resources(engine.capacity.cpus, engine.capacity.memory_mib, _size_gib(pool_dir))
    return Inventory(
        capacity=capacity,
        docker_version=engine.version,
        runtimes=tuple(_runtimes(engine.runtimes, docker_runtime)),
        architecture=engine.architecture,
        os_type=engine.os_type,
        os=engine.os,
        kernel_version=engine.kernel_version,
        labels=engine.labels,
        underlay_address=underlay_address,
        external_bridge=external_bridge,
    )


def _runtimes(known: tuple[str, ...], ours: str) -> Iterator[str]:
    if ours in known:
        yield names.RUNC
    yield from (name.removeprefix(f"{ours}-") for name in known if name.startswith(f"{ours}-"))


def _size_gib(folder: str) -> int:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // 1024**3
