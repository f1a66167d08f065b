# SPDX-License-Identifier: Apache-2.0
"""The operator's file of security profiles: what it may say, and how it is told that it may not."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from zun_lite.common import security_profiles
from zun_lite.domain import errors
from zun_lite.domain.security_profile import CAPABILITIES, SecurityProfile


class LoadTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def load(self, text: str) -> dict[str, SecurityProfile]:
        path = self.folder / "profiles.yaml"
        path.write_text(text)
        return security_profiles.load(str(path))

    def test_no_file_is_no_profile(self):
        self.assertEqual({}, security_profiles.load(str(self.folder / "none.yaml")))
        self.assertEqual({}, self.load(""))

    def test_what_is_not_said_is_the_usual(self):
        (self.folder / "own.json").write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        found = self.load(
            "plain:\nsmall: {capabilities: [], read_only_root: true}\n"
            "tracing: {capabilities: [SYS_PTRACE, CHOWN], seccomp: own.json, rule: 'tracers'}\n"
        )
        self.assertEqual(SecurityProfile(), found["plain"])
        self.assertEqual(CAPABILITIES, found["plain"].capabilities)
        self.assertEqual(SecurityProfile(capabilities=(), read_only_root=True), found["small"])
        self.assertEqual(("CHOWN", "SYS_PTRACE"), found["tracing"].capabilities)
        self.assertEqual('{"defaultAction":"SCMP_ACT_ERRNO"}', found["tracing"].seccomp)

    def test_what_would_open_the_host_is_refused(self):
        (self.folder / "open.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        (self.folder / "broken.json").write_text("{")
        for text, told in (
            ("x: {capabilities: [SYS_ADMIN]}", "SYS_ADMIN"),
            ("x: {capabilities: ALL}", "ALL"),
            ("x: {privileged: true}", "mapping with some of"),
            ("x: {seccomp: unconfined}", "unconfined"),
            ("x: {apparmor: unconfined}", "unconfined"),
            ("x: {seccomp: open.json}", "refuse what it does not name"),
            ("x: {seccomp: broken.json}", "cannot be read"),
            ("x: {seccomp: missing.json}", "cannot be read"),
            ("x: {read_only_root: 1}", "true or false"),
            ("x: {apparmor: [a]}", "must be text"),
            ("'a b': {}", "is named by letters"),
            ("[1]", "map names"),
            ("x: [", "cannot be read"),
        ):
            with self.subTest(text), self.assertRaisesRegex(errors.Invalid, told):
                self.load(text)
