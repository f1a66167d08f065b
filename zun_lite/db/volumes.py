# SPDX-License-Identifier: Apache-2.0
"""Volumes and their attachments: the tables and their queries.

A volume has no host until it is first attached; from then on its file is there. It has one writer:
`writer` is the volume's id while an attachment may write, and unique. Each attachment gets the next
epoch of its volume, a number that never falls, so that an older attachment can be told from it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions
from zun_lite.db.engine import Moment, metadata, text_type, utc_now
from zun_lite.domain.names import new_id

AVAILABLE, IN_USE, DELETING, ERROR = "available", "in-use", "deleting", "error"

volumes = sa.Table(
    "volumes",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255)),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("volume_type", sa.String(255), nullable=False),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    sa.Column("fs_type", sa.String(16), nullable=False),
    sa.Column("formatted", sa.Boolean, nullable=False),
    sa.Column("host", sa.String(36)),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    # The workload that the volume was made for, and goes with; NULL for a user's own.
    sa.Column("made_for", sa.String(36)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "host", "status"),
)

volume_attachments = sa.Table(
    "volume_attachments",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("volume_uuid", sa.String(36), sa.ForeignKey("volumes.uuid"), nullable=False, index=True),
    sa.Column("workload_uuid", sa.String(36), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("host", sa.String(36), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("writer", sa.String(36), unique=True),
    sa.Column("attached_at", Moment, nullable=False),
    sa.UniqueConstraint("workload_uuid", "position"),
)

volume_metadata = sa.Table(
    "volume_metadata",
    metadata,
    sa.Column("volume_uuid", sa.String(36), sa.ForeignKey("volumes.uuid"), primary_key=True),
    sa.Column("key", text_type(255), primary_key=True),
    sa.Column("value", text_type(255), nullable=False),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: volumes.c[name]
    for name in ("uuid", "project_id", "name", "description", "size_gib", "status", "volume_type", "availability_zone")
}


@dataclass(frozen=True)
class AttachmentRow:
    """One use of a volume by a workload. target: the path in the container. state: attached."""

    uuid: str
    volume_uuid: str
    workload_uuid: str
    position: int
    epoch: int
    host: str
    target: str
    read_only: bool
    state: str
    attached_at: datetime.datetime


@dataclass(frozen=True)
class Volume:
    """One record. host: the uuid of the host that has the volume's file, None before its first use.

    epoch: that of its latest attachment. formatted: it was given a file system.
    """

    id: int
    uuid: str
    project_id: str
    user_id: str
    name: str
    description: str | None
    size_gib: int
    status: str
    volume_type: str
    availability_zone: str
    fs_type: str
    formatted: bool
    host: str | None
    epoch: int
    made_for: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    attachments: tuple[AttachmentRow, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()


def give_away(tx: sa.Connection, volume_uuid: str, workload_uuid: str) -> None:
    """Its user said that it is to go with the workload."""
    tx.execute(sa.update(volumes).where(volumes.c.uuid == volume_uuid).values(made_for=workload_uuid))


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    user_id: str,
    name: str,
    description: str | None,
    size_gib: int,
    volume_type: str,
    availability_zone: str = "nova",
    fs_type: str = "xfs",
    made_for: str | None = None,
) -> None:
    """A volume that is available at once: there is nothing to make before its first use."""
    tx.execute(
        sa.insert(volumes).values(
            uuid=uuid,
            project_id=project_id,
            user_id=user_id,
            name=name,
            description=description,
            size_gib=size_gib,
            status=AVAILABLE,
            volume_type=volume_type,
            availability_zone=availability_zone,
            fs_type=fs_type,
            formatted=False,
            host=None,
            epoch=0,
            made_for=made_for,
            created_at=utc_now(),
        )
    )


def get(tx: sa.Connection, uuid: str) -> Volume | None:
    found = page(tx, [volumes.c.uuid == uuid])
    return found[0] if found else None


def belonging_to(project_id: str | None) -> sa.ColumnElement[bool]:
    return volumes.c.project_id == project_id


def with_metadata(key: str, value: str) -> sa.ColumnElement[bool]:
    having = sa.select(volume_metadata.c.volume_uuid)
    return volumes.c.uuid.in_(having.where(volume_metadata.c.key == key, volume_metadata.c.value == value))


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
    offset: int = 0,
) -> list[Volume]:
    """filters: by column name, see listing.exact()."""
    query = sa.select(volumes).where(*where)
    if offset:
        query = query.offset(offset).limit(2**31 - 1)
    rows = listing.page(tx, query, volumes, wanted, listing.exact(COLUMNS, filters or {}))
    uuids = [row["uuid"] for row in rows]
    attached = _attachments_of(tx, uuids)
    said = _metadata_of(tx, uuids)
    return [
        Volume(**row, attachments=tuple(attached.get(row["uuid"], ())), metadata=tuple(said.get(row["uuid"], ())))
        for row in rows
    ]


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    tx.execute(sa.update(volumes).where(volumes.c.uuid == uuid).values(**changes, updated_at=utc_now()))


def set_metadata(tx: sa.Connection, uuid: str, pairs: Mapping[str, str], *, replace: bool) -> None:
    """replace: the pairs become all that there is; else they are added, or take the place of their like."""
    mine = volume_metadata.c.volume_uuid == uuid
    tx.execute(sa.delete(volume_metadata).where(mine if replace else mine & volume_metadata.c.key.in_(list(pairs))))
    for key, value in pairs.items():
        tx.execute(sa.insert(volume_metadata).values(volume_uuid=uuid, key=key, value=value))


def drop_metadata(tx: sa.Connection, uuid: str, key: str) -> bool:
    """False: there was no such key."""
    mine = (volume_metadata.c.volume_uuid == uuid) & (volume_metadata.c.key == key)
    return tx.execute(sa.delete(volume_metadata).where(mine)).rowcount == 1


def attachment_at(tx: sa.Connection, workload_uuid: str, position: int) -> AttachmentRow | None:
    query = _select_attachments().where(
        volume_attachments.c.workload_uuid == workload_uuid, volume_attachments.c.position == position
    )
    row = tx.execute(query).mappings().first()
    return AttachmentRow(**row) if row else None


def attachments_of_workload(tx: sa.Connection, workload_uuid: str) -> list[AttachmentRow]:
    query = _select_attachments().where(volume_attachments.c.workload_uuid == workload_uuid)
    return [AttachmentRow(**row) for row in tx.execute(query.order_by(volume_attachments.c.volume_uuid)).mappings()]


def attach(
    tx: sa.Connection,
    volume_uuid: str,
    *,
    workload_uuid: str,
    position: int,
    host: str,
    target: str,
    read_only: bool,
) -> int | None:
    """Give an available volume to a workload on a host, the volume's own or its first.

    The attachment's epoch; None: the volume is not available, or its file is on another host.
    """
    taken = tx.execute(
        sa.update(volumes)
        .where(
            volumes.c.uuid == volume_uuid,
            volumes.c.status == AVAILABLE,
            sa.or_(volumes.c.host.is_(None), volumes.c.host == host),
        )
        .values(status=IN_USE, host=host, epoch=volumes.c.epoch + 1, updated_at=utc_now())
    )
    if taken.rowcount != 1:
        return None
    epoch = tx.execute(sa.select(volumes.c.epoch).where(volumes.c.uuid == volume_uuid)).scalar_one()
    tx.execute(
        sa.insert(volume_attachments).values(
            uuid=new_id(),
            volume_uuid=volume_uuid,
            workload_uuid=workload_uuid,
            position=position,
            epoch=epoch,
            host=host,
            target=target,
            read_only=read_only,
            state="attached",
            writer=volume_uuid,
            attached_at=utc_now(),
        )
    )
    return epoch


def detach(tx: sa.Connection, attachment: AttachmentRow) -> None:
    """End an attachment; the volume is available again. Done twice, the second changes nothing."""
    ended = tx.execute(sa.delete(volume_attachments).where(volume_attachments.c.uuid == attachment.uuid))
    if ended.rowcount == 1:
        tx.execute(
            sa.update(volumes)
            .where(volumes.c.uuid == attachment.volume_uuid, volumes.c.status == IN_USE)
            .values(status=AVAILABLE, updated_at=utc_now())
        )


def doom(tx: sa.Connection, uuid: str) -> bool:
    """Mark a volume that nothing uses for removal by its host. False: it is in use, or gone."""
    done = tx.execute(
        sa.update(volumes)
        .where(volumes.c.uuid == uuid, volumes.c.status.in_((AVAILABLE, ERROR)))
        .values(status=DELETING, updated_at=utc_now())
    )
    return done.rowcount == 1


def remove(tx: sa.Connection, uuid: str) -> None:
    """Forget a doomed volume."""
    tx.execute(sa.delete(volume_metadata).where(volume_metadata.c.volume_uuid == uuid))
    tx.execute(sa.delete(volumes).where(volumes.c.uuid == uuid, volumes.c.status == DELETING))


def doomed(tx: sa.Connection, host: str) -> list[str]:
    """Ids of the volumes whose file on this host is to be removed."""
    query = sa.select(volumes.c.uuid).where(volumes.c.host == host, volumes.c.status == DELETING)
    return list(tx.execute(query.order_by(volumes.c.id)).scalars())


def removed(tx: sa.Connection, host: str, uuids: Iterable[str]) -> None:
    """The host has removed these volumes' files; ids that were not doomed there are passed over."""
    gone = set(doomed(tx, host)).intersection(uuids)
    for uuid in sorted(gone):
        remove(tx, uuid)
    if gone:
        revisions.raise_one(tx, revisions.host(host))


def note_formatted(tx: sa.Connection, host: str, uuids: Iterable[str]) -> None:
    """The host gave these volumes a file system; never again may one be made. Those of other hosts are passed over."""
    its_own = (volumes.c.uuid.in_(list(uuids)), volumes.c.host == host, volumes.c.formatted.is_(False))
    tx.execute(sa.update(volumes).where(*its_own).values(formatted=True))


def count_on_host(tx: sa.Connection, host: str) -> int:
    """How many volumes have their file on the host."""
    return tx.execute(sa.select(sa.func.count()).where(volumes.c.host == host)).scalar_one()


def usage(tx: sa.Connection, project_id: str) -> tuple[int, int]:
    """(volumes, GiB) of a project."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(volumes.c.size_gib), 0))
    count, size = tx.execute(query.where(volumes.c.project_id == project_id)).one()
    return count, int(size)


def _select_attachments() -> sa.Select[Any]:
    return sa.select(*(column for column in volume_attachments.c if column.name != "writer"))


def _attachments_of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[AttachmentRow]]:
    found: dict[str, list[AttachmentRow]] = {}
    for some in listing.in_parts(uuids):
        query = _select_attachments().where(volume_attachments.c.volume_uuid.in_(some))
        for row in tx.execute(query.order_by(volume_attachments.c.epoch)).mappings():
            found.setdefault(row["volume_uuid"], []).append(AttachmentRow(**row))
    return found


def _metadata_of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for some in listing.in_parts(uuids):
        query = sa.select(volume_metadata).where(volume_metadata.c.volume_uuid.in_(some)).order_by("key")
        for uuid, key, value in tx.execute(query):
            found.setdefault(uuid, []).append((key, value))
    return found
