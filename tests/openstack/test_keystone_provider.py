# SPDX-License-Identifier: Apache-2.0
"""Users of the real Keystone run containers here: [identity] provider = keystone, with keystonemiddleware."""

from __future__ import annotations

import json
import time
from typing import Any

import requests

from tests.cloud import Cloud
from tests.functional import test_life
from tests.functional.case import PATIENT, ClientsTestCase, CloudTestCase
from tests.real_keystone import DEFAULT, PASSWORDS, KeystoneCloud, RealKeystone

DEMO = {"project": {"name": "demo", "domain": DEFAULT}}


class OverKeystone(CloudTestCase):
    """Whatever cloud test comes after this class runs with users of the real Keystone."""

    keystone: RealKeystone

    @classmethod
    def make_cloud(cls) -> Cloud:
        cls.keystone = RealKeystone()
        cls.addClassCleanup(cls.keystone.stop)
        cls.keystone.start()
        return KeystoneCloud(cls.keystone, cls.settings)


class VerbsOverKeystoneTest(OverKeystone, test_life.VerbsTest):
    """Each verb of a container's life, as with embedded identity."""


class KeystoneProviderTest(OverKeystone, ClientsTestCase):
    def get(self, token: str, path: str = "/v1/containers", **headers: str) -> requests.Response:
        told = {"X-Auth-Token": token, **headers}
        return requests.get(f"{self.cloud.url}{path}", headers=told, timeout=30)

    def by_credential(self, made: dict[str, Any]) -> requests.Response:
        proof = {"id": made["ID"], "secret": made["Secret"]}
        auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
        return requests.post(f"{self.keystone.url}/v3/auth/tokens", json={"auth": auth}, timeout=30)

    def test_a_tenant_of_keystone_runs_a_container_on_a_network_with_the_stock_client(self):
        self.shown("network", "create", "net")
        self.shown("subnet", "create", "--network", "net", "--subnet-range", "10.66.0.0/24", "sub")
        self.shown("volume", "create", "--size", "1", "vol")
        words = ("appcontainer", "run", "-f", "json", "--name", "web", "--net", "network=net", "demo:latest", *PATIENT)
        made = self.clients.openstack(*words).json()
        self.addCleanup(self.delete, made["uuid"])
        record = self.cloud.wait_status(made["uuid"], "Running")
        project, user = (self.keystone.id_of(noun, "demo") for noun in ("project", "user"))
        self.assertEqual((project, user), (record["project_id"], record["user_id"]))
        self.assertEqual((0, "hi\n"), self.execute(made["uuid"], "echo hi"))
        self.assertIn("web", self.clients.openstack("appcontainer", "list").stdout)
        self.assertTrue(self.shown("network", "show", "net")["project_id"] == project)
        kinds = {each["Type"] for each in self.shown("catalog", "list")}
        self.assertLessEqual({"identity", "network", "block-storage", "container", "image"}, kinds)

    def test_each_project_has_its_own_and_an_administrator_sees_all(self):
        mine = self.running("mine")["uuid"]
        token = self.keystone.take_token("admin", {"project": {"name": "admin", "domain": DEFAULT}})
        listed = self.get(token).json()["containers"]
        self.assertNotIn(mine, [each["uuid"] for each in listed])
        everywhere = self.get(token, "/v1/containers?all_projects=true").json()["containers"]
        self.assertIn(mine, [each["uuid"] for each in everywhere])
        self.assertEqual(403, self.get(self.cloud.token("demo"), "/v1/containers?all_projects=true").status_code)
        self.assertEqual(404, self.cloud.call("GET", "/identity/v3/projects", cloud="admin").status_code)

    def test_tokens_that_keystone_does_not_vouch_for_are_401(self):
        token = self.keystone.take_token("demo", DEMO)
        self.assertEqual(200, self.get(token).status_code)
        for forged in ("made up", token[:-4], "gAAAAA" + "b" * 180):
            answer = self.get(forged)
            self.assertEqual((401, f'Keystone uri="{self.keystone.url}"'), (
                answer.status_code, answer.headers["WWW-Authenticate"]
            ))  # fmt: skip
        forged = self.get("made up", **{"X-Identity-Status": "Confirmed", "X-Roles": "admin", "X-User-Id": "1"})
        self.assertEqual(401, forged.status_code)

    def test_a_token_that_was_revoked_before_it_was_seen_is_401(self):
        token, kept = (self.keystone.take_token("demo", DEMO) for _ in range(2))
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        requests.delete(f"{self.keystone.url}/v3/auth/tokens", headers=headers, timeout=30).raise_for_status()
        self.assertEqual((401, 200), (self.get(token).status_code, self.get(kept).status_code))

    def test_access_rules_of_an_application_credential_bind(self):
        rules = [{"service": "container", "method": "GET", "path": "/v1/containers"}]
        words = ("application", "credential", "create", "--access-rules", json.dumps(rules), "bound")
        made = self.shown(*words)
        token = self.by_credential(made).headers["X-Subject-Token"]
        self.assertEqual(200, self.get(token).status_code)
        self.assertEqual(403, self.get(token, "/v1/services").status_code)
        self.assertEqual(403, self.get(token, "/network/v2.0/networks").status_code)

    def test_a_service_finishes_what_a_user_began_whose_token_has_expired(self):
        expired = self.expiring_soon()
        service = self.keystone.take_token("zun", {"project": {"name": "service", "domain": DEFAULT}})
        self.cloud.wait(lambda: self.get(expired).status_code == 401, "the token has expired", 30)
        self.assertEqual(200, self.get(expired, **{"X-Service-Token": service}).status_code)
        self.assertEqual(401, self.get(expired, **{"X-Service-Token": self.cloud.token("demo")}).status_code)
        self.assertEqual(401, self.get("made up", **{"X-Service-Token": service}).status_code)

    def expiring_soon(self) -> str:
        """A token that ends when its application credential does, in two seconds."""
        ends = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 3))
        made = self.shown("application", "credential", "create", "--expiration", ends, "short")
        answer = self.by_credential(made)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.headers["X-Subject-Token"]

    def test_while_keystone_is_away_known_tokens_serve_and_others_are_told_to_wait(self):
        with RealKeystone() as other:
            cloud = KeystoneCloud(other)
            with cloud:
                known = cloud.token("demo")
                self.assertEqual(200, cloud.call("GET", "/v1/containers").status_code)
                unknown = other.take_token("demo", DEMO)
                other.stop()
                answers = [cloud.call("GET", "/v1/containers").status_code for _ in range(4)]
                self.assertIn(200, answers)
                headers = {"X-Auth-Token": unknown}
                answer = requests.get(f"{cloud.url}/v1/containers", headers=headers, timeout=60)
                self.assertEqual((503, True), (answer.status_code, "Retry-After" in answer.headers))
                self.assertNotEqual(known, unknown)

    def test_no_password_of_ours_for_keystone_is_logged(self):
        self.get("made up")
        logged = "".join(path.read_text(errors="replace") for path in (self.cloud.state_dir / "log").glob("*.log"))
        self.assertNotIn(PASSWORDS["zun"], logged)
        self.assertNotIn(self.cloud.token("demo"), logged)
