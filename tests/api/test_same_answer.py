# SPDX-License-Identifier: Apache-2.0
"""What is not there and what is another project's are told apart by nothing, the time of the answer included."""

from __future__ import annotations

import statistics
import tempfile
import time

from tests.api.case import ApiTestCase
from zun_lite.domain.names import new_id
from zun_lite.identity import keys, payload
from zun_lite.identity.keys import TokenKeys

PAIRS = 100
# how much longer the one may take than the other, by medians of what was asked in turns
MOST = 1.25


class SameAnswerTest(ApiTestCase):
    def test_a2_a_guessed_id_and_anothers_are_answered_alike_and_as_soon(self) -> None:
        """A2."""
        volume = self.made("/volume/v3/volumes", "volume", size=1)
        for path, theirs in {
            "/v1/containers/{}": self.create("theirs")["uuid"],
            "/v1/registries/{}": self.made("/v1/registries", "registry", domain="registry.example.org"),
            "/network/v2.0/networks/{}": self.made("/network/v2.0/networks", "network", name="n"),
            "/network/v2.0/security-groups/{}": self.made("/network/v2.0/security-groups", "security_group", name="g"),
            "/volume/v3/volumes/{}": volume,
            "/volume/v3/snapshots/{}": self.made("/volume/v3/snapshots", "snapshot", volume_id=volume),
            "/image/v2/images/{}": self.call("POST", "/image/v2/images", {"name": "i"}).json["id"],
        }.items():
            self.assertEqual(200, self.call("GET", path.format(theirs)).status_code, path)
            bodies, spent = set(), {True: [], False: []}
            for number in range(2 * PAIRS):
                is_theirs = number % 2 == 0
                ident = theirs if is_theirs else new_id()
                began = time.perf_counter()
                answer = self.call("GET", path.format(ident), user="other")
                spent[is_theirs].append(time.perf_counter() - began)
                self.assertEqual(404, answer.status_code, path)
                bodies.add(answer.text.replace(ident, "ID").replace(answer.headers["X-Openstack-Request-Id"], "R"))
            self.assertEqual(1, len(bodies), bodies)
            ratio = statistics.median(spent[True]) / statistics.median(spent[False])
            self.assertTrue(1 / MOST < ratio < MOST, f"{path}: another's takes {ratio:.2f} of what nobody's takes")

    def made(self, path: str, key: str, **fields) -> str:
        made = self.call("POST", path, {key: fields}).json
        return made.get(key, made).get("id") or made.get(key, made)["uuid"]

    def test_every_token_that_is_not_good_is_answered_alike_whatever_is_wrong_with_it(self) -> None:
        good, revoked, expiring = (self.log_in("demo").headers["X-Subject-Token"] for _ in range(3))
        said = payload.open_sealed(TokenKeys(self.conf.identity.key_dir).fernet(), good)
        elsewhere = tempfile.TemporaryDirectory()
        self.addCleanup(elsewhere.cleanup)
        folder = f"{elsewhere.name}/keys"
        keys.make_first(folder)
        foreign = payload.seal(TokenKeys(folder).fernet(), said)
        self.assertEqual(200, self.asked(good).status_code)
        self.assertEqual(200, self.asked(expiring).status_code)
        self.client.simulate_delete(
            "/identity/v3/auth/tokens", headers={"X-Auth-Token": good, "X-Subject-Token": revoked}
        )
        wrong = {self.told(token) for token in (foreign, revoked, good[:-2] + "AA", good[:-8], "gAAAAA", "x")}
        self.clock.advance(3601)
        wrong.add(self.told(expiring))
        self.assertEqual(1, len(wrong), wrong)
        self.assertEqual(401, next(iter(wrong))[0])

    def asked(self, token: str):
        return self.client.simulate_get("/v1/containers", headers={"X-Auth-Token": token})

    def told(self, token: str) -> tuple[int, str]:
        answer = self.asked(token)
        return answer.status_code, answer.text.replace(answer.headers["X-Openstack-Request-Id"], "R")
