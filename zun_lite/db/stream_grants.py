# SPDX-License-Identifier: Apache-2.0
"""Streams that were allowed: those waiting to be opened, once, and those that are open.

A row bears the digest of a secret that only the client has, and what to look up the client's right
again with, locked by that same secret. It counts until live_until, which is short and moved on while
somebody checks that the stream may go on; so nothing is left of a gateway that died.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, utc_now

stream_grants = sa.Table(
    "stream_grants",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("workload_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("verb", sa.String(16), nullable=False),
    sa.Column("exec_id", sa.String(64)),
    sa.Column("host_uuid", sa.String(36), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("locked", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("live_until", Moment, nullable=False, index=True),
    sa.Column("opened_at", Moment),
)


@dataclass(frozen=True)
class StreamGrant:
    """verb: attach or execute, and then exec_id. locked: the user's token, readable with the secret only.

    host_uuid, epoch: the placement for which it holds.
    """

    digest: str
    workload_uuid: str
    project_id: str
    verb: str
    exec_id: str | None
    host_uuid: str
    epoch: int
    locked: str
    created_at: datetime.datetime
    live_until: datetime.datetime
    opened_at: datetime.datetime | None


def add(
    tx: sa.Connection,
    *,
    digest: str,
    workload_uuid: str,
    project_id: str,
    verb: str,
    exec_id: str | None,
    host_uuid: str,
    epoch: int,
    locked: str,
    live_until: datetime.datetime,
) -> None:
    tx.execute(
        sa.insert(stream_grants).values(
            digest=digest,
            workload_uuid=workload_uuid,
            project_id=project_id,
            verb=verb,
            exec_id=exec_id,
            host_uuid=host_uuid,
            epoch=epoch,
            locked=locked,
            created_at=utc_now(),
            live_until=live_until,
        )
    )


def open_one(tx: sa.Connection, digest: str, live_until: datetime.datetime) -> StreamGrant | None:
    """Spend a grant: of several who try, one gets it. None: there is none, or it was spent, or its time is over."""
    spent = tx.execute(
        sa.update(stream_grants)
        .where(
            stream_grants.c.digest == digest,
            stream_grants.c.opened_at.is_(None),
            stream_grants.c.live_until > utc_now(),
        )
        .values(opened_at=utc_now(), live_until=live_until)
    )
    return opened(tx, [digest]).get(digest) if spent.rowcount == 1 else None


def opened(tx: sa.Connection, digests: list[str]) -> dict[str, StreamGrant]:
    """Of these, the streams that are open."""
    rows = tx.execute(
        sa.select(stream_grants).where(
            stream_grants.c.digest.in_(digests),
            stream_grants.c.opened_at.is_not(None),
            stream_grants.c.live_until > utc_now(),
        )
    )
    return {row["digest"]: StreamGrant(**row) for row in rows.mappings()}


def go_on(tx: sa.Connection, digests: list[str], live_until: datetime.datetime) -> None:
    tx.execute(sa.update(stream_grants).where(stream_grants.c.digest.in_(digests)).values(live_until=live_until))


def remove(tx: sa.Connection, digests: list[str]) -> None:
    tx.execute(sa.delete(stream_grants).where(stream_grants.c.digest.in_(digests)))


def remove_over(tx: sa.Connection) -> None:
    """Those whose time is over."""
    tx.execute(sa.delete(stream_grants).where(stream_grants.c.live_until <= utc_now()))


def count(tx: sa.Connection, *, workload_uuid: str | None = None, project_id: str | None = None) -> int:
    """Open or waiting, of a workload or a project."""
    query = sa.select(sa.func.count()).select_from(stream_grants).where(stream_grants.c.live_until > utc_now())
    if workload_uuid is not None:
        query = query.where(stream_grants.c.workload_uuid == workload_uuid)
    if project_id is not None:
        query = query.where(stream_grants.c.project_id == project_id)
    return tx.execute(query).scalar_one()
