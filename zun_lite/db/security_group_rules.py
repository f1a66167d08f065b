# SPDX-License-Identifier: Apache-2.0
"""Rules of security groups: the table and its queries. No group has the same rule twice: the database refuses it."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Moment, metadata, text_type, utc_now
from zun_lite.db.security_groups import security_groups

security_group_rules = sa.Table(
    "security_group_rules",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("group_uuid", sa.String(36), sa.ForeignKey("security_groups.uuid"), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("ethertype", sa.String(4), nullable=False),
    sa.Column("protocol", sa.String(16)),
    sa.Column("port_min", sa.Integer),
    sa.Column("port_max", sa.Integer),
    sa.Column("remote_prefix", sa.String(64)),
    sa.Column("remote_group", sa.String(36), sa.ForeignKey("security_groups.uuid"), index=True),
    # All that the rule lets through, in one spelling.
    sa.Column("meaning", sa.String(160), nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.UniqueConstraint("group_uuid", "meaning"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: security_group_rules.c[name]
    for name in (
        "uuid", "group_uuid", "project_id", "description", "direction", "ethertype", "protocol", "port_min", "port_max",
        "remote_prefix", "remote_group",
    )
}  # fmt: skip


@dataclass(frozen=True)
class SecurityGroupRule:
    """One record. protocol: as its maker wrote it, a name or a number; None is every one."""

    id: int
    uuid: str
    group_uuid: str
    project_id: str
    description: str
    direction: str
    ethertype: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote_prefix: str | None
    remote_group: str | None
    meaning: str
    created_at: datetime.datetime


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    group_uuid: str,
    project_id: str,
    direction: str,
    ethertype: str,
    meaning: str,
    description: str = "",
    protocol: str | None = None,
    port_min: int | None = None,
    port_max: int | None = None,
    remote_prefix: str | None = None,
    remote_group: str | None = None,
) -> SecurityGroupRule:
    tx.execute(
        sa.insert(security_group_rules).values(
            uuid=uuid,
            group_uuid=group_uuid,
            project_id=project_id,
            description=description,
            direction=direction,
            ethertype=ethertype,
            protocol=protocol,
            port_min=port_min,
            port_max=port_max,
            remote_prefix=remote_prefix,
            remote_group=remote_group,
            meaning=meaning,
            created_at=utc_now(),
        )
    )
    made = get(tx, uuid)
    assert made is not None
    return made


def get(tx: sa.Connection, uuid: str) -> SecurityGroupRule | None:
    found = page(tx, [security_group_rules.c.uuid == uuid])
    return found[0] if found else None


def meaning_this(tx: sa.Connection, group_uuid: str, meaning: str) -> SecurityGroupRule | None:
    """The rule of the group that lets the same through."""
    table = security_group_rules.c
    found = page(tx, [table.group_uuid == group_uuid, table.meaning == meaning])
    return found[0] if found else None


def of_groups(tx: sa.Connection, group_uuids: Sequence[str]) -> dict[str, list[SecurityGroupRule]]:
    """By group; groups without rules are left out."""
    found: dict[str, list[SecurityGroupRule]] = {}
    for some in listing.in_parts(group_uuids):
        for rule in page(tx, [security_group_rules.c.group_uuid.in_(some)]):
            found.setdefault(rule.group_uuid, []).append(rule)
    return found


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """Those of a project's groups, whoever made the rule."""
    own = sa.select(security_groups.c.uuid).where(security_groups.c.project_id == project_id)
    return security_group_rules.c.group_uuid.in_(own)


def page(
    tx: sa.Connection,
    where: Iterable[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[SecurityGroupRule]:
    query = sa.select(security_group_rules).where(*where)
    rows = listing.page(tx, query, security_group_rules, wanted, listing.exact(COLUMNS, filters or {}))
    return [SecurityGroupRule(**row) for row in rows]


def remove(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(security_group_rules).where(security_group_rules.c.uuid == uuid))


def remove_of_group(tx: sa.Connection, group_uuid: str) -> None:
    """The group's own, and those of others that let its members through."""
    table = security_group_rules.c
    tx.execute(
        sa.delete(security_group_rules).where(sa.or_(table.group_uuid == group_uuid, table.remote_group == group_uuid))
    )


def count(tx: sa.Connection, project_id: str) -> int:
    """Of users' own groups."""
    query = (
        sa.select(sa.func.count())
        .select_from(security_group_rules)
        .join(security_groups, security_groups.c.uuid == security_group_rules.c.group_uuid)
        .where(security_group_rules.c.project_id == project_id, security_groups.c.workload_uuid.is_(None))
    )
    return tx.execute(query).scalar_one()
