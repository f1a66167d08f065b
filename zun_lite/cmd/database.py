# SPDX-License-Identifier: Apache-2.0
"""zun-lite-manage db: the schema and its version."""

from __future__ import annotations

import argparse

from oslo_config import cfg

from zun_lite.db import schema, version
from zun_lite.db.engine import Database


def sync(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Make the schema, or bring it up to date."""
    db = reached(conf)
    schema.sync(db)
    print(version.current(db))


def tell_version(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    """Print the version of the schema."""
    print(version.current(reached(conf)) or "none")


def reached(conf: cfg.ConfigOpts) -> Database:
    """The database, of whichever version. Invalid, Unavailable: it cannot be used."""
    db = Database(conf.database.connection)
    db.reach()
    return db


def usable(conf: cfg.ConfigOpts) -> Database:
    """The database, of this version. Conflict: it is of another one; and as reached()."""
    db = reached(conf)
    version.check(db)
    return db
