# SPDX-License-Identifier: Apache-2.0
"""The exchange of a host's key: wherever it is cut off, the host has the key that the API goes by."""

from __future__ import annotations

import functools
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

from zun_lite.agent import enrolment, host_key
from zun_lite.agent.host_key import HostKey
from zun_lite.common import crash, grants
from zun_lite.domain import errors

POINTS = [point for point in crash.MORE_POINTS if point.startswith("agent.key.")]


class Killed(BaseException):
    """The program ends here."""


def die_at(point: str, reached: str) -> None:
    if reached == point:
        raise Killed


class KeyApi:
    """Goes by one key, and by none before it: the longest that an exchange can be cut off for."""

    def __init__(self, key) -> None:
        self.public_key = grants.public_text(key)
        self.new_key_wanted = threading.Event()
        self.cut_off = ""
        self.asked = 0
        self.taken = threading.Event()

    def offer_key(self, signing, new) -> None:
        self.asked += 1
        if self.cut_off == "question":
            raise errors.Unavailable("nothing came through")
        if grants.public_text(signing) != self.public_key:
            raise errors.Unauthorized("not a key of this host's")
        self.public_key = grants.public_text(new)
        self.taken.set()
        if self.cut_off == "answer":
            raise errors.Unavailable("no answer came through")


class HostKeyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = f"{self.folder}/keys/host.key"
        self.api = KeyApi(self.restarted().current())

    def restarted(self) -> HostKey:
        return HostKey(self.path)

    def agrees(self) -> bool:
        return grants.public_text(self.restarted().current()) == self.api.public_key

    def test_a_new_key_takes_the_place_of_the_old_one_for_all_who_read_it(self):
        key, reader = self.restarted(), self.restarted()
        before = grants.public_text(reader.current())
        key.exchange(self.api.offer_key)
        self.assertNotEqual(before, self.api.public_key)
        self.assertEqual([self.api.public_key] * 2, [grants.public_text(one.current()) for one in (key, reader)])
        self.assertFalse(key.is_offered)
        self.assertEqual(0o600, Path(self.path).stat().st_mode & 0o777)

    def test_a_host_that_dies_anywhere_on_the_way_has_the_right_key_afterwards(self):
        self.assertEqual(3, len(POINTS))
        for point in POINTS:
            with self.subTest(point):
                before = self.api.public_key
                with mock.patch.object(crash, "point", side_effect=functools.partial(die_at, point)):
                    self.assertRaises(Killed, self.restarted().exchange, self.api.offer_key)
                again = self.restarted()
                if again.is_offered:
                    again.exchange(self.api.offer_key)
                self.assertTrue(self.agrees())
                self.assertNotEqual(before, self.api.public_key)

    def test_an_api_that_did_not_hear_or_was_not_heard_is_asked_again(self):
        for cut_off in ("question", "answer"):
            with self.subTest(cut_off):
                before = self.api.public_key
                self.api.cut_off = cut_off
                self.assertRaises(errors.Unavailable, self.restarted().exchange, self.api.offer_key)
                self.assertRaises(errors.Unavailable, self.restarted().exchange, self.api.offer_key)
                self.api.cut_off = ""
                self.restarted().exchange(self.api.offer_key)
                self.assertTrue(self.agrees())
                self.assertNotEqual(before, self.api.public_key)

    def test_a_host_whose_key_was_revoked_keeps_what_it_has(self):
        self.api.public_key = ""
        self.assertRaises(errors.Unauthorized, self.restarted().exchange, self.api.offer_key)
        self.assertTrue(self.restarted().is_offered)

    def test_the_api_need_only_say_that_it_wants_another(self):
        stopping = threading.Event()
        keeping = threading.Thread(target=host_key.keep, args=(self.restarted(), self.api, stopping, 0.01), daemon=True)
        keeping.start()
        self.assertFalse(self.api.taken.wait(0.05))
        self.api.cut_off = "question"
        self.api.new_key_wanted.set()
        while self.api.asked < 2:
            stopping.wait(0.01)
        self.api.cut_off = ""
        self.assertTrue(self.api.taken.wait(20))
        stopping.set()
        self.api.new_key_wanted.set()
        keeping.join(20)
        self.assertTrue(self.agrees())

    def test_a_host_that_joins_anew_has_another_key_and_one_that_is_refused_stays_who_it_was(self):
        journal = f"{self.folder}/agent"
        enrolled = []

        def enrol(url, token, name, address, key):
            if token != "good":
                raise errors.Forbidden("spent")
            enrolled.append(grants.public_text(key))
            return {"host_uuid": f"h{len(enrolled)}", "grant_public_key": "g"}

        def identify(token):
            place = {"api_url": "u", "name": "n", "address": "a:1", "stopping": threading.Event()}
            return enrolment.identify(journal, enrol, given=token, key=self.restarted(), **place).host_uuid

        self.assertEqual(["h1", "h1", "h1"], [identify(token) for token in ("good", None, "spent")])
        first = grants.public_text(self.restarted().current())
        self.assertEqual("h2", identify("good"))
        self.assertEqual([first, grants.public_text(self.restarted().current())], enrolled)
        self.assertNotEqual(*enrolled)
        self.assertEqual("h2", identify(None))
