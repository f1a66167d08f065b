# SPDX-License-Identifier: Apache-2.0
"""Which networks a workload is joined to, and how far a change of that has come. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from zun_lite.domain import errors
from zun_lite.domain.lifecycle import Observed, Status
from zun_lite.domain.spec import ContainerSpec, NetworkRequest
from zun_lite.domain.wiring import Endpoint, Wiring

MAX_NETWORKS = 32
ATTACHING, DETACHING = "network_attaching", "network_detaching"
ADDING, REMOVING = "sg_adding", "sg_removing"


def joined(spec: ContainerSpec, network: NetworkRequest) -> ContainerSpec:
    """With one network more. Invalid: it is joined already, or no more fit."""
    if any(other.network_id == network.network_id for other in spec.networks):
        raise errors.Invalid(f"The container is attached to network {network.network_id} already.")
    if len(spec.networks) >= MAX_NETWORKS:
        raise errors.Invalid(f"A container can be attached to {MAX_NETWORKS} networks, no more; detach one first.")
    position = next_position(spec)
    networks = (*spec.networks, replace(network, position=position))
    return replace(spec, networks=networks, networks_joined=position + 1)


def left(spec: ContainerSpec, network_id: str) -> ContainerSpec:
    """Without a network. Invalid: it is not joined."""
    rest = tuple(network for network in spec.networks if network.network_id != network_id)
    if len(rest) == len(spec.networks):
        raise errors.Invalid(f"The container is not attached to network {network_id}.")
    return replace(spec, networks=rest, networks_joined=next_position(spec))


def next_position(spec: ContainerSpec) -> int:
    """One that no network of the workload ever had."""
    return max([spec.networks_joined, *(network.position + 1 for network in spec.networks)])


def left_positions(spec: ContainerSpec) -> frozenset[int]:
    """Those of networks that were left, whose ports may still be there."""
    return frozenset(range(next_position(spec))) - {network.position for network in spec.networks}


def has_let_go(observed: Observed | None, generation: int, wiring: Wiring) -> bool:
    """Whether the host surely holds no port but those of the wiring, in this generation."""
    if observed is None or observed.generation < generation:
        return False
    return observed.container_id is None or (
        observed.plugged is not None and set(observed.plugged) <= set(wiring.ports)
    )


def with_ways_out(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """One default route a family: by the first endpoint whose subnets have a gateway of that family."""
    led: set[int] = set()
    found = []
    for endpoint in endpoints:
        families = {6 if ":" in address.gateway else 4 for address in endpoint.addresses if address.gateway}
        found.append(replace(endpoint, default_route=not families <= led))
        led |= families
    return tuple(found)


def with_task(status: Status, spec: ContainerSpec, wiring: Wiring, ready: bool, observed: Observed | None) -> Status:
    """The status with the task of a change of networks that is under way, where there is no other task."""
    if status.task_state is not None or status.status not in ("Created", "Running", "Stopped", "Paused"):
        return status
    task = _task(spec, wiring, ready, observed)
    return replace(status, task_state=task) if task else status


def _task(spec: ContainerSpec, wiring: Wiring, ready: bool, observed: Observed | None) -> str | None:
    if observed is None or observed.plugged is None:
        return None
    if not ready and len(spec.networks) != len(wiring.endpoints):
        return ATTACHING if len(spec.networks) > len(wiring.endpoints) else DETACHING
    named = spec.security_groups or not spec.exposed_ports
    if not ready and named and set(spec.security_groups) != set(wiring.security_groups):
        return ADDING if set(spec.security_groups) - set(wiring.security_groups) else REMOVING
    wanted, plugged = set(wiring.ports), set(observed.plugged)
    if wanted == plugged:
        return None
    return ATTACHING if wanted - plugged else DETACHING
