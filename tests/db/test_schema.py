# SPDX-License-Identifier: Apache-2.0
"""The migrations make the tables that the code describes, on every database, and may be run again."""

from __future__ import annotations

import os
import subprocess
import sys

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.db import schema, version
from zun_lite.db.engine import Database, metadata
from zun_lite.domain import errors


@on_every_database
class SchemaTest(DatabaseTestCase):
    def test_migrations_and_tables_agree(self):
        db = self.empty()
        schema.sync(db)
        with db.engine.connect() as connection:
            known = sa.inspect(connection)

            def is_meant(item, name, kind, reflected, other):
                """Whether it belongs to this database: an index of another one must not be here at all."""
                only = None if reflected or kind != "index" else item.info.get("only")
                if only not in (None, connection.dialect.name):
                    self.assertNotIn(name, [index["name"] for index in known.get_indexes(item.table.name)])
                    return False
                return True

            opts = {"compare_type": False, "include_object": is_meant}
            context = MigrationContext.configure(connection, opts=opts)
            self.assertEqual([], compare_metadata(context, metadata))

    def test_a_second_sync_does_nothing(self):
        db = self.empty()
        self.assertIsNone(version.current(db))
        schema.sync(db)
        there = version.current(db)
        schema.sync(db)
        self.assertEqual(there, version.current(db))

    def test_two_syncs_at_once_both_end_well(self):
        db = self.empty()
        url = db.engine.url.render_as_string(hide_password=False)
        script = "import sys; from zun_lite.db import schema, version; from zun_lite.db.engine import Database\n"
        script += "db = Database(sys.argv[1]); schema.sync(db); print(version.current(db))"
        both = [
            subprocess.Popen([sys.executable, "-c", script, url], env=os.environ, stdout=-1, stderr=-1)
            for _ in range(2)
        ]
        said = [process.communicate() for process in both]
        self.assertEqual([0, 0], [process.returncode for process in both], said)
        self.assertEqual(1, len({out for out, _ in said}))

    def test_the_newest_version_is_the_last_of_the_migrations(self):
        db = self.empty()
        schema.sync(db)
        self.assertEqual(version.NEWEST, version.current(db))
        version.check(db)

    def test_a_schema_of_another_version_is_refused_with_what_to_do(self):
        db = self.empty()
        with self.assertRaisesRegex(errors.Conflict, "has no tables yet; run `zun-lite-manage db sync`"):
            version.check(db)
        schema.sync(db)
        for there, remedy in (("0000", "needs 0001; stop the API"), ("9999", "used by a newer one")):
            with db.transaction() as tx:
                tx.execute(sa.text("UPDATE alembic_version SET version_num = :there"), {"there": there})
            with self.assertRaisesRegex(errors.Conflict, remedy) as caught:
                version.check(db)
            self.assertNotIn("password", caught.exception.message)
            with self.assertRaisesRegex(errors.Conflict, "used by a newer one, or by another program"):
                schema.sync(db)
            self.assertEqual(there, version.current(db))

    def test_a_database_of_somebody_else_is_left_as_it_is(self):
        db = self.empty()
        with db.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE workloads (id INTEGER)")
        with self.assertRaisesRegex(errors.Conflict, "has tables, workloads for one, but no version"):
            schema.sync(db)
        self.assertEqual(["workloads"], sa.inspect(db.engine).get_table_names())

    def empty(self) -> Database:
        db = Database(self.make_empty_database())
        self.addCleanup(db.close)
        return db
