# SPDX-License-Identifier: Apache-2.0
"""`zun-lite-status upgrade check`: what it finds, and by which exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import unittest
from unittest import mock

import sqlalchemy as sa

from zun_lite.cmd import upgrade
from zun_lite.common import config, grants, secrets
from zun_lite.db import schema
from zun_lite.db.engine import Database


class UpgradeCheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        named = mock.patch.dict(os.environ, {"ZUN_LITE_STATE_DIR": folder.name})
        named.start()
        self.addCleanup(named.stop)
        self.conf = config.load()

    def check(self) -> tuple[int, dict[str, tuple[int, str | None]]]:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = upgrade.main(["upgrade", "check", "--json"])
        checks = json.loads(said.getvalue())["checks"]
        return code, {check["check"]: (check["result"], check["details"]) for check in checks}

    def make_keys(self):
        grants.make_key(self.conf.grants.key_file)
        secrets.make_key(self.conf.registry.key_file)
        os.makedirs(self.conf.identity.key_dir)

    def set_version(self, there: str):
        db = Database(self.conf.database.connection)
        self.addCleanup(db.close)
        schema.sync(db)
        with db.transaction() as tx:
            tx.execute(sa.text("UPDATE alembic_version SET version_num = :there"), {"there": there})

    def test_all_is_well(self):
        self.make_keys()
        self.set_version("0001")
        code, found = self.check()
        self.assertEqual((0, {0}), (code, {result for result, _ in found.values()}), found)

    def test_before_the_first_sync_it_warns(self):
        code, found = self.check()
        self.assertEqual(1, code)
        self.assertIn("no tables yet", found["Database"][1])
        self.assertIn("There are no keys for grants", found["Keys"][1])

    def test_an_older_schema_is_a_warning_with_what_to_do(self):
        self.make_keys()
        self.set_version("0000")
        code, found = self.check()
        self.assertEqual((1, 1), (code, found["Database"][0]))
        self.assertIn("run `zun-lite-manage db sync`", found["Database"][1])

    def test_a_newer_schema_is_a_failure(self):
        self.set_version("9999")
        code, found = self.check()
        self.assertEqual((2, 2), (code, found["Database"][0]))

    def test_a_policy_that_cannot_be_understood_is_a_failure(self):
        with open(os.path.join(self.folder, "policy.yaml"), "w") as file:
            file.write("- not a table\n")
        code, found = self.check()
        self.assertEqual((2, 2), (code, found["Policy file"][0]))

    def test_a_wrong_configuration_is_one_line(self):
        with open(os.path.join(self.folder, "other.conf"), "w") as file:
            file.write("[api]\nport = x\n")
        with contextlib.redirect_stderr(io.StringIO()) as said, self.assertRaises(SystemExit) as ended:
            upgrade.main([f"--config-file={self.folder}/other.conf", "upgrade", "check"])
        self.assertEqual(os.EX_CONFIG, ended.exception.code)
        self.assertIn("other.conf: [api] port = x is not a port number", said.getvalue())
