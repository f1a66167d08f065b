# SPDX-License-Identifier: Apache-2.0
"""All that SQL says of workloads, ports and volumes, as of one moment, for an audit."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from zun_lite.db import (
    actions,
    cinder,
    hosts,
    images,
    ports,
    quotas,
    volume_attachments,
    volume_snapshots,
    volumes,
    workloads,
)
from zun_lite.domain.audit import Books, PortEntry, SnapshotEntry, VolumeEntry, WorkloadEntry
from zun_lite.domain.capsule import CapsuleSpec
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec


def read(tx: sa.Connection) -> Books:
    """tx is one consistent reading."""
    return Books(
        workloads=tuple(_workloads(tx)),
        ports=tuple(_ports(tx)),
        volumes=tuple(_volumes(tx)),
        capacities={host.uuid: host.inventory.capacity if host.inventory else Resources() for host in hosts.every(tx)},
        open_actions=tuple((row.workload_uuid, row.action) for row in tx.execute(_open_actions())),
        default_quota=quotas.of_class(tx, quotas.DEFAULT_CLASS),
        quotas=quotas.of_every_project(tx),
        snapshots=tuple(_snapshots(tx)),
    )


def _workloads(tx: sa.Connection) -> list[WorkloadEntry]:
    rows = tx.execute(sa.select(workloads.workloads).order_by(workloads.workloads.c.id)).mappings()
    return [
        WorkloadEntry(
            uuid=workload.uuid,
            project_id=workload.project_id,
            host=workload.host,
            epoch=workload.epoch,
            generation=workload.generation,
            goal=workload.goal,
            observed=workload.observed,
            status=workload.status,
            task_state=workload.task_state,
            ready=workload.ready,
            failure=workload.failure,
            wiring=workload.wiring,
            claim=workload.spec.claim,
            containers=workload.spec.container_count,
            members=_members(workload.spec),
        )
        for workload in map(workloads.read_row, rows)
    ]


def _members(spec: ContainerSpec) -> tuple[str, ...]:
    return tuple(member.uuid for member in spec.every_member) if isinstance(spec, CapsuleSpec) else ()


def _ports(tx: sa.Connection) -> list[PortEntry]:
    held = defaultdict(list)
    for row in tx.execute(sa.select(ports.addresses)):
        held[row.port_uuid].append(ports.ip_of(row.ip))
    return [
        PortEntry(
            port_id=row.uuid,
            network_id=row.network_uuid,
            mac=row.mac,
            ips=tuple(held[row.uuid]),
            device_id=row.workload_uuid or row.device_id,
            ours=row.workload_uuid is not None and row.device_owner != ports.DOCKER_OWNER,
            docker_host=row.host if row.device_owner == ports.DOCKER_OWNER else None,
        )
        for row in tx.execute(sa.select(ports.ports))
    ]


def _volumes(tx: sa.Connection) -> list[VolumeEntry]:
    attached = defaultdict(list)
    by_clients: dict[str, int] = defaultdict(int)
    for row in tx.execute(sa.select(volume_attachments.volume_attachments)):
        if row.workload_uuid is None:
            by_clients[row.volume_uuid] += 1
        else:
            attached[row.volume_uuid].append(row.workload_uuid)
    # of volumes that are not ours, only what workloads have of them is known
    lent = defaultdict(list)
    for use in cinder.every(tx):
        if use.volume_uuid is not None and use.host is not None:
            lent[use.volume_uuid].append(use)
    for uuid, uses in lent.items():
        attached[uuid] += [use.workload_uuid for use in uses]
    own = [
        VolumeEntry(
            volume_id=row.uuid,
            host=row.host,
            status=row.status,
            formatted=row.formatted,
            multi_attach=row.multiattach,
            attached_to=tuple(attached[row.uuid]),
            shared=row.shared,
            held_by_clients=by_clients[row.uuid],
        )
        for row in tx.execute(sa.select(volumes.volumes))
    ]
    known = {entry.volume_id for entry in own}
    return own + [
        VolumeEntry(uuid, None, "in-use", False, uses[0].multiattach, tuple(attached[uuid]))
        for uuid, uses in lent.items()
        if uuid not in known
    ]


def _snapshots(tx: sa.Connection) -> list[SnapshotEntry]:
    rows = tx.execute(sa.select(volume_snapshots.volume_snapshots))
    return [SnapshotEntry(row.uuid, row.host, row.status, row.shared) for row in rows]


def _open_actions() -> sa.Select[Any]:
    """Those that a settled workload should not have: an image may be on its way meanwhile."""
    table, made = actions.actions, images.images.c
    coming = sa.select(made.request_id).where(
        made.request_id.is_not(None), made.status.in_((images.QUEUED, images.SAVING))
    )
    changes_no_goal = sa.and_(table.c.generation.is_(None), table.c.request_id.in_(coming))
    return sa.select(table).where(table.c.finished_at.is_(None), sa.not_(changes_no_goal))
