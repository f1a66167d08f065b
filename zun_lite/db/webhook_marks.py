# SPDX-License-Identifier: Apache-2.0
"""Up to which of a project's status events the operator's webhook was told, and who is telling it now."""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from zun_lite.db.engine import Database, Moment, metadata, utc_now
from zun_lite.db.status_events import status_events

webhook_marks = sa.Table(
    "webhook_marks",
    metadata,
    sa.Column("project_id", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("claimed_until", Moment),
)


def waiting(tx: sa.Connection, limit: int) -> list[str]:
    """Projects with events that were not told, and whose telling nobody has claimed."""
    marks = webhook_marks
    query = (
        sa.select(status_events.c.project_id)
        .join(marks, marks.c.project_id == status_events.c.project_id, isouter=True)
        .where(status_events.c.revision > sa.func.coalesce(marks.c.revision, -1))
        .where(sa.or_(marks.c.claimed_until.is_(None), marks.c.claimed_until < utc_now()))
        .group_by(status_events.c.project_id)
        .limit(limit)
    )
    return list(tx.execute(query).scalars())


def claim(tx: sa.Connection, db: Database, project_id: str, seconds: float) -> int | None:
    """The number that was told last, -1 if none; None when another has the project."""
    found = tx.execute(
        sa.select(webhook_marks).where(webhook_marks.c.project_id == project_id).with_for_update()
    ).first()
    now = db.now(tx)
    until = now + datetime.timedelta(seconds=seconds)
    if found is None:
        tx.execute(sa.insert(webhook_marks).values(project_id=project_id, revision=-1, claimed_until=until))
        return -1
    if found.claimed_until is not None and found.claimed_until > now:
        return None
    tx.execute(_of(project_id).values(claimed_until=until))
    return int(found.revision)


def told(tx: sa.Connection, project_id: str, revision: int) -> None:
    """All up to this number was taken."""
    tx.execute(_of(project_id).values(revision=revision, claimed_until=None))


def let_go(tx: sa.Connection, project_id: str) -> None:
    """It was not taken; whoever comes next tries again."""
    tx.execute(_of(project_id).values(claimed_until=None))


def forget_idle(tx: sa.Connection) -> int:
    """How many were of projects whose events are all forgotten, so that nothing is left to be told twice."""
    marks = webhook_marks
    has_events = sa.exists().where(status_events.c.project_id == marks.c.project_id)
    idle = sa.or_(marks.c.claimed_until.is_(None), marks.c.claimed_until < utc_now())
    return tx.execute(sa.delete(marks).where(sa.not_(has_events), idle)).rowcount


def _of(project_id: str) -> sa.Update:
    return sa.update(webhook_marks).where(webhook_marks.c.project_id == project_id)
