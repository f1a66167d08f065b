# SPDX-License-Identifier: Apache-2.0
"""Signed tokens whose signature is right and whose content is not."""

from __future__ import annotations

import json
import unittest

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import grants
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors


class GrantsTests(unittest.TestCase):
    def test_times_that_are_no_numbers_are_refused(self) -> None:
        key, clock = Ed25519PrivateKey.generate(), StoppedClock()
        good = {"aud": "a", "iat": clock.now(), "exp": clock.now() + 60}
        for changes in ({}, {"iat": "x"}, {"exp": [1]}, {"exp": {}}):
            token = jwt.api_jws.encode(json.dumps({**good, **changes}).encode(), key, algorithm="EdDSA")
            if changes:
                self.assertRaises(errors.Unauthorized, grants.read, key.public_key(), "a", token, clock)
            else:
                self.assertEqual("a", grants.read(key.public_key(), "a", token, clock)["aud"])
