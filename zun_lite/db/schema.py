# SPDX-License-Identifier: Apache-2.0
"""All tables together, and the schema's version: brought up to date by alembic."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import alembic.command
import alembic.config
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from zun_lite.db import version as version_of
from zun_lite.db.engine import Database, metadata
from zun_lite.domain import errors

# The modules of this package that have tables; to import them is to have them in metadata.
TABLES = (
    "actions", "application_credentials", "cinder", "endpoints", "floating_ips", "host_images", "hosts",
    "idempotency", "identity", "images", "network_quotas", "networks", "ports", "qos", "quotas",
    "registered_networks", "registries", "revisions", "roles", "routers", "security_group_rules", "security_groups",
    "sign_ins", "status_events", "stream_grants", "subnet_pools", "subnets", "tags", "volume_attachments",
    "volume_quotas", "volume_snapshots", "volume_types", "volumes", "webhook_marks", "workloads",
)  # fmt: skip
for _name in TABLES:
    importlib.import_module(f"zun_lite.db.{_name}")


def sync(db: Database, version: str = "head") -> None:
    """Bring the schema to this version; does nothing when it is there. One transaction where the database can.

    Of two at the same time the second waits for the first. Conflict: the schema is a newer zun_lite's, or what is in
    the database is somebody else's; nothing was changed.
    """
    config = _alembic()
    with db.engine.begin() as connection, _alone(connection):
        _check_whose(db, connection, config)
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, version)


def _check_whose(db: Database, connection: sa.Connection, config: alembic.config.Config) -> None:
    """Looked at first, as where DDL is no part of a transaction a table in the way would leave half a schema."""
    there = version_of.read(connection)
    if there is None:
        in_the_way = sorted(metadata.tables.keys() & set(sa.inspect(connection).get_table_names()))
        if in_the_way:
            raise errors.Conflict(
                f"The database at {db.name} has tables, {in_the_way[0]} for one, but no version of a schema: they are "
                "another program's, or a first `db sync` was cut off. Make the database anew, or name an empty one in "
                "[database] connection."
            )
    elif there not in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}:
        raise version_of.unknown(db, there)


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Hold what only one sync can hold. SQLite needs nothing: the transaction has the whole file already."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(9517)"))
    if connection.dialect.name not in ("mysql", "mariadb"):
        yield
        return
    name = f"zun_lite.{connection.engine.url.database}"[:64]
    if connection.execute(sa.text("SELECT GET_LOCK(:name, 120)"), {"name": name}).scalar() != 1:
        raise errors.Busy("Another `db sync` of this database does not come to its end; look at it first.")
    try:
        yield
    finally:
        connection.execute(sa.text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _alembic() -> alembic.config.Config:
    config = alembic.config.Config()
    config.set_main_option("script_location", os.path.join(os.path.dirname(__file__), "migrations"))
    return config
