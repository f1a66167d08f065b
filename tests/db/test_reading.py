# SPDX-License-Identifier: Apache-2.0
"""What a reading sees while others write."""

from __future__ import annotations

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.db import revisions


@on_every_database
class ReadingTest(DatabaseTestCase):
    def change(self) -> None:
        self.db.transact(lambda tx: revisions.raise_one(tx, "scope"))

    def test_a_reading_sees_one_moment_whatever_others_commit_meanwhile(self):
        self.change()
        with self.db.read() as tx:
            self.assertEqual(1, revisions.current(tx, "scope"))
            self.change()
            self.assertEqual(1, revisions.current(tx, "scope"))
        with self.db.read() as tx:
            self.assertEqual(2, revisions.current(tx, "scope"))

    def test_a_change_sees_what_was_committed_before_it_held_the_row(self):
        self.change()
        with self.db.read() as tx:
            revisions.current(tx, "scope")

        def work(tx) -> int:
            revisions.raise_one(tx, "scope")
            return revisions.current(tx, "scope")

        self.assertEqual(2, self.db.transact(work))
