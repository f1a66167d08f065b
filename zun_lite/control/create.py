# SPDX-License-Identifier: Apache-2.0
"""Accept a new workload: quota, host, record and action in one transaction, or nothing.

The answer is given after the commit; what comes after it (ports, volumes, Docker) is the
controller's and the agent's, from the record alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control.means import Means
from zun_lite.control.place import NO_HOST, place
from zun_lite.control.quotas import limits_of
from zun_lite.db import actions, revisions, workloads
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.capsule import CAPSULE, CONTAINER, CapsuleSpec
from zun_lite.domain.lifecycle import OFF, ON, Goal
from zun_lite.domain.spec import ContainerSpec, MountRequest
from zun_lite.scheduler.filters import Request

LOG = logging.getLogger(__name__)

Accepted = Callable[[sa.Connection, workloads.Workload], None]
"""Told of a workload within the transaction that accepts it."""


def create_container(
    means: Means,
    caller: Caller,
    name: str | None,
    spec: ContainerSpec,
    *,
    run: bool,
    accepted: Accepted | None = None,
    uuid: str | None = None,
) -> workloads.Workload:
    """The record of a container that will come to be; in status Error if no host has room.

    uuid: what it is to have, if it had one elsewhere.

    spec names networks and volumes by id, looked up with the caller's rights before.
    OverQuota: the project may not have that much; nothing is recorded.
    """
    goal = Goal(power=ON if run else OFF, run=1 if run else 0)
    return _create(means, caller, CONTAINER, name or names.made_up_name(), spec, goal, accepted, uuid)


def create_capsule(
    means: Means, caller: Caller, name: str, spec: CapsuleSpec, *, accepted: Accepted | None = None
) -> workloads.Workload:
    """The record of a capsule that will come to be and run; in status Error if no host has room for all of it."""
    return _create(means, caller, CAPSULE, name, spec, Goal(power=ON, run=1), accepted)


def _create(
    means: Means,
    caller: Caller,
    kind: str,
    name: str,
    spec: ContainerSpec,
    goal: Goal,
    accepted: Accepted | None,
    uuid: str | None = None,
) -> workloads.Workload:
    project_id = _project_of(caller)
    uuid = uuid or names.new_id()
    pinned_host = pinned_host_of(means, caller, spec)
    networks = tuple(replace(network, position=number) for number, network in enumerate(spec.networks))
    mounts = _prepared(means, caller, uuid, spec.mounts)
    spec = replace(spec, networks=networks, networks_joined=len(networks), mounts=mounts)
    request = request_of(spec, pinned_host)

    def accept(tx: sa.Connection) -> workloads.Workload:
        revisions.raise_one(tx, revisions.project(project_id))
        check_quota(tx, means, project_id, spec)
        placed = place(tx, request, means.ratios)
        host = placed if isinstance(placed, str) else None
        made = workloads.insert(
            tx,
            uuid=uuid,
            kind=kind,
            project_id=project_id,
            user_id=caller.user_id,
            name=name,
            spec=spec,
            goal=goal,
            host=host,
            failure=None if host else NO_HOST,
        )
        actions.begin(
            tx,
            request_id=caller.request_id,
            workload_uuid=uuid,
            project_id=project_id,
            user_id=caller.user_id,
            action="create",
            generation=made.generation,
        )
        if not isinstance(placed, str):
            actions.finish(tx, uuid, made.generation, failure=NO_HOST, sifted=placed)
        if accepted is not None:
            accepted(tx, made)
        crash.point("api.create.before_commit")
        return made

    try:
        made = means.db.transact(accept)
    except errors.ZunError:
        _abandon(means, uuid)
        raise
    crash.point("api.create.after_commit")
    means.waker.wake()
    return made


def request_of(spec: ContainerSpec, pinned_host: str | None) -> Request:
    """What is asked of a host. pinned_host: the uuid of the one where its volumes are."""
    return Request(
        spec.claim,
        pinned_host,
        host=spec.host,
        zone=spec.availability_zone,
        runtime=spec.runtime,
        labels=spec.host_labels,
    )


def check_quota(tx: sa.Connection, means: Means, project_id: str, spec: ContainerSpec) -> None:
    """OverQuota if one more such workload would pass the project's limits. The caller holds the project."""
    count, used = workloads.usage_of_project(tx, project_id)
    exceeded = limits_of(tx, means, project_id).exceeded_by(count + spec.container_count, used + spec.claim)
    if exceeded:
        raise errors.OverQuota(f"Quota exceeded for resources: {exceeded}")


def _project_of(caller: Caller) -> str:
    if caller.project_id is None:
        raise errors.Forbidden("A container belongs to a project; use a token that is scoped to one.")
    return caller.project_id


def _prepared(means: Means, caller: Caller, uuid: str, mounts: tuple[MountRequest, ...]) -> tuple[MountRequest, ...]:
    """Mounts of volumes that are there, where only the caller may make them."""
    try:
        return tuple(means.volumes.prepare(caller, uuid, position, mount) for position, mount in enumerate(mounts))
    except errors.Unavailable:
        # what was asked for may still come to be; it is looked for later
        raise
    except errors.ZunError:
        _abandon(means, uuid)
        raise


def _abandon(means: Means, uuid: str) -> None:
    try:
        means.volumes.abandon(uuid)
    except errors.ZunError as error:
        LOG.warning("%s: does not come to be; what was begun for it is given back later: %s", uuid, error.message)


def pinned_host_of(means: Means, caller: Caller, spec: ContainerSpec) -> str | None:
    """The host on which the volumes lie that the container is to mount."""
    found = {means.volumes.resolve(caller, mount.volume_id)[1] for mount in spec.mounts if mount.volume_id}
    found.discard(None)
    if len(found) > 1:
        raise errors.NotUsable("The volumes lie on different hosts and cannot be mounted in one container.")
    return found.pop() if found else None
