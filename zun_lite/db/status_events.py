# SPDX-License-Identifier: Apache-2.0
"""What users were shown of their workloads' statuses, change by change, kept for KEPT_HOURS.

Numbered by the revision of their project, whose row is held by whoever writes one: so a project's events
are committed in the order of their numbers, and who read up to one number misses none after it.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db import revisions
from zun_lite.db.engine import Database, Moment, metadata, text_type, utc_now
from zun_lite.domain.resources import Resources

KEPT_HOURS = 24

status_events = sa.Table(
    "status_events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("workload_uuid", sa.String(36), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("task_state", sa.String(32)),
    sa.Column("status_reason", sa.Text),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("cpus", sa.Float, nullable=False),
    sa.Column("memory_mib", sa.BigInteger, nullable=False),
    sa.Column("disk_gib", sa.BigInteger, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
    sa.Index(None, "project_id", "revision"),
)


@dataclass(frozen=True)
class StatusEvent:
    """One change. revision: its number within the project; kind: container or capsule.

    cpus, memory_mib, disk_gib: what the workload may use since then. user_id: whose it is.
    """

    revision: int
    workload_uuid: str
    kind: str
    name: str
    status: str
    task_state: str | None
    status_reason: str | None
    created_at: datetime.datetime
    user_id: str
    cpus: float
    memory_mib: int
    disk_gib: int


def add(
    tx: sa.Connection,
    project_id: str,
    *,
    workload_uuid: str,
    kind: str,
    name: str,
    status: str,
    task_state: str | None,
    status_reason: str | None,
    user_id: str,
    claim: Resources,
) -> None:
    """The caller has raised the project's revision in this transaction."""
    tx.execute(
        sa.insert(status_events).values(
            project_id=project_id,
            revision=revisions.current(tx, revisions.project(project_id)),
            workload_uuid=workload_uuid,
            kind=kind,
            name=name,
            status=status,
            task_state=task_state,
            status_reason=status_reason,
            user_id=user_id,
            cpus=claim.cpus,
            memory_mib=claim.memory_mib,
            disk_gib=claim.disk_gib,
            created_at=utc_now(),
        )
    )


def after(tx: sa.Connection, project_id: str, revision: int, limit: int) -> list[StatusEvent]:
    """The oldest of those with a higher number, in order: about as many as limit, but all of the last number."""
    columns = [status_events.c[name] for name in StatusEvent.__dataclass_fields__]
    query = (
        sa.select(*columns, status_events.c.id)
        .where(status_events.c.project_id == project_id)
        .order_by(status_events.c.revision, status_events.c.id)
    )
    rows = list(tx.execute(query.where(status_events.c.revision > revision).limit(limit)))
    if len(rows) == limit:
        last = rows[-1]
        more = query.where(status_events.c.revision == last.revision, status_events.c.id > last.id)
        rows += tx.execute(more)
    return [StatusEvent(*row[:-1]) for row in rows]


def is_kept(tx: sa.Connection, project_id: str, revision: int) -> bool:
    """Whether all that came after this number can still be told."""
    if revision >= revisions.current(tx, revisions.project(project_id)):
        return True
    oldest = tx.execute(
        sa.select(sa.func.min(status_events.c.revision)).where(status_events.c.project_id == project_id)
    ).scalar()
    return oldest is not None and oldest <= revision + 1


def forget_old(tx: sa.Connection, db: Database) -> int:
    """How many were too old."""
    edge = db.now(tx) - datetime.timedelta(hours=KEPT_HOURS)
    return tx.execute(sa.delete(status_events).where(status_events.c.created_at <= edge)).rowcount
