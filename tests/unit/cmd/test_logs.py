# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import tempfile
import unittest

from zun_lite.cmd.logs import last_lines


class LastLinesTest(unittest.TestCase):
    def test_the_end_of_a_long_log(self) -> None:
        with tempfile.NamedTemporaryFile("w") as log:
            log.write("".join(f"line {number}\n" for number in range(5000)))
            log.flush()
            self.assertEqual(["line 4998", "line 4999"], last_lines(log.name, 2))

    def test_a_log_that_is_empty_or_not_there_says_so(self) -> None:
        self.assertEqual(["(no log)"], last_lines("/nowhere/at/all", 2))
        with tempfile.NamedTemporaryFile() as log:
            self.assertEqual(["(nothing was logged)"], last_lines(log.name, 2))
