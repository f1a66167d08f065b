# SPDX-License-Identifier: Apache-2.0
"""Networks that an administrator made known to the container service; kept for clients that ask for it.

Containers join a network whether it stands here or not.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, text_type, utc_now

registered_networks = sa.Table(
    "registered_networks",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("neutron_net_id", sa.String(36), nullable=False, unique=True),
    sa.Column("created_at", Moment, nullable=False),
)


@dataclass(frozen=True)
class RegisteredNetwork:
    uuid: str
    name: str
    project_id: str
    user_id: str
    neutron_net_id: str


def insert(tx: sa.Connection, record: RegisteredNetwork) -> None:
    tx.execute(
        sa.insert(registered_networks).values(
            uuid=record.uuid,
            name=record.name,
            project_id=record.project_id,
            user_id=record.user_id,
            neutron_net_id=record.neutron_net_id,
            created_at=utc_now(),
        )
    )


def of_network(tx: sa.Connection, neutron_net_id: str) -> RegisteredNetwork | None:
    row = tx.execute(
        sa.select(registered_networks).where(registered_networks.c.neutron_net_id == neutron_net_id)
    ).first()
    if row is None:
        return None
    return RegisteredNetwork(row.uuid, row.name, row.project_id, row.user_id, row.neutron_net_id)


def remove(tx: sa.Connection, neutron_net_id: str) -> bool:
    """Whether it stood here."""
    return (
        tx.execute(
            sa.delete(registered_networks).where(registered_networks.c.neutron_net_id == neutron_net_id)
        ).rowcount
        > 0
    )


def count_of_project(tx: sa.Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).where(registered_networks.c.project_id == project_id)
    return tx.execute(query).scalar_one()


def remove_of_project(tx: sa.Connection, project_id: str) -> int:
    """How many stood here."""
    return tx.execute(sa.delete(registered_networks).where(registered_networks.c.project_id == project_id)).rowcount
