# SPDX-License-Identifier: Apache-2.0
"""Images that an administrator wants on a host: asked for here, brought and told of by the host's agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing, revisions
from zun_lite.db.engine import Moment, metadata, text_type, utc_now

host_images = sa.Table(
    "host_images",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("host", sa.String(36), nullable=False),
    sa.Column("repo", text_type(255), nullable=False),
    sa.Column("tag", text_type(255), nullable=False),
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("image_id", sa.String(80)),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("problem", sa.Text),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("host", "repo", "tag"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: host_images.c[name] for name in ("uuid", "project_id", "host", "repo", "tag", "image_id", "wanted")
}


@dataclass(frozen=True)
class HostImage:
    """One record. host: a uuid. wanted: False once it is to go. problem: why it is not there."""

    id: int
    uuid: str
    project_id: str
    host: str
    repo: str
    tag: str
    wanted: bool
    image_id: str | None
    size_bytes: int | None
    problem: str | None


_COLUMNS = [host_images.c[name] for name in HostImage.__dataclass_fields__]


def insert(tx: sa.Connection, *, uuid: str, project_id: str, host: str, repo: str, tag: str) -> HostImage | None:
    """A wish; None when the host has this image, or is about to have it."""
    revisions.raise_one(tx, revisions.host(host))
    known = sa.select(*_COLUMNS).where(host_images.c.host == host, host_images.c.repo == repo, host_images.c.tag == tag)
    row = tx.execute(known).mappings().first()
    if row is not None and row["wanted"] and row["problem"] is None:
        return None
    if row is not None:
        tx.execute(sa.delete(host_images).where(host_images.c.uuid == row["uuid"]))
    tx.execute(
        sa.insert(host_images).values(
            uuid=uuid, project_id=project_id, host=host, repo=repo, tag=tag, wanted=True, created_at=utc_now()
        )
    )
    return get(tx, uuid)


def get(tx: sa.Connection, uuid: str) -> HostImage | None:
    row = tx.execute(sa.select(*_COLUMNS).where(host_images.c.uuid == uuid)).mappings().first()
    return HostImage(**row) if row else None


def page(tx: sa.Connection, filters: Mapping[str, Sequence[Any]], wanted: listing.Page) -> list[HostImage]:
    rows = listing.page(tx, sa.select(*_COLUMNS), host_images, wanted, listing.exact(COLUMNS, filters))
    return [HostImage(**row) for row in rows]


def on_host(tx: sa.Connection, host: str) -> list[HostImage]:
    query = sa.select(*_COLUMNS).where(host_images.c.host == host).order_by(host_images.c.id)
    return [HostImage(**row) for row in tx.execute(query).mappings()]


def named_like(tx: sa.Connection, name: str, *, exactly: bool, limit: int) -> list[HostImage]:
    """Images on any host whose repository has that name, or holds it."""
    column = host_images.c.repo
    where = column == name if exactly else column.contains(name, autoescape=True)
    query = sa.select(*_COLUMNS).where(where, host_images.c.wanted.is_(True)).order_by(host_images.c.id).limit(limit)
    return [HostImage(**row) for row in tx.execute(query).mappings()]


def unwant(tx: sa.Connection, image: HostImage) -> None:
    """It is to go from its host."""
    revisions.raise_one(tx, revisions.host(image.host))
    tx.execute(sa.update(host_images).where(host_images.c.uuid == image.uuid).values(wanted=False))


def note(
    tx: sa.Connection, host: str, uuid: str, *, image_id: str | None, size_bytes: int | None, problem: str | None
) -> None:
    """What the host says of it."""
    tx.execute(
        sa.update(host_images)
        .where(host_images.c.uuid == uuid, host_images.c.host == host)
        .values(image_id=image_id, size_bytes=size_bytes, problem=problem)
    )


def forget_host(tx: sa.Connection, host: str) -> None:
    """The host is no more."""
    tx.execute(sa.delete(host_images).where(host_images.c.host == host))


def forget(tx: sa.Connection, host: str, uuid: str) -> None:
    """The host keeps it no longer."""
    revisions.raise_one(tx, revisions.host(host))
    tx.execute(
        sa.delete(host_images).where(
            host_images.c.uuid == uuid, host_images.c.host == host, host_images.c.wanted.is_(False)
        )
    )
