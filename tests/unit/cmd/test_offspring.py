# SPDX-License-Identifier: Apache-2.0
"""When programs are forked, and when not."""

from __future__ import annotations

import os
import tempfile
import unittest
from unittest import mock

from zun_lite.cmd.offspring import Nursery


class NurseryTest(unittest.TestCase):
    def test_libraries_installed_since_are_not_passed_over(self) -> None:
        with tempfile.TemporaryDirectory() as folder, mock.patch("site.getsitepackages", return_value=[folder]):
            nursery = Nursery()
            self.assertTrue(nursery.is_current())
            os.utime(folder, (1, 1))
            self.assertFalse(nursery.is_current())

    def test_a_missing_library_is_an_import_error_before_any_fork(self) -> None:
        with mock.patch("os.fork") as fork, self.assertRaises(ImportError):
            Nursery(["zun_lite_has_no_such_library"]).fork("title", "module", {}, 2)
        fork.assert_not_called()

    def test_a_child_that_cannot_begin_ends_and_is_no_second_parent(self) -> None:
        parent = os.getpid()
        with mock.patch("zun_lite.cmd.offspring._take_over", side_effect=OSError("no descriptors")):
            try:
                child = Nursery(["json"]).fork("title", "module", {}, 2)
            finally:
                if os.getpid() != parent:
                    os._exit(0)
        self.assertEqual(70, child.wait(timeout=10))
