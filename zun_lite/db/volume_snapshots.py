# SPDX-License-Identifier: Apache-2.0
"""Snapshots of volumes: the tables and their queries.

A snapshot has a file in the pool of the host that made it. One of a volume that has no file yet has
none either (its host is NULL): it stands for nothing but the empty volume's size.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions
from zun_lite.db.engine import Moment, metadata, text_type, utc_now
from zun_lite.db.volumes import volumes

CREATING, AVAILABLE, DELETING = "creating", "available", "deleting"
ERROR, ERROR_DELETING = "error", "error_deleting"
DOOMED = (DELETING, ERROR_DELETING)
STATUSES = (CREATING, AVAILABLE, DELETING, ERROR, ERROR_DELETING)

volume_snapshots = sa.Table(
    "volume_snapshots",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("volume_uuid", sa.String(36), sa.ForeignKey("volumes.uuid"), nullable=False, index=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255)),
    sa.Column("size_gib", sa.Integer, nullable=False),
    sa.Column("status", sa.String(24), nullable=False),
    sa.Column("host", sa.String(36)),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("attempt", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "host", "status"),
)

volume_snapshot_metadata = sa.Table(
    "volume_snapshot_metadata",
    metadata,
    sa.Column("snapshot_uuid", sa.String(36), sa.ForeignKey("volume_snapshots.uuid"), primary_key=True),
    sa.Column("key", text_type(255), primary_key=True),
    sa.Column("value", text_type(255), nullable=False),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: volume_snapshots.c[name]
    for name in ("uuid", "project_id", "name", "description", "size_gib", "status", "volume_uuid")
}


@dataclass(frozen=True)
class Snapshot:
    """One record. host: the host whose pool has its file, None if it has none. attempt, problem: as of a volume."""

    id: int
    uuid: str
    volume_uuid: str
    project_id: str
    user_id: str
    name: str
    description: str | None
    size_gib: int
    status: str
    host: str | None
    shared: bool
    attempt: int
    version: int
    problem: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime | None
    metadata: tuple[tuple[str, str], ...] = ()


def insert(tx: sa.Connection, **facts: Any) -> None:
    """facts: columns of the snapshot."""
    tx.execute(sa.insert(volume_snapshots).values(**facts, attempt=1, version=1, created_at=utc_now()))


def get(tx: sa.Connection, uuid: str, *where: sa.ColumnElement[bool]) -> Snapshot | None:
    found = page(tx, [volume_snapshots.c.uuid == uuid, *where])
    return found[0] if found else None


def held(tx: sa.Connection, uuid: str) -> Snapshot | None:
    """The snapshot as it is, and as nobody else changes it until the transaction ends."""
    mine = sa.update(volume_snapshots).where(volume_snapshots.c.uuid == uuid)
    tx.execute(mine.values(version=volume_snapshots.c.version + 1))
    return get(tx, uuid)


def belonging_to(project_id: str | None) -> sa.ColumnElement[bool]:
    return volume_snapshots.c.project_id == project_id


def with_metadata(key: str, value: str) -> sa.ColumnElement[bool]:
    table = volume_snapshot_metadata
    having = sa.select(table.c.snapshot_uuid).where(table.c.key == key, table.c.value == value)
    return volume_snapshots.c.uuid.in_(having)


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
    offset: int = 0,
) -> list[Snapshot]:
    """filters: by column name, see listing.exact()."""
    query = sa.select(volume_snapshots).where(*where)
    if offset:
        query = query.offset(offset).limit(2**31 - 1)
    rows = listing.page(tx, query, volume_snapshots, wanted, listing.exact(COLUMNS, filters or {}))
    said = _metadata_of(tx, [row["uuid"] for row in rows])
    return [Snapshot(**row, metadata=tuple(said.get(row["uuid"], ()))) for row in rows]


def of_volume(tx: sa.Connection, volume_uuid: str) -> list[Snapshot]:
    return page(tx, [volume_snapshots.c.volume_uuid == volume_uuid])


def update(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    mine = sa.update(volume_snapshots).where(volume_snapshots.c.uuid == uuid)
    tx.execute(mine.values(**changes, updated_at=utc_now()))


def order(tx: sa.Connection, snapshot: Snapshot, status: str, **changes: Any) -> None:
    """Its host is to do something about it, which the status says."""
    update(tx, snapshot.uuid, {"status": status, "attempt": snapshot.attempt + 1, "problem": None, **changes})
    host = changes.get("host", snapshot.host)
    if host is not None:
        revisions.raise_one(tx, revisions.host(host))


def remove(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(volume_snapshot_metadata).where(volume_snapshot_metadata.c.snapshot_uuid == uuid))
    tx.execute(sa.delete(volume_snapshots).where(volume_snapshots.c.uuid == uuid))


def set_metadata(tx: sa.Connection, uuid: str, pairs: Mapping[str, str], *, replace: bool) -> None:
    """replace: the pairs become all that there is; else they are added, or take the place of their like."""
    table = volume_snapshot_metadata
    mine = table.c.snapshot_uuid == uuid
    tx.execute(sa.delete(table).where(mine if replace else mine & table.c.key.in_(list(pairs))))
    for key, value in pairs.items():
        tx.execute(sa.insert(table).values(snapshot_uuid=uuid, key=key, value=value))


def drop_metadata(tx: sa.Connection, uuid: str, key: str) -> bool:
    """False: there was no such key."""
    table = volume_snapshot_metadata
    mine = (table.c.snapshot_uuid == uuid) & (table.c.key == key)
    return tx.execute(sa.delete(table).where(mine)).rowcount == 1


def ordered(tx: sa.Connection, host: str) -> list[Snapshot]:
    """Those that the host is to make or to remove."""
    table = volume_snapshots
    query = sa.select(table).where(table.c.host == host, table.c.status.in_((CREATING, *DOOMED)))
    return [Snapshot(**row) for row in tx.execute(query.order_by(table.c.id)).mappings()]


def hand_over(tx: sa.Connection, before: str, after: str) -> None:
    """Snapshots in a shared pool are another host's from now on."""
    table = volume_snapshots
    tx.execute(sa.update(table).where(table.c.host == before, table.c.shared.is_(True)).values(host=after))


def count_on_host(tx: sa.Connection, host: str) -> int:
    """How many snapshots have their file on the host."""
    query = sa.select(sa.func.count()).select_from(volume_snapshots)
    return tx.execute(query.where(volume_snapshots.c.host == host)).scalar_one()


def usage_by_type(tx: sa.Connection, project_id: str) -> dict[str, tuple[int, int]]:
    """(snapshots, GiB) of a project, by the type of their volumes."""
    table = volume_snapshots
    query = (
        sa.select(volumes.c.volume_type, sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size_gib), 0))
        .join_from(table, volumes, table.c.volume_uuid == volumes.c.uuid)
        .where(table.c.project_id == project_id)
        .group_by(volumes.c.volume_type)
    )
    return {name: (count, int(size)) for name, count, size in tx.execute(query)}


def _metadata_of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    table = volume_snapshot_metadata
    for some in listing.in_parts(uuids):
        for uuid, key, value in tx.execute(sa.select(table).where(table.c.snapshot_uuid.in_(some)).order_by("key")):
            found.setdefault(uuid, []).append((key, value))
    return found
