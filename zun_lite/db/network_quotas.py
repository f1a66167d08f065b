# SPDX-License-Identifier: Apache-2.0
"""Limits of networking objects that operators set for single projects; what is not set is not there."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from zun_lite.db.engine import metadata

network_quotas = sa.Table(
    "network_quotas",
    metadata,
    sa.Column("project_id", sa.String(64), primary_key=True),
    sa.Column("resource", sa.String(32), primary_key=True),
    sa.Column("most", sa.Integer, nullable=False),
)


def of_project(tx: sa.Connection, project_id: str) -> dict[str, int]:
    query = sa.select(network_quotas.c.resource, network_quotas.c.most)
    return {resource: most for resource, most in tx.execute(query.where(network_quotas.c.project_id == project_id))}


def projects(tx: sa.Connection) -> list[str]:
    """Those for which something is set."""
    query = sa.select(network_quotas.c.project_id).distinct().order_by(network_quotas.c.project_id)
    return list(tx.execute(query).scalars())


def set_for_project(tx: sa.Connection, project_id: str, limits: Mapping[str, int]) -> None:
    """Set these; what is not named stays."""
    table = network_quotas
    tx.execute(sa.delete(table).where(table.c.project_id == project_id, table.c.resource.in_(list(limits))))
    for resource, most in limits.items():
        tx.execute(sa.insert(table).values(project_id=project_id, resource=resource, most=most))


def reset_project(tx: sa.Connection, project_id: str) -> bool:
    """Nothing is set for the project any more; whether something was."""
    return tx.execute(sa.delete(network_quotas).where(network_quotas.c.project_id == project_id)).rowcount > 0
