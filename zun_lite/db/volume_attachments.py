# SPDX-License-Identifier: Apache-2.0
"""Attachments of volumes: the table and its queries. What they do to a volume is said in db/volumes.py.

One of a workload is made by the controller and known by the workload and the position among its mounts.
One of a client of the Block Storage API has no workload: the client says for what it is (`instance`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now
from zun_lite.domain.names import new_id

RESERVED, ATTACHING, ATTACHED, DETACHING = "reserved", "attaching", "attached", "detaching"

volume_attachments = sa.Table(
    "volume_attachments",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("volume_uuid", sa.String(36), sa.ForeignKey("volumes.uuid"), nullable=False, index=True),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("workload_uuid", sa.String(36)),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("instance", text_type(255)),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("host", sa.String(36)),
    sa.Column("host_name", text_type(255)),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("connector", Json),
    # The volume's id, so that there is one; NULL where the volume may be attached several times.
    sa.Column("writer", sa.String(36), unique=True),
    sa.Column("attached_at", Moment, nullable=False),
    sa.UniqueConstraint("workload_uuid", "position"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: volume_attachments.c[name] for name in ("uuid", "volume_uuid", "state", "project_id", "instance")
}


@dataclass(frozen=True)
class AttachmentRow:
    """One use of a volume. target: the path in the container, or the device that a client named.

    workload_uuid, host: None of a client's, which has an instance, a host_name and a connector instead.
    state: reserved, attaching, attached, detaching.
    """

    id: int
    uuid: str
    volume_uuid: str
    project_id: str
    workload_uuid: str | None
    position: int
    instance: str | None
    epoch: int
    host: str | None
    host_name: str | None
    target: str
    read_only: bool
    state: str
    connector: dict[str, Any] | None
    attached_at: datetime.datetime

    @property
    def server(self) -> str | None:
        """Who has the volume."""
        return self.workload_uuid or self.instance


def insert(tx: sa.Connection, volume_uuid: str, project_id: str, epoch: int, **facts: Any) -> str:
    """facts: columns of the attachment. Its id."""
    uuid = new_id()
    given = {"position": 0, "target": "", "read_only": False, "state": ATTACHED, **facts}
    tx.execute(
        sa.insert(volume_attachments).values(
            uuid=uuid,
            volume_uuid=volume_uuid,
            project_id=project_id,
            epoch=epoch,
            attached_at=utc_now(),
            **given,
        )
    )
    return uuid


def get(tx: sa.Connection, uuid: str, *where: sa.ColumnElement[bool]) -> AttachmentRow | None:
    row = tx.execute(_select().where(volume_attachments.c.uuid == uuid, *where)).mappings().first()
    return AttachmentRow(**row) if row else None


def belonging_to(project_id: str | None) -> sa.ColumnElement[bool]:
    return volume_attachments.c.project_id == project_id


def at(tx: sa.Connection, workload_uuid: str, position: int) -> AttachmentRow | None:
    query = _select().where(
        volume_attachments.c.workload_uuid == workload_uuid, volume_attachments.c.position == position
    )
    row = tx.execute(query).mappings().first()
    return AttachmentRow(**row) if row else None


def of_workload(tx: sa.Connection, workload_uuid: str) -> list[AttachmentRow]:
    query = _select().where(volume_attachments.c.workload_uuid == workload_uuid)
    return [AttachmentRow(**row) for row in tx.execute(query.order_by(volume_attachments.c.volume_uuid)).mappings()]


def of_volumes(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[AttachmentRow]]:
    """By volume, the oldest first."""
    found: dict[str, list[AttachmentRow]] = {}
    for some in listing.in_parts(uuids):
        query = _select().where(volume_attachments.c.volume_uuid.in_(some))
        for row in tx.execute(query.order_by(volume_attachments.c.epoch)).mappings():
            found.setdefault(row["volume_uuid"], []).append(AttachmentRow(**row))
    return found


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]],
    filters: Mapping[str, Sequence[Any]],
    wanted: listing.Page,
    offset: int = 0,
) -> list[AttachmentRow]:
    query = _select().where(*where)
    if offset:
        query = query.offset(offset).limit(2**31 - 1)
    rows = listing.page(tx, query, volume_attachments, wanted, listing.exact(COLUMNS, filters))
    return [AttachmentRow(**row) for row in rows]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(sa.update(volume_attachments).where(volume_attachments.c.uuid == uuid).values(**changes))


def remove(tx: sa.Connection, uuid: str) -> bool:
    """Whether it was there."""
    return tx.execute(sa.delete(volume_attachments).where(volume_attachments.c.uuid == uuid)).rowcount == 1


def _select() -> sa.Select[Any]:
    return sa.select(*(column for column in volume_attachments.c if column.name != "writer"))
