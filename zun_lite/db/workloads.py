# SPDX-License-Identifier: Apache-2.0
"""Workloads: the sole writer of goal, observed and of the status that is computed from them.

Each change raises the revision of its project and of its host in the same transaction, so that a
host sees that its set changed, and a reader that its list did. `status` and `task_state` are a
projection for filters; nothing decides by them.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from zun_lite.common import request_ids
from zun_lite.db import listing, planes, revisions, status_events
from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.domain import connections
from zun_lite.domain.capsule import CONTAINER, read_spec
from zun_lite.domain.desired import Desired
from zun_lite.domain.lifecycle import ABSENT, PRESENT, Goal, Observed, Status, status_of
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.wiring import Endpoint, Wiring

workloads = sa.Table(
    "workloads",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("image", text_type(255), nullable=False),
    sa.Column("registry_id", sa.String(36), index=True),
    sa.Column("spec", Json, nullable=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("presence", sa.String(8), nullable=False),
    sa.Column("power", sa.String(8), nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("build", sa.Integer, nullable=False),
    sa.Column("stop_timeout_seconds", sa.Integer, nullable=False),
    sa.Column("reboot_run", sa.Integer, nullable=False),
    sa.Column("signals", sa.Integer, nullable=False),
    sa.Column("signal", sa.String(16), nullable=False),
    sa.Column("host", sa.String(36), index=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("ready", sa.Boolean, nullable=False),
    sa.Column("failure", sa.Text),
    # Whether it has ports of networks that it left, which go once its host has let go of them.
    sa.Column("ports_left", sa.Boolean, nullable=False),
    # By which request the goal was last changed, as other services know it; for logs.
    sa.Column("request_id", sa.String(64)),
    sa.Column("wiring", Json),
    sa.Column("observed", Json),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("task_state", sa.String(32)),
    sa.Column("status_reason", sa.Text),
    # How many containers it counts for in its project's quota.
    sa.Column("containers", sa.Integer, nullable=False),
    sa.Column("cpus", sa.Float, nullable=False),
    sa.Column("memory_mib", sa.BigInteger, nullable=False),
    sa.Column("disk_gib", sa.BigInteger, nullable=False),
    sa.Column("dedicated_cpus", sa.Integer, nullable=False),
    sa.Column("auto_remove", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    # Of this row; it grows with every write of the row, see workload_pages.
    sa.Column("version", sa.BigInteger, nullable=False, default=1, onupdate=sa.text("version + 1")),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "ready", "presence"),
    # All that a page's marks need, so that SQLite does not look up rows that lie far apart; elsewhere it
    # would cost each write more than it saves a list.
    sa.Index(
        "ix_workloads_marks", "project_id", "kind", "id", "uuid", "version", "host", info={"only": "sqlite"}
    ).ddl_if(dialect="sqlite"),
    sa.Index(None, "ports_left"),
)


@dataclass(frozen=True)
class StatusCount:
    """How many workloads are in a status, and are changing in it; quiet_since: when one of these last had news."""

    workloads: int
    changing: int
    quiet_since: datetime.datetime | None


@dataclass(frozen=True)
class Workload:
    """One record. failure: why the control plane could not place or provide for it."""

    id: int
    uuid: str
    kind: str
    project_id: str
    user_id: str
    name: str
    spec: ContainerSpec
    generation: int
    goal: Goal
    host: str | None
    epoch: int
    ready: bool
    failure: str | None
    wiring: Wiring
    observed: Observed | None
    status: str
    task_state: str | None
    status_reason: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    request_id: str | None

    @property
    def desired(self) -> Desired:
        """What its host is told."""
        return Desired(
            self.uuid,
            self.project_id,
            self.name,
            self.epoch,
            self.generation,
            self.goal,
            self.spec,
            self.wiring,
            self.ready,
            self.kind,
            self.request_id,
        )


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    kind: str,
    project_id: str,
    user_id: str,
    name: str,
    spec: ContainerSpec,
    goal: Goal,
    host: str | None,
    failure: str | None,
) -> Workload:
    """A new record in its first generation and epoch. The caller has raised the revisions."""
    status = status_of(goal, 1, None, failure=failure)
    tx.execute(
        sa.insert(workloads).values(
            uuid=uuid,
            kind=kind,
            project_id=project_id,
            user_id=user_id,
            name=name,
            **_spec_values(spec),
            generation=1,
            **_goal_values(goal),
            host=host,
            epoch=1,
            ready=False,
            failure=failure,
            ports_left=False,
            request_id=request_ids.current().passed_on or None,
            **_status_values(status),
            created_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    _tell(tx, made, status)
    return made


def get(tx: sa.Connection, uuid: str, *, lock: bool = False) -> Workload | None:
    """By uuid, whosever it is. lock: hold the row until the transaction ends."""
    query = sa.select(workloads).where(workloads.c.uuid == uuid)
    row = tx.execute(query.with_for_update() if lock else query).mappings().first()
    return read_row(row) if row else None


def find(
    tx: sa.Connection,
    project_id: str | None,
    *,
    uuid: str | None = None,
    name: str | None = None,
    kind: str = CONTAINER,
) -> list[Workload]:
    """By uuid or exact name within a project; project_id None looks through all projects."""
    query = _finding("uuid" if uuid else "name", project_id is not None)
    given = {"kind": kind, "ident": uuid or name, "project_id": project_id}
    return [read_row(row) for row in tx.execute(query, given).mappings()]


@functools.cache
def _finding(column: str, in_project: bool) -> sa.Select[Any]:
    """Made once: to put a statement together costs more than to run it, and nearly every request needs this one."""
    query = sa.select(workloads).where(workloads.c.kind == sa.bindparam("kind")).limit(2)
    if in_project:
        query = query.where(workloads.c.project_id == sa.bindparam("project_id"))
    return query.where(workloads.c[column] == sa.bindparam("ident"))


def usage_of_project(tx: sa.Connection, project_id: str) -> tuple[int, Resources]:
    """How many containers the project has and what its workloads claim; deleting ones count until they are gone."""
    return _usage(tx, workloads.c.project_id == project_id)


def usage_of_host(tx: sa.Connection, host: str) -> Resources:
    """What the workloads placed on the host claim."""
    return _usage(tx, workloads.c.host == host)[1]


def usage_of_hosts(tx: sa.Connection, hosts: Iterable[str]) -> dict[str, Resources]:
    """What is claimed on each of these hosts; hosts without workloads are left out."""
    query = (
        sa.select(workloads.c.host, *(sa.func.sum(workloads.c[name]) for name in _SUMMED))
        .where(workloads.c.host.in_(list(hosts)))
        .group_by(workloads.c.host)
    )
    return {host: _resources(sums) for host, *sums in tx.execute(query)}


def count_by_status(tx: sa.Connection) -> dict[str, StatusCount]:
    """The workloads of all projects, in one query."""
    of = workloads.c
    news = sa.func.coalesce(of.updated_at, of.created_at)
    quiet = sa.func.min(sa.case((of.task_state.is_not(None), news)))
    query = sa.select(of.status, sa.func.count(), sa.func.count(of.task_state), quiet).group_by(of.status)
    return {str(status): StatusCount(*counts) for status, *counts in tx.execute(query)}


def of_project(tx: sa.Connection, project_id: str) -> list[Workload]:
    """Of every kind."""
    query = sa.select(workloads).where(workloads.c.project_id == project_id).order_by(workloads.c.id)
    return [read_row(row) for row in tx.execute(query).mappings()]


def containers_on_hosts(tx: sa.Connection, hosts: Iterable[str]) -> dict[str, int]:
    """How many containers are placed on each of these hosts; hosts without any are left out."""
    query = (
        sa.select(workloads.c.host, sa.func.sum(workloads.c.containers))
        .where(workloads.c.host.in_(list(hosts)))
        .group_by(workloads.c.host)
    )
    return {host: int(count) for host, count in tx.execute(query)}


def on_host(tx: sa.Connection, host: str, *, lock: bool = False) -> list[Workload]:
    """lock: hold the rows until the transaction ends."""
    query = sa.select(workloads).where(workloads.c.host == host).order_by(workloads.c.id)
    query = query.with_for_update() if lock else query
    return [read_row(row) for row in tx.execute(query).mappings()]


def names_of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What each of these is found by: its name, and the host name that its user gave it."""
    found = {}
    for some in listing.in_parts(uuids):
        rows = tx.execute(
            sa.select(workloads.c.uuid, workloads.c.name, workloads.c.spec).where(workloads.c.uuid.in_(some))
        )
        for uuid, name, spec in rows:
            found[uuid] = tuple(dict.fromkeys(each for each in (name, spec.get("hostname")) if each))
    return found


def to_provision(tx: sa.Connection, limit: int, after: int = 0) -> list[Workload]:
    """Placed, wanted, and not yet provided with ports and volumes. after: those with a greater id."""
    query = (
        sa.select(workloads)
        .where(
            workloads.c.ready.is_(False),
            workloads.c.presence == PRESENT,
            workloads.c.host.is_not(None),
            workloads.c.failure.is_(None),
            workloads.c.id > after,
        )
        .order_by(workloads.c.id)
        .limit(limit)
    )
    return [read_row(row) for row in tx.execute(query).mappings()]


def to_trim(tx: sa.Connection) -> list[Workload]:
    """Wanted and provided for, with ports of networks that they left."""
    query = sa.select(workloads).where(
        workloads.c.ports_left.is_(True), workloads.c.ready.is_(True), workloads.c.presence == PRESENT
    )
    return [read_row(row) for row in tx.execute(query.order_by(workloads.c.id)).mappings()]


def to_release(tx: sa.Connection, limit: int, after: int = 0) -> list[Workload]:
    """Unwanted, and nothing of them is left on a host: status Deleted marks those, see record_observed.

    after: those with a greater id.
    """
    left = sa.or_(workloads.c.host.is_(None), workloads.c.status == "Deleted")
    query = (
        sa.select(workloads)
        .where(workloads.c.presence == ABSENT, left, workloads.c.id > after)
        .order_by(workloads.c.id)
        .limit(limit)
    )
    return [read_row(row) for row in tx.execute(query).mappings()]


def is_to_release(workload: Workload) -> bool:
    """Whether it is one of those."""
    return workload.goal.presence == ABSENT and (workload.host is None or workload.status == "Deleted")


def change(
    tx: sa.Connection,
    workload: Workload,
    goal: Goal,
    *,
    spec: ContainerSpec | None = None,
    ready: bool | None = None,
) -> Workload | None:
    """A new goal, and a new spec if one is given, in the next generation; None when another change came first.

    ready: False when ports or volumes must be provided for the new spec before its host may act on it.
    """
    _touch(tx, workload)
    changed = replace(
        workload,
        goal=goal,
        spec=spec or workload.spec,
        generation=workload.generation + 1,
        ready=workload.ready if ready is None else ready,
    )
    status = _status(changed)
    values: dict[str, Any] = {} if ready is None else {"ready": ready}
    if asked_by := request_ids.current().passed_on:
        values["request_id"] = asked_by
    if spec is not None:
        values |= _spec_values(spec)
        if not {network.position for network in workload.spec.networks} <= {item.position for item in spec.networks}:
            values["ports_left"] = True
    done = tx.execute(
        sa.update(workloads)
        .where(workloads.c.uuid == workload.uuid, workloads.c.generation == workload.generation)
        .values(
            generation=changed.generation,
            **_goal_values(goal),
            **_status_values(status),
            **values,
            updated_at=utc_now(),
        )
    )
    if not done.rowcount:
        return None
    _tell(tx, workload, status, before=workload)
    return get(tx, workload.uuid)


def rename(tx: sa.Connection, workload: Workload, name: str) -> None:
    """Another name for users, and for its neighbours' DNS; its host knows it by its uuid."""
    _touch(tx, workload)
    tx.execute(sa.update(workloads).where(workloads.c.uuid == workload.uuid).values(name=name, updated_at=utc_now()))
    networks = sorted({endpoint.network_id for endpoint in workload.wiring.endpoints})
    for network_id in networks:
        planes.network_changed(tx, network_id, workload.project_id)


def provide(tx: sa.Connection, workload: Workload, wiring: Wiring) -> bool:
    """Its ports and volumes are there: its host may begin. False when it was changed meanwhile."""
    _touch(tx, workload)
    current = get(tx, workload.uuid, lock=True)
    if current is None or not _is_to_provide(current, workload):
        return False
    status = _status(replace(current, ready=True, wiring=wiring))
    tx.execute(
        sa.update(workloads)
        .where(workloads.c.uuid == workload.uuid)
        .values(ready=True, wiring=wiring.to_json(), **_status_values(status), updated_at=utc_now())
    )
    _tell(tx, workload, status, before=current)
    return True


def reconnect(tx: sa.Connection, workload: Workload, endpoints: tuple[Endpoint, ...]) -> None:
    """The same ports, as its host is to make them at the start that was just ordered by change()."""
    wiring = replace(workload.wiring, endpoints=endpoints)
    tx.execute(sa.update(workloads).where(workloads.c.uuid == workload.uuid).values(wiring=wiring.to_json()))


def trimmed(tx: sa.Connection, workload: Workload) -> None:
    """The ports of networks that it left are gone, unless it was changed meanwhile."""
    tx.execute(
        sa.update(workloads)
        .where(workloads.c.uuid == workload.uuid, workloads.c.generation == workload.generation)
        .values(ports_left=False)
    )


def fail(tx: sa.Connection, workload: Workload, reason: str) -> bool:
    """The control plane gave up on it; only a delete helps. False when it was changed meanwhile."""
    _touch(tx, workload)
    status = _status(replace(workload, failure=reason))
    done = tx.execute(
        sa.update(workloads)
        .where(
            workloads.c.uuid == workload.uuid,
            workloads.c.generation == workload.generation,
            workloads.c.ready.is_(False),
        )
        .values(failure=reason, **_status_values(status), updated_at=utc_now())
    )
    if done.rowcount:
        _tell(tx, workload, status, before=workload)
    return done.rowcount == 1


def record_observed(tx: sa.Connection, workload: Workload, observed: Observed, *, host_known: bool = True) -> None:
    """What its host saw. The caller has checked host and epoch."""
    seen = replace(workload, observed=observed)
    gone = workload.goal.presence == ABSENT and observed.state == "absent"
    status = Status("Deleted") if gone else _status(seen, host_known=host_known)
    revisions.raise_one(tx, revisions.project(workload.project_id))
    done = tx.execute(
        sa.update(workloads)
        .where(workloads.c.uuid == workload.uuid, workloads.c.epoch == workload.epoch)
        .values(observed=observed.to_json(), **_status_values(status), updated_at=utc_now())
    )
    if done.rowcount:
        _tell(tx, workload, status, before=workload)


def host_changed(tx: sa.Connection, host: str, *, known: bool) -> None:
    """Recompute what users see of a host's workloads when it is lost or comes back."""
    for workload in on_host(tx, host, lock=True):
        if workload.status == "Deleted":
            continue
        status = _status(workload, host_known=known)
        if _shows(workload, status):
            continue
        revisions.raise_one(tx, revisions.project(workload.project_id))
        tx.execute(sa.update(workloads).where(workloads.c.uuid == workload.uuid).values(**_status_values(status)))
        _tell(tx, workload, status)


def remove(tx: sa.Connection, workload: Workload) -> None:
    """Forget a workload of which nothing is left."""
    _touch(tx, workload)
    tx.execute(sa.delete(workloads).where(workloads.c.uuid == workload.uuid))
    if workload.status != "Deleted":
        _tell(tx, workload, Status("Deleted"))


def read_row(row: sa.RowMapping) -> Workload:
    return Workload(
        id=row["id"],
        uuid=row["uuid"],
        kind=row["kind"],
        project_id=row["project_id"],
        user_id=row["user_id"],
        name=row["name"],
        spec=read_spec(row["kind"], row["spec"]),
        generation=row["generation"],
        goal=Goal(
            row["presence"],
            row["power"],
            row["run"],
            row["build"],
            row["stop_timeout_seconds"],
            row["reboot_run"],
            row["signals"],
            row["signal"],
        ),
        host=row["host"],
        epoch=row["epoch"],
        ready=row["ready"],
        failure=row["failure"],
        wiring=Wiring.from_json(row["wiring"]),
        observed=Observed.from_json(row["observed"]),
        status=row["status"],
        task_state=row["task_state"],
        status_reason=row["status_reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        request_id=row["request_id"],
    )


def _touch(tx: sa.Connection, workload: Workload) -> None:
    revisions.raise_one(tx, revisions.project(workload.project_id))
    if workload.host is not None:
        revisions.raise_one(tx, revisions.host(workload.host))


def _tell(tx: sa.Connection, workload: Workload, status: Status, *, before: Workload | None = None) -> None:
    """Note what users now see, unless they saw the same before. The project's revision was raised."""
    if before is not None and _shows(before, status):
        return
    status_events.add(
        tx,
        workload.project_id,
        workload_uuid=workload.uuid,
        kind=workload.kind,
        name=workload.name,
        status=status.status,
        task_state=status.task_state,
        status_reason=status.reason,
        user_id=workload.user_id,
        claim=workload.spec.claim,
    )


def _shows(workload: Workload, status: Status) -> bool:
    shown = (workload.status, workload.task_state, workload.status_reason)
    return shown == (status.status, status.task_state, status.reason)


def _is_to_provide(current: Workload, workload: Workload) -> bool:
    """Whether a workload still is what it was when it began to be provided for."""
    return (
        not current.ready
        and current.goal.presence == PRESENT
        and (current.epoch, current.generation) == (workload.epoch, workload.generation)
    )


def _status(workload: Workload, *, host_known: bool = True) -> Status:
    status = status_of(
        workload.goal, workload.generation, workload.observed, failure=workload.failure, host_known=host_known
    )
    return connections.with_task(status, workload.spec, workload.wiring, workload.ready, workload.observed)


def _status_values(status: Status) -> dict[str, Any]:
    return {"status": status.status, "task_state": status.task_state, "status_reason": status.reason}


def _spec_values(spec: ContainerSpec) -> dict[str, Any]:
    """The spec, and the columns of it that sums and filters need."""
    claim = spec.claim
    return {
        "spec": spec.to_json(),
        "image": spec.image,
        "registry_id": spec.registry_id,
        "auto_remove": spec.auto_remove,
        "containers": spec.container_count,
        "cpus": claim.cpus,
        "memory_mib": claim.memory_mib,
        "disk_gib": claim.disk_gib,
        "dedicated_cpus": claim.dedicated_cpus,
    }


def _goal_values(goal: Goal) -> dict[str, Any]:
    return goal.to_json()


def _usage(tx: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[int, Resources]:
    count, *sums = tx.execute(
        sa.select(
            *(sa.func.coalesce(sa.func.sum(workloads.c[name]), 0) for name in ("containers", *_SUMMED)),
        ).where(where)
    ).one()
    return int(count), _resources(sums)


_SUMMED = ("cpus", "memory_mib", "disk_gib", "dedicated_cpus")


def _resources(sums: Sequence[Any]) -> Resources:
    cpus, memory, disk, dedicated = sums
    return Resources(float(cpus), int(memory), int(disk), int(dedicated))
