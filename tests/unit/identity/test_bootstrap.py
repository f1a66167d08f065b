# SPDX-License-Identifier: Apache-2.0
"""The first identity is made once, and completed where something is missing."""

from __future__ import annotations

import os
import tempfile

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.common.clock import StoppedClock
from zun_lite.db import identity as rows
from zun_lite.db import roles
from zun_lite.domain import errors
from zun_lite.identity import requests
from zun_lite.identity.bootstrap import bootstrap
from zun_lite.identity.embedded import EmbeddedIdentity
from zun_lite.identity.keys import TokenKeys


@on_every_database
class BootstrapTest(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.key_dir = os.path.join(folder.name, "keys")
        self.identity = EmbeddedIdentity(
            self.db, TokenKeys(self.key_dir), StoppedClock(), ttl_seconds=60, www_authenticate_uri=""
        )

    def log_in(self, name, password, scope=None):
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
        return self.identity.authenticate(requests.read({"auth": auth}))

    def test_the_first_run_makes_all_and_the_second_nothing(self):
        made = bootstrap(self.db, self.key_dir, "a", "d")
        self.assertEqual("token key", made[0])
        self.assertIn("role admin of admin in the system", made)
        self.assertEqual([], bootstrap(self.db, self.key_dir, None, None))
        self.assertEqual([], bootstrap(self.db, self.key_dir, "a", "d"))
        admin = self.log_in("admin", "a", {"system": {"all": True}}).token
        demo = self.log_in("demo", "d").token
        self.assertEqual((True, {"admin", "manager", "member", "reader"}), (admin.system, set(admin.role_names)))
        self.assertEqual(("demo", {"member", "reader"}), (demo.project.name, set(demo.role_names)))

    def test_a_password_that_is_given_becomes_the_users(self):
        bootstrap(self.db, self.key_dir, "a", "d")
        before = self.log_in("demo", "d")
        self.assertEqual(["password of user demo"], bootstrap(self.db, self.key_dir, None, "new"))
        self.assertRaises(errors.Unauthorized, self.log_in, "demo", "d")
        self.assertRaises(errors.Unauthorized, self.identity.validate, before.id)
        self.identity.validate(self.log_in("demo", "new").id)

    def test_a_new_user_needs_a_password(self):
        refused = self.assertRaises(errors.Invalid, bootstrap, self.db, self.key_dir, "a", None)
        self.assertIn("demo", refused.message)

    def test_what_is_missing_is_made_again(self):
        bootstrap(self.db, self.key_dir, "a", "d")
        with self.db.transaction() as tx:
            tx.execute(roles.role_assignments.delete())
        made = bootstrap(self.db, self.key_dir, None, None)
        self.assertEqual(3, len(made))
        self.log_in("demo", "d", {"project": {"name": "demo", "domain": {"name": "Default"}}})

    def test_revoking_twice_and_other_tokens_is_fine(self):
        bootstrap(self.db, self.key_dir, "a", "d")
        first, second = self.log_in("demo", "d"), self.log_in("demo", "d")
        self.identity.revoke(first.id)
        self.identity.revoke(first.id)
        self.assertRaises(errors.Unauthorized, self.identity.validate, first.id)
        self.identity.validate(second.id)

    def test_names_are_told_apart_by_case(self):
        bootstrap(self.db, self.key_dir, "a", "d")
        self.assertRaises(errors.Unauthorized, self.log_in, "Demo", "d")
        with self.db.read() as tx:
            self.assertEqual([], rows.find_projects(tx, name="DEMO"))
