# SPDX-License-Identifier: Apache-2.0
"""Volumes: the table and its queries, and what an attachment does to a volume.

A volume has no host until it is first attached, or made out of another one; from then on its file is
there. It has one writer: `writer` is the volume's id while an attachment may write, and unique. Each
attachment gets the next epoch of its volume, a number that never falls, so that an older one can be
told from it. Whoever decides by what a volume is holds its row first (`held`).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions, volume_attachments
from zun_lite.db.engine import Moment, metadata, text_type, utc_now
from zun_lite.db.volume_attachments import AttachmentRow

CREATING, AVAILABLE, RESERVED, ATTACHING = "creating", "available", "reserved", "attaching"
IN_USE, DETACHING, EXTENDING, DELETING = "in-use", "detaching", "extending", "deleting"
ERROR, ERROR_EXTENDING, ERROR_DELETING = "error", "error_extending", "error_deleting"
DOOMED = (DELETING, ERROR_DELETING)
STATUSES = (
    CREATING, AVAILABLE, RESERVED, ATTACHING, IN_USE, DETACHING, EXTENDING, DELETING,
    ERROR, ERROR_EXTENDING, ERROR_DELETING,
)  # fmt: skip

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
    # What size_gib is to become; the two differ while the volume is extended. Quota counts this one.
    sa.Column("wanted_gib", sa.Integer, nullable=False),
    sa.Column("status", sa.String(24), nullable=False),
    sa.Column("volume_type", text_type(255), nullable=False),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    sa.Column("fs_type", sa.String(16), nullable=False),
    sa.Column("formatted", sa.Boolean, nullable=False),
    sa.Column("multiattach", sa.Boolean, nullable=False),
    sa.Column("read_only", sa.Boolean, nullable=False),
    sa.Column("bootable", sa.Boolean, nullable=False),
    sa.Column("snapshot_id", sa.String(36), index=True),
    sa.Column("source_volid", sa.String(36), index=True),
    sa.Column("host", sa.String(36)),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("file_wanted", sa.Boolean, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    # Which order its host was given last; what it says of an older one is not believed.
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text),
    # The workload that the volume was made for, and goes with; NULL for a user's own.
    sa.Column("made_for", sa.String(36)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "host", "status"),
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
    for name in (
        "uuid", "project_id", "name", "description", "size_gib", "status", "volume_type", "availability_zone",
        "snapshot_id", "source_volid",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Volume:
    """One record. host: the uuid of the host that has the volume's file, None before its first use.

    wanted_gib: the size that it is to get. epoch: that of its latest attachment. formatted: it was given a
    file system. shared: its file is where several hosts see it, so that another one may take it over.
    file_wanted: its host is to make the file before anything is attached. attempt: the number of the
    latest order to its host. problem: why that failed. version: grows whenever somebody holds it.
    """

    id: int
    uuid: str
    project_id: str
    user_id: str
    name: str
    description: str | None
    size_gib: int
    wanted_gib: int
    status: str
    volume_type: str
    availability_zone: str
    fs_type: str
    formatted: bool
    multiattach: bool
    read_only: bool
    bootable: bool
    snapshot_id: str | None
    source_volid: str | None
    host: str | None
    shared: bool
    file_wanted: bool
    epoch: int
    attempt: int
    version: int
    problem: str | None
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
    status: str = AVAILABLE,
    multiattach: bool = False,
    snapshot_id: str | None = None,
    source_volid: str | None = None,
    host: str | None = None,
    shared: bool = False,
) -> None:
    """An empty volume is available at once: there is nothing to make before its first use."""
    tx.execute(
        sa.insert(volumes).values(
            uuid=uuid,
            project_id=project_id,
            user_id=user_id,
            name=name,
            description=description,
            size_gib=size_gib,
            wanted_gib=size_gib,
            status=status,
            volume_type=volume_type,
            availability_zone=availability_zone,
            fs_type=fs_type,
            formatted=False,
            multiattach=multiattach,
            read_only=False,
            bootable=False,
            snapshot_id=snapshot_id,
            source_volid=source_volid,
            host=host,
            shared=shared,
            file_wanted=False,
            epoch=0,
            attempt=1,
            version=1,
            made_for=made_for,
            created_at=utc_now(),
        )
    )


def get(tx: sa.Connection, uuid: str, *where: sa.ColumnElement[bool]) -> Volume | None:
    found = page(tx, [volumes.c.uuid == uuid, *where])
    return found[0] if found else None


def held(tx: sa.Connection, uuid: str) -> Volume | None:
    """The volume as it is, and as nobody else changes it until the transaction ends."""
    tx.execute(sa.update(volumes).where(volumes.c.uuid == uuid).values(version=volumes.c.version + 1))
    return get(tx, uuid)


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
    attached = volume_attachments.of_volumes(tx, uuids)
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


def attach(
    tx: sa.Connection,
    volume_uuid: str,
    *,
    workload_uuid: str,
    position: int,
    host: str,
    target: str,
    read_only: bool,
    shared: bool = False,
) -> int | None:
    """Give a volume to a workload on a host: the volume's own, its first, or another one that shares its pool.

    shared: whether that host's pool is shared. The attachment's epoch; None: the volume cannot be had there.
    """
    volume = held(tx, volume_uuid)
    if volume is None or not may_take(volume) or not _is_reached(volume, host, shared=shared):
        return None
    volume_attachments.insert(
        tx,
        volume_uuid,
        volume.project_id,
        volume.epoch + 1,
        workload_uuid=workload_uuid,
        position=position,
        host=host,
        target=target,
        read_only=read_only,
        writer=None if volume.multiattach else volume_uuid,
    )
    update(tx, volume_uuid, {"status": IN_USE, "host": host, "shared": shared, "epoch": volume.epoch + 1})
    return volume.epoch + 1


def may_take(volume: Volume) -> bool:
    """Whether one more may have it now."""
    return volume.status == AVAILABLE or (volume.multiattach and volume.status == IN_USE)


def _is_reached(volume: Volume, host: str, *, shared: bool) -> bool:
    if volume.host in (None, host):
        return True
    # Two hosts with one file system mounted would destroy it.
    return volume.shared and shared and not volume.attachments


def detach(tx: sa.Connection, attachment: AttachmentRow) -> None:
    """End an attachment; after the last one the volume is available again. Done twice, the second changes nothing."""
    held(tx, attachment.volume_uuid)
    if volume_attachments.remove(tx, attachment.uuid):
        settle(tx, attachment.volume_uuid)


def settle(tx: sa.Connection, uuid: str) -> None:
    """The status of a volume that is in nobody's hands but its users', by what these do with it."""
    volume = get(tx, uuid)
    if volume is None or volume.status not in (AVAILABLE, RESERVED, ATTACHING, IN_USE, DETACHING):
        return
    status = status_by_use(volume)
    if status != volume.status:
        update(tx, uuid, {"status": status})


def status_by_use(volume: Volume) -> str:
    """What the attachments say, the busiest of them first."""
    states = {attachment.state for attachment in volume.attachments}
    for state, status in (
        (volume_attachments.ATTACHED, IN_USE),
        (volume_attachments.ATTACHING, ATTACHING),
        (volume_attachments.RESERVED, RESERVED),
        (volume_attachments.DETACHING, DETACHING),
    ):
        if state in states:
            return status
    return AVAILABLE


def order(tx: sa.Connection, volume: Volume, status: str, **changes: Any) -> None:
    """The volume's host, if there is one, is to do something about it, which the status says."""
    update(tx, volume.uuid, {"status": status, "attempt": volume.attempt + 1, "problem": None, **changes})
    host = changes.get("host", volume.host)
    if host is not None:
        revisions.raise_one(tx, revisions.host(host))


def remove(tx: sa.Connection, uuid: str) -> None:
    """Forget a doomed volume."""
    tx.execute(sa.delete(volume_metadata).where(volume_metadata.c.volume_uuid == uuid))
    tx.execute(sa.delete(volumes).where(volumes.c.uuid == uuid, volumes.c.status.in_(DOOMED)))


def doomed(tx: sa.Connection, host: str) -> list[str]:
    """Ids of the volumes whose file on this host is to be removed.

    Those with snapshots wait for these to go, and what somebody has is nothing to remove.
    """
    snapshots = sa.table("volume_snapshots", sa.column("volume_uuid"))
    query = sa.select(volumes.c.uuid).where(
        volumes.c.host == host,
        volumes.c.status.in_(DOOMED),
        sa.not_(sa.exists().where(snapshots.c.volume_uuid == volumes.c.uuid)),
        sa.not_(sa.exists().where(volume_attachments.volume_attachments.c.volume_uuid == volumes.c.uuid)),
    )
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


def hand_over(tx: sa.Connection, before: str, after: str) -> None:
    """Volumes in a shared pool that nobody has are another host's from now on."""
    had = sa.exists().where(volume_attachments.volume_attachments.c.volume_uuid == volumes.c.uuid)
    moved = sa.update(volumes).where(volumes.c.host == before, volumes.c.shared.is_(True), sa.not_(had))
    tx.execute(moved.values(host=after))


def ordered(tx: sa.Connection, host: str) -> list[Volume]:
    """Those about which the host is to do something else than removing them."""
    wanted = sa.or_(
        volumes.c.status.in_((CREATING, EXTENDING)),
        sa.and_(volumes.c.file_wanted, volumes.c.formatted.is_(False)),
    )
    rows = tx.execute(sa.select(volumes).where(volumes.c.host == host, wanted).order_by(volumes.c.id)).mappings()
    return [Volume(**row) for row in rows]


def copies_of(tx: sa.Connection, *, volume_uuid: str | None = None, snapshot_uuid: str | None = None) -> int:
    """How many volumes are being made out of it."""
    origin = volumes.c.source_volid == volume_uuid if volume_uuid else volumes.c.snapshot_id == snapshot_uuid
    return tx.execute(sa.select(sa.func.count()).where(origin, volumes.c.status == CREATING)).scalar_one()


def of_type(tx: sa.Connection, name: str) -> int:
    """How many volumes have that type."""
    return tx.execute(sa.select(sa.func.count()).where(volumes.c.volume_type == name)).scalar_one()


def rename_type(tx: sa.Connection, before: str, after: str) -> None:
    tx.execute(sa.update(volumes).where(volumes.c.volume_type == before).values(volume_type=after))


def usage(tx: sa.Connection, project_id: str) -> tuple[int, int]:
    """(volumes, GiB) of a project."""
    query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(volumes.c.wanted_gib), 0))
    count, size = tx.execute(query.where(volumes.c.project_id == project_id)).one()
    return count, int(size)


def usage_by_type(tx: sa.Connection, project_id: str) -> dict[str, tuple[int, int]]:
    """(volumes, GiB) of a project, by volume type."""
    query = sa.select(
        volumes.c.volume_type, sa.func.count(), sa.func.coalesce(sa.func.sum(volumes.c.wanted_gib), 0)
    ).group_by(volumes.c.volume_type)
    rows = tx.execute(query.where(volumes.c.project_id == project_id))
    return {name: (count, int(size)) for name, count, size in rows}


def _metadata_of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for some in listing.in_parts(uuids):
        query = sa.select(volume_metadata).where(volume_metadata.c.volume_uuid.in_(some)).order_by("key")
        for uuid, key, value in tx.execute(query):
            found.setdefault(uuid, []).append((key, value))
    return found
