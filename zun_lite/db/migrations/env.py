# SPDX-License-Identifier: Apache-2.0
"""Runs the migrations on the connection that schema.sync() hands in."""

from alembic import context

from zun_lite.db.engine import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
