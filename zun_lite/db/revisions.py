# SPDX-License-Identifier: Apache-2.0
"""Numbers that grow with every change of a scope: a project's or a host's workloads.

Raising one is also the claim's lock: the row is written first, so that two transactions of one
scope cannot both count before either has inserted; on Galera the second fails certification.
Callers raise a project before a host, to keep deadlocks rare.
"""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.db.engine import metadata, text_type

revisions = sa.Table(
    "revisions",
    metadata,
    sa.Column("scope", text_type(80), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# Built once: every list of containers asks it.
_CURRENT = sa.select(revisions.c.revision).where(revisions.c.scope == sa.bindparam("scope"))


def project(project_id: str) -> str:
    return f"project:{project_id}"


def host(host_uuid: str) -> str:
    return f"host:{host_uuid}"


def raise_one(tx: sa.Connection, scope: str) -> None:
    """One more change of this scope; holds its row until the transaction ends."""
    changed = tx.execute(
        sa.update(revisions).where(revisions.c.scope == scope).values(revision=revisions.c.revision + 1)
    )
    if changed.rowcount == 0:
        tx.execute(sa.insert(revisions).values(scope=scope, revision=1))


def hold(tx: sa.Connection, scope: str) -> None:
    """Keep others from holding or raising it until the transaction ends, without a change of it."""
    tx.execute(sa.select(revisions.c.revision).where(revisions.c.scope == scope).with_for_update())


def current(tx: sa.Connection, scope: str) -> int:
    """The scope's number, 0 before its first change."""
    return tx.execute(_CURRENT, {"scope": scope}).scalar() or 0
