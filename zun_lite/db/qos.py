# SPDX-License-Identifier: Apache-2.0
"""QoS policies and their limits of bandwidth: the tables and their queries."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db import listing
from zun_lite.db.engine import Moment, metadata, text_type
from zun_lite.db.records import Records

INGRESS, EGRESS = "ingress", "egress"

qos_policies = sa.Table(
    "qos_policies",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    # The project's id in its default policy, NULL in all others: there is one default a project.
    sa.Column("default_of", sa.String(64), unique=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

qos_limits = sa.Table(
    "qos_limits",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("policy_uuid", sa.String(36), sa.ForeignKey("qos_policies.uuid"), nullable=False),
    sa.Column("direction", sa.String(8), nullable=False),
    sa.Column("max_kbps", sa.Integer, nullable=False),
    sa.Column("max_burst_kbps", sa.Integer, nullable=False),
    sa.UniqueConstraint("policy_uuid", "direction"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    **{name: qos_policies.c[name] for name in ("uuid", "project_id", "name", "description", "shared")},
    "is_default": qos_policies.c.default_of.is_not(None),
}
LIMIT_COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    name: qos_limits.c[name] for name in ("uuid", "direction", "max_kbps", "max_burst_kbps")
}


@dataclass(frozen=True)
class Policy:
    """One record. default_of: the project whose new networks get it; shared: every project may use it."""

    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    shared: bool
    default_of: str | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


@dataclass(frozen=True)
class Limit:
    """One rule of a policy. direction: as the port sees it. max_kbps: kbit/s; max_burst_kbps: kbit, 0 is unsaid."""

    id: int
    uuid: str
    policy_uuid: str
    direction: str
    max_kbps: int
    max_burst_kbps: int


_records = Records(qos_policies, COLUMNS, lambda row: Policy(**row))
get, page, update, count = _records.get, _records.page, _records.update, _records.count


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    name: str,
    description: str,
    shared: bool,
    default_of: str | None,
) -> Policy:
    values = {
        "project_id": project_id,
        "name": name,
        "description": description,
        "shared": shared,
        "default_of": default_of,
    }
    return _records.add(tx, uuid, values)


def delete(tx: sa.Connection, uuid: str) -> None:
    """With its limits. The database refuses it (IntegrityError) while a port or a network has it."""
    tx.execute(sa.delete(qos_limits).where(qos_limits.c.policy_uuid == uuid))
    _records.delete(tx, uuid)


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project sees and may use: its own, and the shared ones."""
    return sa.or_(qos_policies.c.project_id == project_id, qos_policies.c.shared)


def default_of(tx: sa.Connection, project_id: str) -> Policy | None:
    found = page(tx, [qos_policies.c.default_of == project_id])
    return found[0] if found else None


def add_limit(
    tx: sa.Connection, *, uuid: str, policy_uuid: str, direction: str, max_kbps: int, max_burst_kbps: int
) -> None:
    """The policy must have none of this direction yet (IntegrityError)."""
    values = {"uuid": uuid, "policy_uuid": policy_uuid, "direction": direction}
    tx.execute(sa.insert(qos_limits).values(**values, max_kbps=max_kbps, max_burst_kbps=max_burst_kbps))


def change_limit(tx: sa.Connection, uuid: str, changes: Mapping[str, Any]) -> None:
    if changes:
        tx.execute(sa.update(qos_limits).where(qos_limits.c.uuid == uuid).values(**changes))


def remove_limit(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(qos_limits).where(qos_limits.c.uuid == uuid))


def limits_of(tx: sa.Connection, policy_uuids: Sequence[str]) -> dict[str, list[Limit]]:
    """By policy; policies without any are left out."""
    found: dict[str, list[Limit]] = {}
    for some in listing.in_parts(policy_uuids):
        for limit in page_of_limits(tx, [qos_limits.c.policy_uuid.in_(some)]):
            found.setdefault(limit.policy_uuid, []).append(limit)
    return found


def page_of_limits(
    tx: sa.Connection,
    where: Sequence[sa.ColumnElement[bool]] = (),
    filters: Mapping[str, Sequence[Any]] | None = None,
    wanted: listing.Page = listing.WHOLE,
) -> list[Limit]:
    query = sa.select(qos_limits).where(*where)
    rows = listing.page(tx, query, qos_limits, wanted, listing.exact(LIMIT_COLUMNS, filters or {}))
    return [Limit(**row) for row in rows]
