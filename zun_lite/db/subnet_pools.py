# SPDX-License-Identifier: Apache-2.0
"""Subnet pools: the table and its queries. What is taken of a pool is its subnets' CIDRs (zun_lite.db.subnets)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type
from zun_lite.db.records import Records

subnet_pools = sa.Table(
    "subnet_pools",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", text_type(255), nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("prefixes", Json, nullable=False),
    sa.Column("default_prefixlen", sa.Integer, nullable=False),
    sa.Column("min_prefixlen", sa.Integer, nullable=False),
    sa.Column("max_prefixlen", sa.Integer, nullable=False),
    sa.Column("default_quota", sa.Integer),
    sa.Column("shared", sa.Boolean, nullable=False),
    # The IP version in the pool that is that version's default, NULL in all others.
    sa.Column("default_for", sa.Integer, unique=True),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Index(None, "project_id", "name"),
)

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    **{
        name: subnet_pools.c[name]
        for name in (
            "uuid", "project_id", "name", "description", "ip_version", "default_prefixlen", "min_prefixlen",
            "max_prefixlen", "default_quota", "shared",
        )
    },
    "is_default": subnet_pools.c.default_for.is_not(None),
}  # fmt: skip


@dataclass(frozen=True)
class SubnetPool:
    """One record. prefixes: CIDRs, none of which overlap, ascending. default_quota: how much of the pool a
    project may have, in addresses, of IPv6 in /64s; None is all. default_for: the IP version that it is
    the default of.
    """

    id: int
    uuid: str
    project_id: str
    name: str
    description: str
    ip_version: int
    prefixes: tuple[str, ...]
    default_prefixlen: int
    min_prefixlen: int
    max_prefixlen: int
    default_quota: int | None
    shared: bool
    default_for: int | None
    revision: int
    created_at: datetime.datetime
    updated_at: datetime.datetime


_records = Records(subnet_pools, COLUMNS, lambda row: SubnetPool(**{**row, "prefixes": tuple(row["prefixes"])}))
get, page, update, delete, count = _records.get, _records.page, _records.update, _records.delete, _records.count


def scope(uuid: str) -> str:
    """The revision to raise before something is taken of the pool, or it is changed."""
    return f"subnetpool:{uuid}"


def insert(
    tx: sa.Connection,
    *,
    uuid: str,
    project_id: str,
    name: str,
    description: str,
    ip_version: int,
    prefixes: Sequence[str],
    default_prefixlen: int,
    min_prefixlen: int,
    max_prefixlen: int,
    default_quota: int | None,
    shared: bool,
    default_for: int | None,
) -> SubnetPool:
    values = {
        "project_id": project_id,
        "name": name,
        "description": description,
        "ip_version": ip_version,
        "prefixes": list(prefixes),
        "default_prefixlen": default_prefixlen,
        "min_prefixlen": min_prefixlen,
        "max_prefixlen": max_prefixlen,
        "default_quota": default_quota,
        "shared": shared,
        "default_for": default_for,
    }
    return _records.add(tx, uuid, values)


def visible_to(project_id: str | None) -> sa.ColumnElement[bool]:
    """What a project sees and may take of: its own, and the shared ones."""
    return sa.or_(subnet_pools.c.project_id == project_id, subnet_pools.c.shared)


def default_for(tx: sa.Connection, ip_version: int) -> SubnetPool | None:
    found = page(tx, [subnet_pools.c.default_for == ip_version])
    return found[0] if found else None
