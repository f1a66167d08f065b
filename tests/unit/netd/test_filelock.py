# SPDX-License-Identifier: Apache-2.0
"""Whose a volume's file is: the lock in it and the record beside it."""

from __future__ import annotations

import os
import tempfile

import testtools

from zun_lite.domain import errors
from zun_lite.netd import filelock
from zun_lite.netd.filelock import Owner

HERE, THERE = "5b3f0c1e-0000-4000-8000-000000000001", "5b3f0c1e-0000-4000-8000-000000000002"


class RecordTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "volume.img")
        with open(self.path, "w"):
            pass

    def attach(self, host_id: str, epoch: int, shared: bool = False, read_only: bool = False) -> None:
        with filelock.changing(self.path, 0) as ownership:
            ownership.admit(host_id, epoch, shared, read_only)
            ownership.note(host_id, epoch)

    def give_back(self, host_id: str) -> None:
        with filelock.changing(self.path, 0) as ownership:
            ownership.give_back(host_id)

    def test_one_host_may_attach_again_and_a_newer_attachment_takes_over(self) -> None:
        for epoch in (3, 3, 12):
            self.attach(HERE, epoch)
        self.attach(THERE, 13)

        self.assertEqual(Owner(13, THERE), filelock.owner(self.path))
        self.assertRaises(errors.Conflict, self.attach, HERE, 12)

    def test_another_host_needs_a_newer_epoch_until_the_file_is_given_back(self) -> None:
        self.attach(HERE, 3)
        self.assertIn(HERE, self.assertRaises(errors.Conflict, self.attach, THERE, 3).message)

        self.give_back(HERE)

        self.attach(THERE, 3)

    def test_the_epoch_stays_when_the_file_is_given_back(self) -> None:
        self.attach(HERE, 12)
        self.give_back(HERE)

        self.assertEqual(Owner(12, ""), filelock.owner(self.path))
        self.assertRaises(errors.Conflict, self.attach, HERE, 11)
        self.attach(HERE, 12)

    def test_a_host_gives_back_only_what_is_its_own(self) -> None:
        self.attach(HERE, 1)
        self.attach(THERE, 2)
        self.give_back(HERE)

        self.assertEqual(Owner(2, THERE), filelock.owner(self.path))

    def test_sharers_of_one_host_come_in_any_order_and_those_of_others_do_not(self) -> None:
        self.attach(HERE, 9, shared=True)
        self.attach(HERE, 7, shared=True)

        self.assertEqual(9, filelock.owner(self.path).epoch)
        self.assertRaises(errors.Conflict, self.attach, THERE, 8, shared=True)
        self.attach(THERE, 10, shared=True)

    def test_an_unreadable_record_refuses_everybody(self) -> None:
        for content in ("twelve", "1 2 3"):
            with open(f"{self.path}.lock", "w") as file:
                file.write(content)
            self.assertRaises(errors.Failed, self.attach, HERE, 2**62)

    def test_a_lock_that_is_a_link_is_refused(self) -> None:
        os.symlink("/dev/null", f"{self.path}.lock")

        self.assertRaises(errors.Failed, self.attach, HERE, 1)

    def test_only_one_changes_a_record_at_a_time(self) -> None:
        with filelock.changing(self.path, 0):
            self.assertRaises(errors.Conflict, self.attach, HERE, 1)
        self.attach(HERE, 1)

    def test_a_writer_is_alone_and_readers_are_not(self) -> None:
        files = [open(self.path, "r+") for _ in range(3)]
        for file in files:
            self.addCleanup(file.close)
        first, second, third = (file.fileno() for file in files)

        filelock.hold(first, self.path, True, 0)
        filelock.hold(second, self.path, True, 0)
        self.assertRaises(errors.Conflict, filelock.hold, third, self.path, False, 0)
        os.close(os.dup(first))
        self.assertRaises(errors.Conflict, filelock.hold, third, self.path, False, 0)
        files[0].close()
        files[1].close()
        filelock.hold(third, self.path, False, 0)
