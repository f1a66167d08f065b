# SPDX-License-Identifier: Apache-2.0
"""What tokens are made of: payloads, keys and passwords."""

from __future__ import annotations

import os
import tempfile
import time
import uuid

import testtools
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from zun_lite.api.token_cache import TokenCache
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import errors
from zun_lite.identity import keys, passwords, payload, rights
from zun_lite.identity.base import BELIEVED_SECONDS, IMPLIED_ROLES, Named, Owned, Token
from zun_lite.identity.payload import Payload


def a_payload(**changes):
    said = {
        "user_id": uuid.uuid4().hex,
        "generation": 1,
        "methods": ("token", "password"),
        "scope": payload.PROJECT,
        "scope_id": uuid.uuid4().hex,
        "issued_us": 1_700_000_000_123_456,
        "expires_us": 1_700_014_400_123_456,
        "audit_ids": (
            payload.audit_text(os.urandom(payload.AUDIT_BYTES)),
            payload.audit_text(os.urandom(payload.AUDIT_BYTES)),
        ),
    }
    return Payload(**{**said, **changes})


class PayloadTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.fernet = MultiFernet([Fernet(Fernet.generate_key())])

    def test_what_is_sealed_comes_out_again(self):
        for changes in (
            {},
            {"scope": payload.UNSCOPED, "scope_id": ""},
            {"scope": payload.DOMAIN, "scope_id": "default"},
            {"user_id": "bücher", "scope_id": "x" * 64},
            {"credential_id": uuid.uuid4().hex},
            {"methods": ("application_credential",), "audit_ids": ("A" * 16,)},
        ):
            said = a_payload(**changes)
            self.assertEqual(said, payload.open_sealed(self.fernet, payload.seal(self.fernet, said)))

    def test_a_token_fits_into_a_header_line(self):
        chain = tuple(payload.audit_text(os.urandom(payload.AUDIT_BYTES)) for _ in range(payload.LONGEST_CHAIN))
        self.assertTrue(len(payload.seal(self.fernet, a_payload())) < 250)
        self.assertTrue(len(payload.seal(self.fernet, a_payload(audit_ids=chain))) < 250)

    def test_forgeries_are_unauthorized(self):
        token = payload.seal(self.fernet, a_payload())
        strange = MultiFernet([Fernet(Fernet.generate_key())])
        short = self.fernet.encrypt(b"\x01").decode()
        newer = self.fernet.encrypt(b"\x02" + b"\0" * 60).decode()
        flipped = token[:60] + ("A" if token[60] != "A" else "B") + token[61:]
        for forged in ("", "x", token[:-4], flipped, short, newer, "é" * 40, payload.seal(strange, a_payload())):
            self.assertRaises(errors.Unauthorized, payload.open_sealed, self.fernet, forged)


class KeysTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = os.path.join(folder.name, "keys")

    def add(self, name):
        with open(os.path.join(self.folder, name), "wb") as stream:
            stream.write(Fernet.generate_key())

    def test_the_first_key_is_made_once_and_is_private(self):
        self.assertEqual((True, False), (keys.make_first(self.folder), keys.make_first(self.folder)))
        self.assertEqual(["0", "1"], sorted(os.listdir(self.folder)))
        self.assertEqual(0o700, os.stat(self.folder).st_mode & 0o777)
        self.assertEqual(0o600, os.stat(os.path.join(self.folder, "1")).st_mode & 0o777)

    def test_rotation_is_noticed_and_old_tokens_stay_good(self):
        keys.make_first(self.folder)
        held = keys.TokenKeys(self.folder)
        old = held.fernet().encrypt(b"x")
        self.add("2")
        self.add("10")
        new = held.fernet().encrypt(b"x")
        self.assertEqual(b"x", held.fernet().decrypt(old))
        with open(os.path.join(self.folder, "10"), "rb") as stream:
            self.assertEqual(b"x", Fernet(stream.read()).decrypt(new))
        os.unlink(os.path.join(self.folder, "1"))
        self.assertRaises(InvalidToken, held.fernet().decrypt, old)
        self.assertEqual(b"x", held.fernet().decrypt(new))

    def test_the_key_that_was_staged_encrypts_after_a_rotation_and_no_token_in_use_loses_its_key(self):
        keys.make_first(self.folder)
        elsewhere = keys.TokenKeys(self.folder)
        elsewhere.fernet()
        copied = elsewhere.fernet()
        issued = {}
        for day in range(5):
            now = 1_700_000_000 + day * 86400
            issued[day] = elsewhere.fernet().encrypt(b"x")
            keys.rotate(self.folder, 2 * 86400 - 1, now)
            self.assertEqual(b"x", elsewhere.fernet().decrypt(issued[day]))
            if day == 0:
                # A server that has not looked since knows the new key already, for it was staged.
                self.assertEqual(b"x", copied.decrypt(keys.TokenKeys(self.folder).fernet().encrypt(b"x")))
            for before in range(max(0, day - 1), day + 1):
                self.assertEqual(b"x", elsewhere.fernet().decrypt(issued[before]))
        self.assertEqual(["0", "4", "5", "6"], sorted(os.listdir(self.folder)))
        self.assertRaises(InvalidToken, elsewhere.fernet().decrypt, issued[0])

    def test_three_keys_are_left_when_rotations_are_rarer_than_tokens_live(self):
        keys.make_first(self.folder)
        for day in range(4):
            keys.rotate(self.folder, 3600, 1_700_000_000 + day * 86400)
        self.assertEqual(["0", "4", "5"], sorted(os.listdir(self.folder)))
        for name in os.listdir(self.folder):
            self.assertEqual(0o600, os.stat(os.path.join(self.folder, name)).st_mode & 0o777)

    def test_a_rotation_that_was_cut_off_only_stages_a_key_the_next_time(self):
        keys.make_first(self.folder)
        os.unlink(os.path.join(self.folder, "0"))
        self.assertIn("rotate again", keys.rotate(self.folder, 60, 1_700_000_000)[0])
        self.assertEqual(["0", "1"], sorted(os.listdir(self.folder)))

    def test_without_a_key_nothing_can_be_rotated(self):
        refused = self.assertRaises(errors.Unavailable, keys.rotate, self.folder, 60, 1_700_000_000)
        self.assertIn("bootstrap", refused.message)

    def test_without_a_key_the_service_is_unavailable_and_says_what_helps(self):
        refused = self.assertRaises(errors.Unavailable, keys.TokenKeys(self.folder).fernet)
        self.assertIn("bootstrap", refused.message)
        os.mkdir(self.folder)
        self.assertRaises(errors.Unavailable, keys.TokenKeys(self.folder).fernet)


class PasswordTest(testtools.TestCase):
    def test_only_the_password_fits(self):
        stored = passwords.hashed("right")
        self.assertEqual((True, False), (passwords.fits("right", stored), passwords.fits("wrong", stored)))
        self.assertNotIn("right", stored)
        self.assertNotEqual(stored, passwords.hashed("right"))

    def test_a_check_costs_between_10_and_500_milliseconds_of_work_with_or_without_a_user(self):
        for stored in (passwords.hashed("x"), None):
            begun = time.thread_time()
            passwords.fits("x", stored)
            self.assertTrue(0.01 < time.thread_time() - begun < 0.5, stored)

    def test_nothing_fits_where_there_is_no_password(self):
        for stored in (None, "", "*", "plain"):
            self.assertFalse(passwords.fits("plain", stored))


class RolesTest(testtools.TestCase):
    def test_roles_bring_those_that_they_imply(self):
        usual = IMPLIED_ROLES.items()
        self.assertEqual({"admin", "manager", "member", "reader"}, rights.closure({"admin"}, usual))
        self.assertEqual({"member", "reader", "service"}, rights.closure({"member", "service"}, usual))
        self.assertEqual(set(), rights.closure(set(), usual))
        self.assertEqual({"a", "b"}, rights.closure({"a"}, [("a", "b"), ("b", "a")]))


class Provider:
    www_authenticate_uri = ""
    believed_seconds = BELIEVED_SECONDS

    def __init__(self, expires_at):
        self.asked = 0
        self.expires_at = expires_at

    def validate(self, token_id):
        self.asked += 1
        if token_id == "bad":
            raise errors.Unauthorized("No.")
        return Token(Owned("u", "u", Named("d", "d")), ("password",), ("a",), 0.0, self.expires_at)


class TokenCacheTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = StoppedClock()
        self.provider = Provider(self.clock.now() + 3600)

    def test_a_token_is_asked_for_once_in_its_lifetime(self):
        cache = TokenCache(self.provider, self.clock)
        for _ in range(3):
            cache.validate("good")
        self.assertEqual(1, self.provider.asked)
        self.clock.advance(BELIEVED_SECONDS)
        cache.validate("good")
        cache.forget("u")
        cache.validate("good")
        cache.forget("somebody else")
        cache.validate("good")
        self.assertEqual(3, self.provider.asked)
        cache.clear()
        cache.validate("good")
        self.assertEqual(4, self.provider.asked)

    def test_it_never_outlives_the_token(self):
        self.provider.expires_at = self.clock.now() + 1
        cache = TokenCache(self.provider, self.clock)
        cache.validate("good")
        self.clock.advance(1)
        cache.validate("good")
        self.assertEqual(2, self.provider.asked)

    def test_a_refusal_is_not_remembered(self):
        cache = TokenCache(self.provider, self.clock)
        for _ in range(2):
            self.assertRaises(errors.Unauthorized, cache.validate, "bad")
        self.assertEqual(2, self.provider.asked)

    def test_it_is_bounded_and_the_oldest_goes_first(self):
        """F2."""
        cache = TokenCache(self.provider, self.clock, most=2)
        for token_id in ("a", "b", "c", "b", "c"):
            cache.validate(token_id)
        self.assertEqual(3, self.provider.asked)
        cache.validate("a")
        self.assertEqual(4, self.provider.asked)
