# SPDX-License-Identifier: Apache-2.0
"""Which version of the schema this code is for, and which one a database has; alembic is not needed to tell."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.db.engine import Database
from zun_lite.domain import errors

NEWEST = "0001"
"""The last of the migrations; tests hold it against alembic's."""


def current(db: Database) -> str | None:
    """The version of the schema that is there, None before the first sync."""
    with db.engine.connect() as connection:
        return read(connection)


def read(connection: sa.Connection) -> str | None:
    """The same, of the database at the other end of a connection."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def unknown(db: Database, there: str) -> errors.Conflict:
    """What to say of a version that is none of this zun_lite's."""
    return errors.Conflict(
        f"The database at {db.name} has schema {there}, and this zun_lite knows up to {NEWEST}: it was used by a "
        "newer one, or by another program. Install that again, or restore the database's copy from before the upgrade."
    )


def check(db: Database) -> None:
    """Conflict: the database has another schema than this code is for; the sentence says what to do."""
    there = current(db)
    if there == NEWEST:
        return
    if there is None:
        raise errors.Conflict(f"The database at {db.name} has no tables yet; run `zun-lite-manage db sync` first.")
    if there > NEWEST:
        raise unknown(db, there)
    raise errors.Conflict(
        f"The database at {db.name} has schema {there}, and this zun_lite needs {NEWEST}; stop the API and the "
        "controller, run `zun-lite-manage db sync`, and start them again."
    )
