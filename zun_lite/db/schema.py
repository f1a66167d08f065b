# SPDX-License-Identifier: Apache-2.0
"""All tables together, and the schema's version: brought up to date by alembic."""

from __future__ import annotations

import os

import alembic.command
import alembic.config
import sqlalchemy as sa

from zun_lite.db import (
    actions,
    hosts,
    identity,
    networks,
    ports,
    revisions,
    security_groups,
    subnets,
    volumes,
    workloads,
)
from zun_lite.db.engine import Database, metadata

TABLES = (actions, hosts, identity, networks, ports, revisions, security_groups, subnets, volumes, workloads)


def sync(db: Database, version: str = "head") -> None:
    """Bring the schema to this version; does nothing when it is there. One transaction where the database can."""
    config = _alembic()
    with db.engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, version)


def current(db: Database) -> str | None:
    """The version of the schema that is there, None before the first sync."""
    with db.engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def create_all(db: Database) -> None:
    """The newest schema at once, without versions; for tests."""
    with db.engine.begin() as connection:
        metadata.create_all(connection)


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", os.path.join(os.path.dirname(__file__), "migrations"))
    return config
