# SPDX-License-Identifier: Apache-2.0
"""Words that users hang on networking objects, by the object's uuid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import metadata, text_type

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("object_uuid", sa.String(36), primary_key=True),
    sa.Column("tag", text_type(255), primary_key=True),
)


def of(tx: sa.Connection, uuids: Sequence[str]) -> dict[str, list[str]]:
    """By object, in alphabetical order; objects without any are left out."""
    found: dict[str, list[str]] = {}
    for some in listing.in_parts(uuids):
        query = sa.select(tags.c.object_uuid, tags.c.tag).where(tags.c.object_uuid.in_(some)).order_by(tags.c.tag)
        for uuid, tag in tx.execute(query):
            found.setdefault(uuid, []).append(tag)
    return found


def put(tx: sa.Connection, uuid: str, wanted: Iterable[str]) -> None:
    """These and no others."""
    remove_all(tx, uuid)
    for tag in dict.fromkeys(wanted):
        tx.execute(sa.insert(tags).values(object_uuid=uuid, tag=tag))


def add(tx: sa.Connection, uuid: str, tag: str) -> None:
    if tag not in of(tx, [uuid]).get(uuid, ()):
        tx.execute(sa.insert(tags).values(object_uuid=uuid, tag=tag))


def remove(tx: sa.Connection, uuid: str, tag: str) -> bool:
    """Whether it was there."""
    return tx.execute(sa.delete(tags).where(tags.c.object_uuid == uuid, tags.c.tag == tag)).rowcount > 0


def remove_all(tx: sa.Connection, uuid: str) -> None:
    """The object is gone, or gets others."""
    tx.execute(sa.delete(tags).where(tags.c.object_uuid == uuid))


def having_all(column: sa.ColumnElement[str], wanted: Sequence[str]) -> sa.ColumnElement[bool]:
    """Objects, by their uuid's column, with every one of these."""
    return sa.and_(*(having_any(column, [tag]) for tag in wanted))


def having_any(column: sa.ColumnElement[str], wanted: Sequence[str]) -> sa.ColumnElement[bool]:
    return column.in_(sa.select(tags.c.object_uuid).where(tags.c.tag.in_(list(wanted))))
