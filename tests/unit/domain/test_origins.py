# SPDX-License-Identifier: Apache-2.0
"""Whose pages may open streams: those of the list, to the letter."""

from __future__ import annotations

import unittest

from zun_lite.domain import errors
from zun_lite.domain.origins import Origins, with_port


class OriginsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.origins = Origins("wss://streams.example.org:9519/", ["https://dash.example.org", "http://10.0.0.1:8080"])

    def test_only_the_listed_pass(self):
        """D3."""
        for origin in (
            None,
            "https://streams.example.org:9519",
            "https://dash.example.org",
            "https://dash.example.org:443",
            "https://DASH.example.org",
            "http://10.0.0.1:8080",
        ):
            self.assertTrue(self.origins.allow(origin), origin)
        for origin in (
            "",
            "null",
            "https://streams.example.org",
            "http://streams.example.org:9519",
            "wss://streams.example.org:9519",
            "http://dash.example.org",
            "https://dash.example.org:8443",
            "https://dash.example.org.evil.example",
            "https://evil-dash.example.org",
            "https://sub.dash.example.org",
            "https://example.org",
            "https://dash.example.org@evil.example",
            "https://evil.example@dash.example.org",
            "https://dash.example.org/",
            "https://dash.example.org/x",
            "https://dash.example.org?x",
            "https://dash.example.org#x",
            "http://10.0.0.1",
            "http://10.0.0.1:80800",
            "http://[10.0.0.1]:8080",
            "//dash.example.org",
            "dash.example.org",
            "file://",
            "https://",
        ):
            self.assertFalse(self.origins.allow(origin), origin)

    def test_a_list_that_cannot_be_meant_is_refused(self):
        for public_url, allowed in (
            ("https://a.example/", []),
            ("a.example:9519", []),
            ("wss://a.example/", ["*"]),
            ("wss://a.example/", ["dash.example.org"]),
            ("wss://a.example/", ["https://dash.example.org/panel"]),
        ):
            with self.assertRaises(errors.Invalid):
                Origins(public_url, allowed)

    def test_a_port_is_spelled_out(self):
        self.assertEqual("wss://a.example:443/", with_port("wss://a.example/"))
        self.assertEqual("ws://[::1]:80/x", with_port("ws://[::1]/x"))
        self.assertEqual("ws://a.example:9519/", with_port("ws://a.example:9519/"))
