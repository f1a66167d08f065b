# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import tarfile
import unittest

from zun_lite.agent.runtime import sandbox
from zun_lite.domain import errors


class SandboxImageTest(unittest.TestCase):
    def test_it_is_the_same_each_time_and_holds_little(self) -> None:
        made, again = sandbox.build("c1"), sandbox.build("c1")
        self.assertEqual(made, again)
        with tarfile.open(fileobj=io.BytesIO(made.layer)) as tar:
            self.assertEqual(
                {"bin/busybox", "bin/sh", "bin/sleep"}, {n for n in tar.getnames() if n.startswith("bin/")}
            )

    def test_each_installation_has_one_of_its_own_that_it_can_find_again(self) -> None:
        made, other = sandbox.build("c1"), sandbox.build("c2")
        self.assertNotEqual(made.reference, other.reference)
        self.assertIn("LABEL zun.image=c1", made.changes)
        self.assertRegex(made.reference, r"^zun-lite-sandbox:[0-9a-f]{16}$")

    def test_without_a_static_busybox_the_reason_says_what_brings_one(self) -> None:
        with self.assertRaisesRegex(errors.Failed, "busybox-static"):
            sandbox.build("c1", "/nowhere/busybox")
