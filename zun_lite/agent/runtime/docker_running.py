# SPDX-License-Identifier: Apache-2.0
"""What Docker is asked of a container that lives: to stand still, to go on, to take a signal or new limits.

Each looks first, so that asking twice does no harm. Knows no spec; errors are Docker's own, which the
door that hands out the client makes ours.
"""

from __future__ import annotations

from typing import Any

import docker

MIB = 1024**2


def nano_cpus(cpus: float, host_cpus: float) -> int:
    """Docker refuses more than the host has."""
    return int(max(0.01, min(cpus, host_cpus)) * 1e9)


def cpu_shares(cpus: float) -> int:
    return max(2, int(1024 * cpus))


def pause(api: docker.APIClient, container_id: str) -> None:
    found = _state(api, container_id)
    if found["Running"] and not (found["Paused"] or found["Restarting"]):
        api.pause(container_id)


def unpause(api: docker.APIClient, container_id: str) -> None:
    if _state(api, container_id)["Paused"]:
        api.unpause(container_id)


def signal(api: docker.APIClient, container_id: str, name: str) -> None:
    """To the container's first process, if there is one."""
    if _state(api, container_id)["Running"]:
        api.kill(container_id, name)


def limit(api: docker.APIClient, container_id: str, cpus: float, memory_mib: int, host_cpus: float) -> None:
    """Hold it to these from now on, and after each of its starts."""
    wanted = {
        "NanoCpus": nano_cpus(cpus, host_cpus),
        "CpuShares": cpu_shares(cpus),
        "Memory": memory_mib * MIB,
        "MemorySwap": memory_mib * MIB,
    }
    held = api.inspect_container(container_id)["HostConfig"]
    changed = {name: value for name, value in wanted.items() if held.get(name) != value}
    if not changed:
        return
    if "Memory" in changed:
        changed["MemorySwap"] = wanted["MemorySwap"]
    # docker-py's own call knows no NanoCpus
    answer = api.post(f"{api.base_url}/v{api.api_version}/containers/{container_id}/update", json=changed)
    with answer:
        api._raise_for_status(answer)


def _state(api: docker.APIClient, container_id: str) -> dict[str, Any]:
    return api.inspect_container(container_id)["State"]
