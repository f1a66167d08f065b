# SPDX-License-Identifier: Apache-2.0
"""How often somebody's proof was wrong of late: a count for each user, credential and address.

Knows subjects as digests only, since names that nobody has are counted like those that somebody has.
"""

from __future__ import annotations

import datetime

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata

failed_sign_ins = sa.Table(
    "failed_sign_ins",
    metadata,
    sa.Column("subject", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("until", Moment, nullable=False, index=True),
)


def failures(tx: sa.Connection, subject: str, now: datetime.datetime) -> int:
    """How many count now."""
    columns = failed_sign_ins.c
    query = sa.select(columns["count"]).where(columns.subject == subject, columns.until > now)
    return tx.execute(query).scalar() or 0


def add_failure(tx: sa.Connection, subject: str, now: datetime.datetime, window: datetime.timedelta) -> None:
    """One more; they count together until the first is a window old. Forgets those that count no more."""
    columns = failed_sign_ins.c
    tx.execute(sa.delete(failed_sign_ins).where(columns.until <= now))
    more = sa.update(failed_sign_ins).where(columns.subject == subject).values(count=columns["count"] + 1)
    if not tx.execute(more).rowcount:
        tx.execute(sa.insert(failed_sign_ins).values(subject=subject, count=1, until=now + window))


def forget(tx: sa.Connection, subject: str) -> None:
    tx.execute(sa.delete(failed_sign_ins).where(failed_sign_ins.c.subject == subject))
