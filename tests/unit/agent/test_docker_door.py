# SPDX-License-Identifier: Apache-2.0
"""The door to Docker over an engine that breaks off or falls silent."""

from __future__ import annotations

import unittest
from typing import Any
from unittest import mock

from urllib3.exceptions import ReadTimeoutError

from zun_lite.agent.runtime.base import Limits
from zun_lite.agent.runtime.docker import DockerRuntime


class ExecTests(unittest.TestCase):
    def run_silent(self, *, passed: bool) -> bytes:
        """Read the output of a command whose stream stays open and says nothing more."""
        frame = [b"\x01\0\0\0\0\0\0\x03", b"abc"]
        answer, end = mock.Mock(status_code=200), mock.Mock(passed=passed)
        silence = ReadTimeoutError(None, "/", "silence")  # type: ignore[arg-type]
        answer.raw.read.side_effect = [*frame, silence]
        end.overdue.return_value = False
        api: Any = mock.Mock(base_url="http+docker://localhost", api_version="1.41")
        api.post.return_value = answer
        return DockerRuntime("/nowhere", "home", "zun-lite", Limits())._run(api, "1", end, 100)

    def test_a_command_that_leaves_its_output_open_ends_with_its_time(self) -> None:
        self.assertEqual(b"abc", self.run_silent(passed=True))

    def test_an_engine_that_falls_silent_before_that_is_no_end(self) -> None:
        self.assertRaises(ReadTimeoutError, self.run_silent, passed=False)
