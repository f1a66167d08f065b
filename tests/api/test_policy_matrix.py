# SPDX-License-Identifier: Apache-2.0
"""The checked-in matrix of routes and identities is what the API does, and holds what it must."""

from __future__ import annotations

import difflib

from tests.api.case import ApiTestCase
from tests.api.policy_matrix import FILE, IDENTITIES, Matrix

READS = ("GET", "HEAD")
# where who has no token changes something, for that is how one is got
OPEN_TO_ALL = {("POST", "/identity/v3/auth/tokens")}


def kept() -> dict[tuple[str, str], dict[str, str]]:
    """(method, route) → identity → status, as checked in."""
    lines = [line.split() for line in FILE.read_text().splitlines() if not line.startswith("#")]
    return {(method, route): dict(zip(IDENTITIES, answers, strict=True)) for method, route, *answers in lines}


class PolicyMatrixTest(ApiTestCase):
    def test_a1_every_route_answers_each_identity_as_the_matrix_says(self):
        """A1, S16."""
        written = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
        found = Matrix(self).rows()
        changes = [line for line in difflib.unified_diff(written, found, "checked in", "now", n=0, lineterm="")]
        self.assertEqual([], changes, "\n".join((*changes, "If that is meant: python -m tests.api.policy_matrix")))

    def test_a1_strangers_get_nothing_and_hosts_and_users_have_no_routes_in_common(self):
        """A1, C1."""
        for (method, route), answers in kept().items():
            what = f"{method} {route}"
            if method not in READS and (method, route) not in OPEN_TO_ALL and not route.endswith("/enrol"):
                self.assertEqual("401", answers["anonymous"], what)
            if route.startswith("/node/") and not route.endswith(("/enrol", "/ca")):
                users = {answers[identity] for identity in IDENTITIES if identity != "host"}
                self.assertEqual({"401"}, users, what)
            elif answers["anonymous"] == "401":
                self.assertEqual("401", answers["host"], f"{what}: a host's key is good for it")

    def test_d5_who_may_only_look_changes_nothing_and_gets_into_no_container(self):
        """D5."""
        refused = 0
        for (method, route), answers in kept().items():
            way_in = route.endswith(("/attach", "/port-forward", "/execute"))
            ours = route.startswith(("/v1/", "/network/", "/volume/", "/image/"))
            if ours and (method not in READS or way_in):
                self.assertNotIn(answers["reader"][0], "23", f"{method} {route}")
                refused += answers["reader"] == "403"
        self.assertGreater(refused, 100)

    def test_nobody_touches_what_another_project_has(self):
        for (method, route), answers in kept().items():
            if "{" in route and not route.startswith("/identity/") and answers["member"][0] == "2":
                if answers["other"][0] == "2":
                    # a word to search for, and no object
                    self.assertEqual("/v1/images/{ident}/search", route, method)

    def test_no_answer_is_a_fault_of_the_servers(self):
        self.assertEqual([], [route for route, answers in kept().items() if "500" in answers.values()])
