# SPDX-License-Identifier: Apache-2.0
"""The image service's records: what an image is called, who may see it, and which file holds its bytes.

A record comes first, its bytes later, once: it is active from the moment at which they are all there.
`location` is the name of the file; each upload has one of its own, so that of two the first to end counts.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Moment, metadata, text_type, utc_now

QUEUED, SAVING, ACTIVE, KILLED = "queued", "saving", "active", "killed"
PUBLIC, SHARED, PRIVATE = "public", "shared", "private"

images = sa.Table(
    "images",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("visibility", sa.String(16), nullable=False),
    sa.Column("container_format", sa.String(16)),
    sa.Column("disk_format", sa.String(16)),
    sa.Column("min_disk", sa.Integer, nullable=False),
    sa.Column("min_ram", sa.Integer, nullable=False),
    sa.Column("protected", sa.Boolean, nullable=False),
    sa.Column("hidden", sa.Boolean, nullable=False),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("md5", sa.String(32)),
    sa.Column("sha512", sa.String(128)),
    sa.Column("location", sa.String(64)),
    # The container that the image is made of, and the request that asked for it; NULL for an upload.
    sa.Column("workload_uuid", sa.String(36), index=True),
    sa.Column("request_id", sa.String(64)),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
    sa.Index(None, "visibility"),
)

image_tags = sa.Table(
    "image_tags",
    metadata,
    sa.Column("image_uuid", sa.String(36), sa.ForeignKey("images.uuid"), primary_key=True),
    sa.Column("tag", text_type(255), primary_key=True),
)

image_properties = sa.Table(
    "image_properties",
    metadata,
    sa.Column("image_uuid", sa.String(36), sa.ForeignKey("images.uuid"), primary_key=True),
    sa.Column("key", text_type(255), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: images.c[name]
    for name in (
        "uuid", "project_id", "name", "status", "visibility", "container_format", "disk_format", "protected", "hidden",
        "size_bytes", "min_disk", "min_ram", "md5", "sha512",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Image:
    """One record. size_bytes, md5, sha512 and location are None until its bytes are there."""

    id: int
    uuid: str
    project_id: str
    name: str
    status: str
    visibility: str
    container_format: str | None
    disk_format: str | None
    min_disk: int
    min_ram: int
    protected: bool
    hidden: bool
    size_bytes: int | None
    md5: str | None
    sha512: str | None
    location: str | None
    workload_uuid: str | None
    request_id: str | None
    created_at: datetime.datetime
    updated_at: datetime.datetime
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    values: Mapping[str, Any],
    tags: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> Image:
    """A record without bytes. values: columns that differ from the usual."""
    usual = {
        "name": "",
        "status": QUEUED,
        "visibility": SHARED,
        "min_disk": 0,
        "min_ram": 0,
        "protected": False,
        "hidden": False,
    }
    tx.execute(
        sa.insert(images).values(
            {
                **usual,
                **values,
                "uuid": uuid,
                "project_id": project_id,
                "created_at": utc_now(),
                "updated_at": utc_now(),
            }
        )
    )
    set_tags(tx, uuid, tags)
    set_properties(tx, uuid, properties or {})
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str, *where: sa.ColumnElement[bool], lock: bool = False) -> Image | None:
    query = sa.select(images).where(images.c.uuid == uuid, *where)
    rows = list(tx.execute(query.with_for_update() if lock else query).mappings())
    return _whole(tx, rows)[0] if rows else None


def page(tx: sa.Connection, where: Sequence[sa.ColumnElement[bool]], wanted: listing.Page) -> list[Image]:
    return _whole(tx, listing.page(tx, sa.select(images).where(*where), images, wanted))


def exact(filters: Mapping[str, Sequence[Any]]) -> list[sa.ColumnElement[bool]]:
    """A clause for each filter that names a column."""
    return listing.exact(COLUMNS, filters)


def seen_by(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project may see: its own and the public ones."""
    return sa.or_(images.c.project_id == (project_id or ""), images.c.visibility == PUBLIC)


def tagged(tag: str) -> sa.ColumnElement[bool]:
    return images.c.uuid.in_(sa.select(image_tags.c.image_uuid).where(image_tags.c.tag == tag))


def with_property(key: str, value: str) -> sa.ColumnElement[bool]:
    query = sa.select(image_properties.c.image_uuid)
    return images.c.uuid.in_(query.where(image_properties.c.key == key, image_properties.c.value == value))


def update(tx: sa.Connection, uuid: str, values: Mapping[str, Any]) -> None:
    tx.execute(sa.update(images).where(images.c.uuid == uuid).values(**values, updated_at=utc_now()))


def set_tags(tx: sa.Connection, uuid: str, tags: Sequence[str]) -> None:
    """These and no others."""
    tx.execute(sa.delete(image_tags).where(image_tags.c.image_uuid == uuid))
    for tag in sorted(set(tags)):
        tx.execute(sa.insert(image_tags).values(image_uuid=uuid, tag=tag))


def set_properties(tx: sa.Connection, uuid: str, properties: Mapping[str, str]) -> None:
    """These and no others."""
    tx.execute(sa.delete(image_properties).where(image_properties.c.image_uuid == uuid))
    for key, value in sorted(properties.items()):
        tx.execute(sa.insert(image_properties).values(image_uuid=uuid, key=key, value=value))


def begin_upload(tx: sa.Connection, uuid: str) -> bool:
    """Whether bytes may come: none are there yet."""
    done = tx.execute(
        sa.update(images).where(images.c.uuid == uuid, images.c.status.in_((QUEUED, SAVING))).values(status=SAVING)
    )
    return done.rowcount == 1


def end_upload(tx: sa.Connection, uuid: str, *, size_bytes: int, md5: str, sha512: str, location: str) -> bool:
    """All bytes are there. False: another upload was first, or the record is gone."""
    done = tx.execute(
        sa.update(images)
        .where(images.c.uuid == uuid, images.c.status.in_((QUEUED, SAVING)))
        .values(status=ACTIVE, size_bytes=size_bytes, md5=md5, sha512=sha512, location=location, updated_at=utc_now())
    )
    return done.rowcount == 1


def give_up_upload(tx: sa.Connection, uuid: str, status: str = QUEUED) -> bool:
    """It failed: back to waiting for bytes, or killed for good."""
    done = tx.execute(
        sa.update(images)
        .where(images.c.uuid == uuid, images.c.status.in_((QUEUED, SAVING)))
        .values(status=status, updated_at=utc_now())
    )
    return done.rowcount == 1


def remove(tx: sa.Connection, uuid: str) -> None:
    set_tags(tx, uuid, ())
    set_properties(tx, uuid, {})
    tx.execute(sa.delete(images).where(images.c.uuid == uuid))


def bytes_of_project(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.coalesce(sa.func.sum(images.c.size_bytes), 0)).where(images.c.project_id == project_id)
    return int(tx.execute(query).scalar_one())


def locations(tx: sa.Connection) -> set[str]:
    """Every file that a record names."""
    return set(tx.execute(sa.select(images.c.location).where(images.c.location.is_not(None))).scalars())


def being_made_of(tx: sa.Connection, workload_uuids: Sequence[str]) -> list[Image]:
    """Images of these containers whose bytes are not there yet."""
    found: list[Image] = []
    for part in listing.in_parts(workload_uuids):
        query = sa.select(images).where(images.c.workload_uuid.in_(part), images.c.status.in_((QUEUED, SAVING)))
        found += _whole(tx, list(tx.execute(query.order_by(images.c.id)).mappings()))
    return found


def _whole(tx: sa.Connection, rows: Sequence[sa.RowMapping]) -> list[Image]:
    """The rows with their tags and properties."""
    uuids = [row["uuid"] for row in rows]
    tags: dict[str, list[str]] = {uuid: [] for uuid in uuids}
    properties: dict[str, dict[str, str]] = {uuid: {} for uuid in uuids}
    for part in listing.in_parts(uuids):
        query = sa.select(image_tags).where(image_tags.c.image_uuid.in_(part)).order_by(image_tags.c.tag)
        for uuid, tag in tx.execute(query):
            tags[uuid].append(tag)
        more = sa.select(image_properties).where(image_properties.c.image_uuid.in_(part))
        for uuid, key, value in tx.execute(more):
            properties[uuid][key] = value
    return [Image(**row, tags=tuple(tags[row["uuid"]]), properties=properties[row["uuid"]]) for row in rows]
