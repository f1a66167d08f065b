# SPDX-License-Identifier: Apache-2.0
"""Networks and security groups of a container that exists: attach, detach, add, remove.

Each change is one transaction over the spec; the controller then provides the port, and the host
connects the container as it runs. What is named is looked up before, as the container's project sees it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.control.actions import check_state, holding
from zun_lite.control.means import Means
from zun_lite.db import actions, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import connections, errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.lifecycle import ABSENT, EVERY_STATUS, settled
from zun_lite.domain.spec import ContainerSpec, NetworkRequest

GROUPS_IN = frozenset(("Created", "Running", "Stopped", "Paused"))


def attach(means: Means, caller: Caller, workload: Workload, network: NetworkRequest) -> Workload:
    """network names what to join by id. Invalid: it is joined already."""

    def join(spec: ContainerSpec) -> ContainerSpec:
        return connections.joined(spec, network)

    return _change(means, caller, workload, "network_attach", join, position_of=connections.next_position)


def detach(means: Means, caller: Caller, workload: Workload, network_id: str) -> Workload:
    """Invalid: the container is not attached to it."""
    return _change(means, caller, workload, "network_detach", lambda spec: connections.left(spec, network_id))


def add_group(means: Means, caller: Caller, workload: Workload, group_id: str) -> Workload:
    """Invalid: the container is in it already."""

    def add(spec: ContainerSpec) -> ContainerSpec:
        if group_id in spec.security_groups:
            raise errors.Invalid(f"The container is in security group {group_id} already.")
        return replace(spec, security_groups=(*spec.security_groups, group_id))

    return _change(means, caller, workload, "add_security_group", add, GROUPS_IN)


def remove_group(means: Means, caller: Caller, workload: Workload, group_id: str) -> Workload:
    """Invalid: the container is not in it."""

    def remove(spec: ContainerSpec) -> ContainerSpec:
        if group_id not in spec.security_groups:
            raise errors.Invalid(f"The container is not in security group {group_id}.")
        return replace(spec, security_groups=tuple(other for other in spec.security_groups if other != group_id))

    return _change(means, caller, workload, "remove_security_group", remove, GROUPS_IN)


def owner_of(caller: Caller, workload: Workload) -> Caller:
    """The caller, acting within the container's project: an administrator may change another project's."""
    return replace(caller, project_id=workload.project_id)


def _change(
    means: Means,
    caller: Caller,
    workload: Workload,
    action: str,
    respec: Callable[[ContainerSpec], ContainerSpec],
    allowed: frozenset[str] = EVERY_STATUS,
    position_of: Callable[[ContainerSpec], int] | None = None,
) -> Workload:
    """position_of: which network the action is about, by the spec as it was."""

    def accept(tx: sa.Connection) -> Workload:
        held, status = holding(tx, workload.uuid)
        check_state(status, held, action, allowed)
        if held.goal.presence == ABSENT:
            raise errors.WrongState(f"Container {held.uuid} is being deleted.", kind="InvalidStateException")
        if held.host is None or held.failure:
            raise errors.Invalid(f"Container {held.uuid} was never made, so there is nothing to connect; delete it.")
        goal = settled(held.goal, held.generation, held.observed)
        changed = workloads.change(tx, held, goal, spec=respec(held.spec), ready=False)
        if changed is None:
            raise errors.Busy(f"Container {held.uuid} is being changed by another request; try again.")
        actions.begin(
            tx,
            request_id=caller.request_id,
            workload_uuid=held.uuid,
            project_id=held.project_id,
            user_id=caller.user_id,
            action=action,
            generation=changed.generation,
            network_position=position_of(held.spec) if position_of is not None else None,
        )
        return changed

    changed = means.db.transact(accept)
    means.waker.wake()
    return changed
