# SPDX-License-Identifier: Apache-2.0
"""Change what was asked for of a container that exists: its name, its CPUs and memory, whether it heals.

More CPUs and memory are claimed as at a create: project and host are held and counted again in the
transaction that accepts the change, so that no way around quota or capacity is left. The host then
holds the container to its new limits, without a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import sqlalchemy as sa

from zun_lite.control.actions import check_state, holding, replan
from zun_lite.control.means import Means
from zun_lite.control.quotas import limits_of
from zun_lite.db import hosts, revisions, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.lifecycle import ACTIONS, settled
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec


@dataclass(frozen=True)
class Change:
    """None is as it was."""

    name: str | None = None
    cpus: float | None = None
    memory_mib: int | None = None
    auto_heal: bool | None = None

    def of(self, spec: ContainerSpec) -> ContainerSpec:
        return replace(
            spec,
            cpus=spec.cpus if self.cpus is None else self.cpus,
            memory_mib=spec.memory_mib if self.memory_mib is None else self.memory_mib,
            auto_heal=spec.auto_heal if self.auto_heal is None else self.auto_heal,
        )


def update(means: Means, workload: Workload, change: Change) -> Workload:
    """The changed workload. WrongState, OverQuota; Conflict: its host has no room for it."""
    return _apply(means, workload, change, "update")


def resize(means: Means, workload: Workload, change: Change) -> Workload:
    """The same, by the verb that was there before."""
    return _apply(means, workload, change, "resize_container")


def rename(means: Means, workload: Workload, name: str) -> Workload:
    """In any state. Conflict: it bears the name already."""

    def work(tx: sa.Connection) -> Workload:
        held, _ = holding(tx, workload.uuid)
        if held.name == name:
            raise errors.Conflict(f"Container {held.uuid} is named {name} already.")
        workloads.rename(tx, held, name)
        return replace(held, name=name)

    return means.db.transact(work)


def _apply(means: Means, workload: Workload, change: Change, verb: str) -> Workload:
    def work(tx: sa.Connection) -> Workload:
        held, status = holding(tx, workload.uuid)
        check_state(status, held, verb, ACTIONS[verb].allowed)
        if change.name is not None and change.name != held.name:
            workloads.rename(tx, held, change.name)
        spec = change.of(held.spec)
        if spec == held.spec:
            return replace(held, name=change.name or held.name)
        _check_claim(tx, means, held, spec)
        goal = ACTIONS[verb].change(settled(held.goal, held.generation, held.observed), status)
        return replan(tx, held, goal, spec)

    changed = means.db.transact(work)
    means.waker.wake()
    return changed


def _check_claim(tx: sa.Connection, means: Means, workload: Workload, spec: ContainerSpec) -> None:
    if spec.cpus != workload.spec.cpus and spec.dedicated_cpus:
        raise errors.Invalid(
            f"Container {workload.uuid} has CPUs of its own, which are chosen when it is made; "
            "their number cannot change. Make another container."
        )
    growth = _growth(workload.spec.claim, spec.claim)
    if growth == Resources():
        return
    revisions.raise_one(tx, revisions.project(workload.project_id))
    count, used = workloads.usage_of_project(tx, workload.project_id)
    exceeded = limits_of(tx, means, workload.project_id).exceeded_by(count, used + growth)
    exceeded = [name for name in exceeded if _grows(growth, name)]
    if exceeded:
        raise errors.OverQuota(f"Quota exceeded for resources: {exceeded}")
    _check_host(tx, means, workload, spec, growth)


def _check_host(tx: sa.Connection, means: Means, workload: Workload, spec: ContainerSpec, growth: Resources) -> None:
    assert workload.host is not None
    revisions.raise_one(tx, revisions.host(workload.host))
    host = hosts.get(tx, workload.host)
    capacity = host.inventory.capacity if host and host.inventory else Resources()
    lacking = means.ratios.promised(capacity).lacking_for(growth, workloads.usage_of_host(tx, workload.host))
    lacking = [name for name in lacking if _grows(growth, name)]
    if growth.memory_mib and spec.memory_mib > capacity.memory_mib and "memory" not in lacking:
        lacking.append("memory")
    if lacking:
        raise errors.Conflict(
            f"The host of container {workload.uuid} has not enough {' and '.join(lacking)} left for it to grow so far.",
            kind="ResourcesUnavailable",
        )


_AMOUNTS: dict[str, Callable[[Resources], float]] = {
    "cpu": lambda amount: amount.cpus,
    "memory": lambda amount: amount.memory_mib,
}


def _growth(before: Resources, after: Resources) -> Resources:
    """By how much more is claimed; what shrinks counts for nothing, for it must always be allowed."""
    return Resources(max(0.0, after.cpus - before.cpus), max(0, after.memory_mib - before.memory_mib))


def _grows(growth: Resources, name: str) -> bool:
    """Whether what is called so in limits grows; what does not may stand above a limit that was lowered."""
    return name in _AMOUNTS and _AMOUNTS[name](growth) > 0
