# SPDX-License-Identifier: Apache-2.0
"""Which images an operator's policy lets through."""

from __future__ import annotations

import unittest

from zun_lite.domain import errors
from zun_lite.domain.image_policy import ImagePolicy
from zun_lite.domain.image_reference import parse

DIGEST = "sha256:" + "0" * 64


class ImagePolicyTest(unittest.TestCase):
    def test_without_a_policy_every_image_will_do(self):
        ImagePolicy().check(parse("anything:1"))
        ImagePolicy().check_image_service()

    def test_repositories_are_known_by_their_whole_names(self):
        policy = ImagePolicy(allowed=("docker.io/library/*", "registry.example/team/app"))
        for allowed in ("nginx", "library/nginx:1", "docker.io/library/nginx", "registry.example/team/app:2"):
            policy.check(parse(allowed))
        for refused in (
            *(
                "evil/nginx",
                "registry.example/team/app2",
                "registry.example/team",
                "registry.example/docker.io/library/x",
            ),
            *("docker.io.evil.example/library/nginx", "registry.example:5000/team/app", "quay.io/library/nginx"),
        ):
            with self.subTest(refused), self.assertRaisesRegex(errors.Invalid, "not allowed"):
                policy.check(parse(refused))

    def test_a_tag_is_no_digest(self):
        """E2."""
        policy = ImagePolicy(require_digest=True)
        policy.check(parse(f"nginx@{DIGEST}"))
        policy.check(parse(f"nginx:1@{DIGEST}"))
        for refused in ("nginx", "nginx:1", "nginx@md5:" + "0" * 32):
            with self.subTest(refused), self.assertRaisesRegex(errors.Invalid, "digest only"):
                policy.check(parse(refused))

    def test_the_image_service_can_be_shut_out(self):
        with self.assertRaises(errors.Invalid):
            ImagePolicy(image_service=False).check_image_service()
