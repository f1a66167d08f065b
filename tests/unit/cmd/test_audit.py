# SPDX-License-Identifier: Apache-2.0
"""zun-lite-audit on a database that it does not know."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

import sqlalchemy as sa

from zun_lite.cmd import audit
from zun_lite.db import schema
from zun_lite.db.engine import Database


class SchemaTest(unittest.TestCase):
    def test_records_of_another_schema_are_not_judged(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"ZUN_LITE_STATE_DIR": folder}):
            db = Database(f"sqlite:///{folder}/zun_lite.sqlite")
            self.addCleanup(db.close)
            schema.sync(db)
            self.assertEqual((0, "0 workloads, 0 ports, 0 volumes: 0 findings\n", ""), self.audit())
            with db.transaction() as tx:
                tx.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
            code, told, complained = self.audit()
        self.assertEqual((3, "", 1), (code, told, len(complained.splitlines())))
        self.assertIn("has schema 9999", complained)

    def audit(self) -> tuple[int, str, str]:
        """The exit code, standard output and standard error."""
        with contextlib.redirect_stdout(io.StringIO()) as told, contextlib.redirect_stderr(io.StringIO()) as complained:
            code = audit.main(["--wait", "0"])
        return code, told.getvalue(), complained.getvalue()
