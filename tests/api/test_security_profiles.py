# SPDX-License-Identifier: Apache-2.0
"""Security profiles that an operator named, as users pick them."""

from __future__ import annotations

from pathlib import Path

from tests.api.case import ApiTestCase
from tests.functional.capsules import container, template
from zun_lite.db import workloads

PROFILES = "small: {read_only_root: true}\nlocked: {rule: container:create:privileged}\n"


class SecurityProfilesTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        Path(self.conf.container.security_profiles).write_text(PROFILES)
        self.client = self.make_client()

    def post(self, profile: str, **more):
        body = {"image": "demo", "memory": 64, "hints": {"security_profile": profile}, **more}
        return self.call("POST", "/v1/containers", body)

    def test_one_is_picked_by_a_hint_and_kept_in_the_spec(self):
        answer = self.post("small")
        self.assertEqual(202, answer.status_code, answer.text)
        with self.db.read() as tx:
            spec = workloads.get(tx, answer.json["uuid"]).spec
        self.assertEqual("small", spec.security_profile)
        with self.db.read() as tx:
            self.assertIsNone(workloads.get(tx, self.create("plain")["uuid"]).spec.security_profile)

    def test_one_that_nobody_named_is_refused_and_the_names_told(self):
        answer = self.post("huge")
        self.assertEqual(400, answer.status_code)
        self.assertIn("named: locked, small", answer.text)

    def test_who_may_pick_is_the_policys_matter(self):
        self.assertEqual(403, self.post("locked").status_code)
        Path(self.conf.api.policy_file).write_text('"container:create:privileged": "role:member"\n')
        self.client = self.make_client()
        self.assertEqual(202, self.post("locked").status_code)
        self.assertEqual(400, self.post("locked", privileged=True).status_code)
        Path(self.conf.api.policy_file).write_text('"container:create:security_profile": "role:admin"\n')
        self.client = self.make_client()
        self.assertEqual(403, self.post("small").status_code)

    def test_a_template_says_it_by_an_annotation(self):
        body = {"template": template("safe", container())}
        body["template"]["metadata"]["annotations"] = {"security_profile": "small"}
        answer = self.call("POST", "/v1/capsules", body)
        self.assertEqual(202, answer.status_code, answer.text)
        with self.db.read() as tx:
            spec = workloads.get(tx, answer.json["uuid"]).spec
        self.assertEqual(["small"], [member.spec.security_profile for member in spec.every_member])
        body["template"]["metadata"]["annotations"] = {"security_profile": "huge"}
        self.assertEqual(400, self.call("POST", "/v1/capsules", body).status_code)
