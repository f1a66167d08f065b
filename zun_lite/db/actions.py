# SPDX-License-Identifier: Apache-2.0
"""Actions: who asked for which change, when it began and how it ended. Kept after their workload."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import workloads
from zun_lite.db.engine import Database, Json, Moment, metadata, utc_now
from zun_lite.domain.explanation import Sifted

actions = sa.Table(
    "actions",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.String(64), nullable=False, index=True),
    sa.Column("workload_uuid", sa.String(36), nullable=False, index=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    # NULL where the action changes no goal, and ends by end() alone.
    sa.Column("generation", sa.BigInteger),
    # Of the network that it joins the workload to.
    sa.Column("network_position", sa.Integer),
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("message", sa.String(255)),
    sa.Column("reason", sa.Text),
    # Where it failed, or waits while it is open, as far as the control plane itself does the work.
    sa.Column("stage", sa.String(16)),
    # Of a create that found no host: what each filter left.
    sa.Column("sifted", Json),
)


@dataclass(frozen=True)
class Action:
    """One action. message is None while it runs and after success, "Error" after failure.

    reason: why it failed or, while it is open, what it waits for. stage: network or volume, where that is.
    sifted: for a create that found no host.
    """

    id: int
    request_id: str
    workload_uuid: str
    project_id: str
    user_id: str
    action: str
    generation: int | None
    network_position: int | None
    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    message: str | None
    reason: str | None
    stage: str | None = None
    sifted: tuple[Sifted, ...] = ()


def begin(
    tx: sa.Connection,
    *,
    request_id: str,
    workload_uuid: str,
    project_id: str,
    user_id: str,
    action: str,
    generation: int | None,
    network_position: int | None = None,
) -> None:
    """Record an accepted change, in the transaction that accepts it.

    generation: the goal's, if it changes that. network_position: that of the one network that it is about.
    """
    tx.execute(
        sa.insert(actions).values(
            request_id=request_id,
            workload_uuid=workload_uuid,
            project_id=project_id,
            user_id=user_id,
            action=action,
            generation=generation,
            network_position=network_position,
            started_at=utc_now(),
        )
    )


def finish(
    tx: sa.Connection,
    workload_uuid: str,
    up_to_generation: int,
    *,
    failure: str | None = None,
    network_position: int | None = None,
    stage: str | None = None,
    sifted: tuple[Sifted, ...] | None = None,
) -> None:
    """Close every open action of the workload up to a generation; failure is the reason, if it failed.

    network_position: the one alone that joins this network. stage, sifted: of what failed.
    """
    query = sa.update(actions).where(
        actions.c.workload_uuid == workload_uuid,
        actions.c.generation <= up_to_generation,
        actions.c.finished_at.is_(None),
    )
    if network_position is not None:
        query = query.where(actions.c.network_position == network_position)
    said = {"stage": stage, "sifted": [asdict(each) for each in sifted] if sifted is not None else None}
    tx.execute(query.values(finished_at=utc_now(), message="Error" if failure else None, reason=failure, **said))


def wait(tx: sa.Connection, workload_uuid: str, up_to_generation: int, stage: str, reason: str) -> None:
    """Note what the open actions of the workload wait for."""
    tx.execute(
        sa.update(actions)
        .where(
            actions.c.workload_uuid == workload_uuid,
            actions.c.generation <= up_to_generation,
            actions.c.finished_at.is_(None),
            sa.or_(actions.c.reason.is_(None), actions.c.reason != reason, actions.c.stage != stage),
        )
        .values(stage=stage, reason=reason)
    )


def end(tx: sa.Connection, request_id: str, workload_uuid: str, *, failure: str | None = None) -> None:
    """Close the actions of one request that change no goal."""
    tx.execute(
        sa.update(actions)
        .where(
            actions.c.request_id == request_id,
            actions.c.workload_uuid == workload_uuid,
            actions.c.generation.is_(None),
            actions.c.finished_at.is_(None),
        )
        .values(finished_at=utc_now(), message="Error" if failure else None, reason=failure)
    )


def forget_old(tx: sa.Connection, db: Database, days: float) -> int:
    """Forget what ended so many days ago for a workload that is gone; how many rows."""
    edge = db.now(tx) - datetime.timedelta(days=days)
    return tx.execute(
        sa.delete(actions).where(
            actions.c.finished_at <= edge, actions.c.workload_uuid.not_in(sa.select(workloads.workloads.c.uuid))
        )
    ).rowcount


def of_workload(tx: sa.Connection, workload_uuid: str) -> list[Action]:
    """Newest first."""
    query = sa.select(actions).where(actions.c.workload_uuid == workload_uuid).order_by(actions.c.id.desc())
    return _read(tx.execute(query).mappings())


def still_open(tx: sa.Connection, workload_uuids: Iterable[str]) -> list[Action]:
    query = sa.select(actions).where(actions.c.workload_uuid.in_(list(workload_uuids)), actions.c.finished_at.is_(None))
    return _read(tx.execute(query).mappings())


def _read(rows: Iterable[sa.RowMapping]) -> list[Action]:
    return [Action(**{**row, "sifted": tuple(map(_sifted, row["sifted"] or ()))}) for row in rows]


def _sifted(body: dict[str, Any]) -> Sifted:
    return Sifted(body["name"], body["left"], tuple((host, reason) for host, reason in body["refused"]))
