# SPDX-License-Identifier: Apache-2.0
"""Answers to creates whose client gave them a key, so that a repeated one is answered again, not done again.

An answer is stored in the transaction that makes what it tells of: both are there, or neither.
Keys are a user's own within a project. They are forgotten after KEPT_HOURS.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Database, Json, Moment, metadata, text_type, utc_now

KEPT_HOURS = 24

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("project_id", text_type(64), primary_key=True),
    sa.Column("user_id", text_type(64), primary_key=True),
    sa.Column("key", text_type(255), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("location", sa.Text),
    sa.Column("body", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False, index=True),
)


@dataclass(frozen=True)
class Key:
    """Whose it is and what it says. An unscoped token's project is empty."""

    project_id: str
    user_id: str
    key: str


@dataclass(frozen=True)
class KeptAnswer:
    """digest: of the request that was answered so."""

    digest: str
    status: int
    location: str | None
    body: Any


def find(tx: sa.Connection, db: Database, key: Key) -> KeptAnswer | None:
    """The answer that was given under this key, while it is kept."""
    row = tx.execute(sa.select(idempotency_keys).where(_is(key), idempotency_keys.c.created_at > _edge(tx, db))).first()
    return None if row is None else KeptAnswer(row.digest, row.status, row.location, row.body)


def keep(tx: sa.Connection, db: Database, key: Key, answer: KeptAnswer) -> None:
    """IntegrityError, so that the transaction runs again: another one has just kept an answer under this key."""
    tx.execute(sa.delete(idempotency_keys).where(_is(key), idempotency_keys.c.created_at <= _edge(tx, db)))
    tx.execute(
        sa.insert(idempotency_keys).values(
            project_id=key.project_id,
            user_id=key.user_id,
            key=key.key,
            digest=answer.digest,
            status=answer.status,
            location=answer.location,
            body=answer.body,
            created_at=utc_now(),
        )
    )


def forget_old(tx: sa.Connection, db: Database) -> int:
    """How many keys were too old."""
    return tx.execute(sa.delete(idempotency_keys).where(idempotency_keys.c.created_at <= _edge(tx, db))).rowcount


def count_of_project(tx: sa.Connection, project_id: str) -> int:
    return tx.execute(sa.select(sa.func.count()).where(idempotency_keys.c.project_id == project_id)).scalar_one()


def forget_project(tx: sa.Connection, project_id: str) -> int:
    return tx.execute(sa.delete(idempotency_keys).where(idempotency_keys.c.project_id == project_id)).rowcount


def _edge(tx: sa.Connection, db: Database) -> datetime.datetime:
    return db.now(tx) - datetime.timedelta(hours=KEPT_HOURS)


def _is(key: Key) -> sa.ColumnElement[bool]:
    columns = idempotency_keys.c
    return sa.and_(columns.project_id == key.project_id, columns.user_id == key.user_id, columns.key == key.key)
