# SPDX-License-Identifier: Apache-2.0
"""What is remembered of volumes that a Cinder owns: how often each was attached, and what workloads have of them.

A use is written down before Cinder is asked for anything, so that whatever was made there is found again. An epoch
outlives its attachment: it grows with each one, and only a volume that is gone is forgotten.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, utc_now

cinder_volumes = sa.Table(
    "cinder_volumes",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("formatted", sa.Boolean, nullable=False),
)
cinder_uses = sa.Table(
    "cinder_uses",
    metadata,
    sa.Column("workload_uuid", sa.String(36), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("volume_uuid", sa.String(36), index=True),
    sa.Column("made", sa.Boolean, nullable=False),
    sa.Column("host", sa.String(36), index=True),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("multiattach", sa.Boolean, nullable=False),
    # locked by the operator's key: it may hold the passwords of targets
    sa.Column("connection", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
)


@dataclass(frozen=True)
class Use:
    """What a workload has of a volume at one position of its mounts.

    volume_uuid: None while the volume that is made for it is not known yet. made: it goes with the workload.
    host, connection: None until it is attached; connection is locked JSON.
    """

    workload_uuid: str
    position: int
    volume_uuid: str | None
    made: bool
    host: str | None
    epoch: int
    read_only: bool
    size_gib: int
    multiattach: bool
    connection: str | None
    created_at: datetime.datetime


def at(tx: sa.Connection, workload_uuid: str, position: int) -> Use | None:
    found = [use for use in of_workload(tx, workload_uuid) if use.position == position]
    return found[0] if found else None


def of_workload(tx: sa.Connection, workload_uuid: str) -> list[Use]:
    return _uses(tx, cinder_uses.c.workload_uuid == workload_uuid)


def of_volume(tx: sa.Connection, volume_uuid: str) -> list[Use]:
    return _uses(tx, cinder_uses.c.volume_uuid == volume_uuid)


def every(tx: sa.Connection) -> list[Use]:
    return _uses(tx, sa.true())


def count_on_host(tx: sa.Connection, host: str) -> int:
    """How many uses are attached on the host."""
    return tx.execute(sa.select(sa.func.count()).where(cinder_uses.c.host == host)).scalar_one()


def give_up(tx: sa.Connection, workload_uuid: str, at_once: datetime.datetime) -> None:
    """Let abandoned() name the workload from now on. at_once: long ago."""
    mine = cinder_uses.c.workload_uuid == workload_uuid
    tx.execute(sa.update(cinder_uses).where(mine).values(created_at=at_once))


def abandoned(tx: sa.Connection, before: datetime.datetime, workloads: sa.Table) -> list[str]:
    """Workloads that never came to be, though a volume was begun for them before that moment."""
    query = (
        sa.select(cinder_uses.c.workload_uuid)
        .where(cinder_uses.c.created_at < before)
        .where(sa.not_(sa.exists().where(workloads.c.uuid == cinder_uses.c.workload_uuid)))
    )
    return list(tx.execute(query.distinct()).scalars())


def begin(tx: sa.Connection, workload_uuid: str, position: int, volume_uuid: str | None, *, made: bool) -> Use:
    """Write down a use that is to be."""
    tx.execute(
        sa.insert(cinder_uses).values(
            workload_uuid=workload_uuid,
            position=position,
            volume_uuid=volume_uuid,
            made=made,
            epoch=0,
            read_only=False,
            size_gib=0,
            multiattach=False,
            created_at=utc_now(),
        )
    )
    begun = at(tx, workload_uuid, position)
    assert begun is not None
    return begun


def change(tx: sa.Connection, use: Use, **facts: object) -> Use | None:
    """facts: columns of it. None: it is gone."""
    tx.execute(sa.update(cinder_uses).where(*_this(use)).values(**facts))
    return at(tx, use.workload_uuid, use.position)


def end(tx: sa.Connection, use: Use) -> None:
    tx.execute(sa.delete(cinder_uses).where(*_this(use)))


def next_epoch(tx: sa.Connection, volume_uuid: str) -> int:
    """The number of one more attachment of a volume, which nobody else gets one of until the transaction ends."""
    mine = cinder_volumes.c.uuid == volume_uuid
    if not tx.execute(sa.update(cinder_volumes).where(mine).values(epoch=cinder_volumes.c.epoch + 1)).rowcount:
        tx.execute(sa.insert(cinder_volumes).values(uuid=volume_uuid, epoch=1, formatted=False))
    return tx.execute(sa.select(cinder_volumes.c.epoch).where(mine)).scalar_one()


def is_formatted(tx: sa.Connection, volume_uuid: str) -> bool:
    """Whether a host ever said that the volume has a file system."""
    return bool(tx.execute(sa.select(cinder_volumes.c.formatted).where(cinder_volumes.c.uuid == volume_uuid)).scalar())


def note_formatted(tx: sa.Connection, host: str, uuids: Iterable[str]) -> None:
    """The host found, or made, a file system on these volumes, as far as they are attached there."""
    here = sa.select(cinder_uses.c.volume_uuid).where(cinder_uses.c.host == host)
    found = (cinder_volumes.c.uuid.in_(list(uuids)), cinder_volumes.c.uuid.in_(here))
    tx.execute(sa.update(cinder_volumes).where(*found).values(formatted=True))


def forget_volume(tx: sa.Connection, volume_uuid: str) -> None:
    """The volume is gone."""
    tx.execute(sa.delete(cinder_volumes).where(cinder_volumes.c.uuid == volume_uuid))


def _this(use: Use) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return cinder_uses.c.workload_uuid == use.workload_uuid, cinder_uses.c.position == use.position


def _uses(tx: sa.Connection, which: sa.ColumnElement[bool]) -> list[Use]:
    order = (cinder_uses.c.workload_uuid, cinder_uses.c.position)
    return [Use(**row) for row in tx.execute(sa.select(cinder_uses).where(which).order_by(*order)).mappings()]
