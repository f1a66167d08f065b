# SPDX-License-Identifier: Apache-2.0
"""What users do to workloads that exist: look them up, change their goal, delete them.

A change is one transaction: the state is checked, the goal changed and the action recorded on a
held row. Which verb is allowed when, and what it means for the goal, stands in lifecycle.ACTIONS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control import images
from zun_lite.control.means import Means
from zun_lite.db import actions as action_rows
from zun_lite.db import hosts, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.connections import with_ways_out
from zun_lite.domain.lifecycle import ABSENT, ACTIONS, PASS_THROUGH, Goal, settled, status_of
from zun_lite.domain.spec import ContainerSpec

# The verbs after which a container is connected anew, by what its subnets say now.
_STARTING = frozenset(("start", "reboot", "rebuild"))


def find(means: Means, caller: Caller, ident: str, *, all_projects: bool = False) -> Workload:
    """A container by uuid or name: an admin's look-up goes over all projects, anyone else's over their own.

    NotFound: nothing there that the caller can see. Ambiguous: several bear the name.
    """
    uuid = names.as_id(ident)
    anywhere = caller.is_admin or all_projects
    with means.db.read() as tx:
        found = workloads.find(tx, None if anywhere else caller.project_id or "", uuid=uuid, name=ident)
    if not found:
        raise errors.NotFound(f"Container {ident} could not be found.", kind="ContainerNotFound")
    if len(found) > 1:
        raise errors.Ambiguous(
            f"Several containers are named {ident}; use the UUID of the one you mean.", kind="Conflict"
        )
    return found[0]


def act(
    means: Means,
    caller: Caller,
    workload: Workload,
    action: str,
    stop_timeout_seconds: int | None = None,
    *,
    signal: str | None = None,
    image: str | None = None,
    image_driver: str | None = None,
) -> Workload:
    """Change the goal as this verb means. WrongState: its status forbids the verb; it says which allow it.

    signal: what a kill sends, by its name. image, image_driver: of a rebuild, where they are to change.
    """

    def adjust(goal: Goal) -> Goal:
        if stop_timeout_seconds is not None:
            goal = replace(goal, stop_timeout_seconds=stop_timeout_seconds)
        return goal if signal is None else replace(goal, signal=signal)

    respec = _rename_image(means, caller, workload.spec, image, image_driver) if image or image_driver else None
    if action == "rebuild" and respec is None:
        images.check_policy(means, workload.spec)
    endpoints = means.networks.renewed(workload.wiring.endpoints) if action in _STARTING else ()

    def accept(tx: sa.Connection) -> Workload:
        changed = _change(tx, caller, workload.uuid, action, action, adjust, respec)
        if endpoints and changed.wiring.ports == tuple(endpoint.port_id for endpoint in endpoints):
            workloads.reconnect(tx, changed, with_ways_out(endpoints))
        return changed

    changed = means.db.transact(accept)
    means.waker.wake()
    return changed


def delete(means: Means, caller: Caller, workload: Workload, *, stop: bool = False, force: bool = False) -> None:
    """Order a workload's removal; it disappears when nothing is left of it. Repeating the order is fine."""
    action = "delete_stop" if stop else "delete_force" if force else "delete"

    def accept(tx: sa.Connection) -> None:
        changed = _change(tx, caller, workload.uuid, action, "delete")
        if stop and changed.generation > workload.generation:
            _record(tx, caller, changed, "stop")
        crash.point("api.delete.before_commit")

    means.db.transact(accept)
    crash.point("api.delete.after_commit")
    means.waker.wake()


def history(means: Means, workload: Workload) -> list[action_rows.Action]:
    """The workload's actions, newest first."""
    with means.db.read() as tx:
        return action_rows.of_workload(tx, workload.uuid)


def check_state(status: str, workload: Workload, verb: str, allowed: frozenset[str]) -> None:
    """WrongState unless the status allows the verb."""
    if status not in allowed:
        where = ", ".join(sorted(allowed))
        raise errors.WrongState(
            f"Cannot {verb} container {workload.uuid} in {status} state; it is allowed in: {where}.",
            kind="InvalidStateException",
        )


def check_pass_through(means: Means, workload: Workload, verb: str) -> hosts.Host:
    """The host to ask for a verb that changes no goal. WrongState, or Conflict if it was never made."""
    with means.db.read() as tx:
        host = hosts.get(tx, workload.host) if workload.host else None
    check_state(_status(workload, host), workload, verb, PASS_THROUGH[verb])
    if host is None or workload.observed is None or workload.observed.container_id is None:
        raise errors.Conflict(f"Container {workload.uuid} was not made on any host, so there is nothing to {verb}.")
    if host.state == hosts.UNKNOWN:
        raise errors.Unavailable(f"The host of container {workload.uuid} does not answer; try again later.")
    return host


def holding(tx: sa.Connection, uuid: str) -> tuple[Workload, str]:
    """The workload, its row held until the transaction ends, and its status at this moment. NotFound."""
    workload = workloads.get(tx, uuid, lock=True)
    if workload is None:
        raise errors.NotFound(f"Container {uuid} could not be found.", kind="ContainerNotFound")
    host = hosts.get(tx, workload.host) if workload.host else None
    return workload, _status(workload, host)


def replan(tx: sa.Connection, workload: Workload, goal: Goal, spec: ContainerSpec | None = None) -> Workload:
    """The workload in its next generation. Busy: another change came first."""
    changed = workloads.change(tx, workload, goal, spec=spec)
    if changed is None:
        raise errors.Busy(f"Container {workload.uuid} is being changed by another request; try again.")
    return changed


def _rename_image(
    means: Means, caller: Caller, spec: ContainerSpec, image: str | None, image_driver: str | None
) -> Callable[[ContainerSpec], ContainerSpec]:
    """How a spec gets another image, which is looked up now, with the caller's rights."""
    found = images.name_image(
        means, caller, replace(spec, image=image or spec.image, image_driver=image_driver or spec.image_driver)
    )
    return lambda spec: replace(
        spec,
        image=found.image,
        image_driver=found.image_driver,
        image_id=found.image_id,
        image_reference=found.image_reference,
    )


def _unchanged(goal: Goal) -> Goal:
    return goal


def _change(
    tx: sa.Connection,
    caller: Caller,
    uuid: str,
    action: str,
    recorded_as: str,
    adjust: Callable[[Goal], Goal] = _unchanged,
    respec: Callable[[ContainerSpec], ContainerSpec] | None = None,
) -> Workload:
    workload, status = holding(tx, uuid)
    if workload.goal.presence == ABSENT and recorded_as == "delete":
        return workload
    rule = ACTIONS[action]
    check_state(status, workload, recorded_as, rule.allowed)
    if workload.failure and recorded_as != "delete":
        raise errors.Invalid(
            f"Container {uuid} was never made, so there is nothing to {recorded_as}: {workload.failure} "
            "Delete it and create another one."
        )
    goal = rule.change(settled(workload.goal, workload.generation, workload.observed), status)
    changed = replan(tx, workload, adjust(goal), respec(workload.spec) if respec else None)
    _record(tx, caller, changed, recorded_as)
    return changed


def _record(tx: sa.Connection, caller: Caller, workload: Workload, action: str) -> None:
    action_rows.begin(
        tx,
        request_id=caller.request_id,
        workload_uuid=workload.uuid,
        project_id=workload.project_id,
        user_id=caller.user_id,
        action=action,
        generation=workload.generation,
    )


def _status(workload: Workload, host: hosts.Host | None) -> str:
    return status_of(
        workload.goal,
        workload.generation,
        workload.observed,
        failure=workload.failure,
        host_known=host is None or host.state != hosts.UNKNOWN,
    ).status
