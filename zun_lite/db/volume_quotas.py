# SPDX-License-Identifier: Apache-2.0
"""Limits of volumes that operators set, for single projects and for classes; what is not set is not there."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from zun_lite.db.engine import metadata, text_type

volume_quotas = sa.Table(
    "volume_quotas",
    metadata,
    sa.Column("owner", text_type(80), primary_key=True),
    # A kind of resource and the name of a type.
    sa.Column("resource", text_type(300), primary_key=True),
    sa.Column("most", sa.Integer, nullable=False),
)


def project(project_id: str) -> str:
    """The owner of a project's limits."""
    return f"project:{project_id}"


def quota_class(name: str) -> str:
    """The owner of a class's limits."""
    return f"class:{name}"


def of_owner(tx: sa.Connection, owner: str) -> dict[str, int]:
    query = sa.select(volume_quotas.c.resource, volume_quotas.c.most).where(volume_quotas.c.owner == owner)
    return {resource: most for resource, most in tx.execute(query)}


def set_for_owner(tx: sa.Connection, owner: str, limits: Mapping[str, int]) -> None:
    """Set these; what is not named stays."""
    table = volume_quotas
    tx.execute(sa.delete(table).where(table.c.owner == owner, table.c.resource.in_(list(limits))))
    for resource, most in limits.items():
        tx.execute(sa.insert(table).values(owner=owner, resource=resource, most=most))


def rename(tx: sa.Connection, before: str, after: str) -> None:
    """A resource has another name from now on, whoever has a limit of it; a limit that bears the name goes."""
    table = volume_quotas
    tx.execute(sa.delete(table).where(table.c.resource == after))
    tx.execute(sa.update(table).where(table.c.resource == before).values(resource=after))


def of_project(tx: sa.Connection, project_id: str) -> dict[str, int]:
    return of_owner(tx, project(project_id))


def reset_project(tx: sa.Connection, project_id: str) -> bool:
    """Nothing is set for the project any more; whether something was."""
    mine = sa.delete(volume_quotas).where(volume_quotas.c.owner == project(project_id))
    return tx.execute(mine).rowcount > 0
