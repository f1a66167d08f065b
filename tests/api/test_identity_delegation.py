# SPDX-License-Identifier: Apache-2.0
"""What is delegated never grows: application credentials, their access rules, and chains of both and of tokens."""

from __future__ import annotations

import datetime
import random

from tests.api.test_identity_rights import V3, RightsTestCase
from zun_lite.identity.base import BELIEVED_SECONDS

HOUR = 3600


class DelegationTestCase(RightsTestCase):
    def setUp(self):
        super().setUp()
        self.user_id, self.project_id = self.ids("demo")
        self.give(self.user_id, "manager", f"projects/{self.project_id}")
        self._tokens.clear()

    def moment(self, seconds):
        return datetime.datetime.fromtimestamp(self.clock.now() + seconds, datetime.UTC).isoformat()

    def credential(self, token=None, expect=201, user_id=None, **fields):
        body = {"application_credential": {"name": f"c{random.random()}", **fields}}
        path = f"{V3}/users/{user_id or self.user_id}/application_credentials"
        answer = self.client.simulate_post(path, json=body, headers={"X-Auth-Token": token or self.token("demo")})
        self.assertEqual(expect, answer.status_code, answer.text)
        return answer.json.get("application_credential")

    def by_credential(self, made, scope=None, **changes):
        proof = {"id": made["id"], "secret": made["secret"], **changes}
        return self.post({"methods": ["application_credential"], "application_credential": proof}, scope)

    def signed_in_by(self, made):
        answer = self.by_credential(made)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.headers["X-Subject-Token"], answer.json["token"]

    def ask_with(self, token, method, path, body=None):
        return self.client.simulate_request(method, path, json=body, headers={"X-Auth-Token": token}).status_code


class CredentialTest(DelegationTestCase):
    def test_it_says_what_it_is_for_and_its_secret_once(self):
        made = self.credential(name="mine", roles=None, secret=None, description=None, expires_at=None, access_rules=[])
        self.assertTrue(len(made["secret"]) > 60)
        self.assertEqual(["manager", "member", "reader"], sorted(role["name"] for role in made["roles"]))
        shown = self.get(f"{V3}/users/{self.user_id}/application_credentials/{made['id']}")["application_credential"]
        self.assertEqual({**shown, "secret": made["secret"]}, made)
        _, token = self.signed_in_by(made)
        self.assertEqual((["application_credential"], self.project_id), (token["methods"], token["project"]["id"]))
        self.assertEqual({"id": made["id"], "name": "mine", "restricted": True}, token["application_credential"])
        self.assertIn("catalog", token)
        named = {"id": None, "name": "mine", "user": {"name": "demo", "domain": {"id": "default"}}}
        self.assertEqual(201, self.by_credential(made, **named).status_code)

    def test_wrong_proof_is_one_answer_and_is_counted(self):
        made = self.credential()
        answers = [self.by_credential(made, secret="x"), self.by_credential(made, id="0" * 32)]
        answers.append(self.by_credential(made, id=None, name="no", user={"id": self.user_id}))
        answers.append(self.by_credential(made, scope={"project": {"id": self.project_id}}))
        self.assertEqual({401}, {answer.status_code for answer in answers})
        self.assertEqual(1, len({answer.text for answer in answers}))
        for _ in range(10):
            self.by_credential(made, secret="x")
        self.assertEqual(401, self.by_credential(made).status_code)
        self.assertEqual(201, self.log_in("demo").status_code)

    def test_roles_are_those_of_the_token_or_fewer(self):
        """A7."""
        made = self.credential(roles=[{"name": "reader"}])
        _, token = self.signed_in_by(made)
        self.assertEqual(["reader"], [role["name"] for role in token["roles"]])
        self.credential(roles=[{"name": "admin"}], expect=400)
        self.credential(roles=[{"id": self.role("service")}], expect=400)
        self.credential(roles=["reader"], expect=400)

    def test_a_role_that_the_user_loses_is_lost(self):
        made = self.credential(roles=[{"name": "manager"}, {"name": "member"}])
        group = self.made("group", name="g")
        self.ask("PUT", f"groups/{group['id']}/users/{self.user_id}", expect=204)
        self.ask("PUT", f"projects/{self.project_id}/groups/{group['id']}/roles/{self.role('reader')}", expect=204)
        token, _ = self.signed_in_by(made)
        self.give(self.user_id, "manager", f"projects/{self.project_id}", method="DELETE")
        self.assertEqual(404, self.validate(token).status_code)
        self.assertEqual(401, self.by_credential(made).status_code)

    def test_it_ends_when_it_said_and_its_tokens_do_too(self):
        """A7."""
        made = self.credential(expires_at=self.moment(HOUR / 2))
        token, said = self.signed_in_by(made)
        self.assertEqual(made["expires_at"][:19], said["expires_at"][:19])
        self.clock.advance(HOUR / 2 + 1)
        self._tokens.clear()
        self.assertEqual(404, self.validate(token).status_code)
        self.assertEqual(401, self.by_credential(made).status_code)
        for past in (self.moment(-1), "soon", 7):
            self.credential(expires_at=past, expect=400)

    def test_it_ends_with_its_user_and_outlives_a_password(self):
        made = self.credential()
        self.ask("PATCH", f"users/{self.user_id}", {"user": {"password": "another"}})
        token, _ = self.signed_in_by(made)
        self.ask("PATCH", f"users/{self.user_id}", {"user": {"enabled": False}})
        self.assertEqual((404, 401), (self.validate(token).status_code, self.by_credential(made).status_code))

    def test_only_its_user_makes_it_and_only_who_may_sees_it(self):
        made = self.credential()
        path = f"{V3}/users/{self.user_id}/application_credentials"
        self.credential(self.token("admin"), expect=403)
        self.credential(self.token("other"), expect=403)
        for method, where in (("GET", path), ("GET", f"{path}/{made['id']}"), ("DELETE", f"{path}/{made['id']}")):
            self.assertEqual(403, self.call(method, where, user="other").status_code)
        other_id, _ = self.ids("other")
        foreign = f"{V3}/users/{other_id}/application_credentials/{made['id']}"
        self.assertEqual(404, self.call("GET", foreign, user="other").status_code)
        self.assertEqual(404, self.call("DELETE", foreign, user="other").status_code)
        self.assertEqual(200, self.call("GET", f"{path}/{made['id']}", user="admin").status_code)
        self.credential(name="once")
        self.credential(name="once", expect=409)
        unscoped = self.by_password({"id": self.user_id}, scope="unscoped").headers["X-Subject-Token"]
        self.credential(unscoped, expect=400)

    def test_its_token_is_neither_exchanged_nor_makes_others(self):
        """A7."""
        made = self.credential()
        token, _ = self.signed_in_by(made)
        for scope in (None, "unscoped", {"project": {"id": self.project_id}}, {"system": {"all": True}}):
            self.assertEqual(403, self.by_token(token, scope).status_code, scope)
        self.credential(token, expect=403)
        path = f"{V3}/users/{self.user_id}/application_credentials/{made['id']}"
        self.assertEqual(403, self.ask_with(token, "DELETE", path))
        self.assertEqual(200, self.ask_with(token, "GET", path))

    def test_one_that_may_make_others_makes_none_that_reach_further(self):
        rules = [{"service": "identity", "method": "POST", "path": "/v3/users/*/application_credentials"}]
        parent = self.credential(
            unrestricted=True, expires_at=self.moment(HOUR), roles=[{"name": "reader"}], access_rules=rules
        )
        token, _ = self.signed_in_by(parent)
        self.credential(token, roles=[{"name": "member"}], expect=400)
        wider = [{"service": "identity", "method": "DELETE", "path": "/**"}]
        self.credential(token, access_rules=wider, expect=403)
        child = self.credential(token, expires_at=self.moment(2 * HOUR), unrestricted=True)
        self.assertEqual(parent["expires_at"], child["expires_at"])
        self.assertEqual(parent["access_rules"], child["access_rules"])
        self.assertEqual(["reader"], [role["name"] for role in child["roles"]])
        grandchild = self.credential(self.signed_in_by(child)[0])
        late, _ = self.signed_in_by(grandchild)
        self.ask("DELETE", f"users/{self.user_id}/application_credentials/{parent['id']}", user="demo", expect=204)
        self.assertEqual(401, self.by_credential(child).status_code)
        self.assertEqual(401, self.by_credential(grandchild).status_code)
        self.assertEqual(404, self.validate(late, user="admin").status_code)


class AccessRuleTest(DelegationTestCase):
    def with_rules(self, *rules):
        keys = ("service", "method", "path")
        return self.credential(access_rules=[dict(zip(keys, rule, strict=True)) for rule in rules])

    def test_only_what_a_rule_names_is_allowed(self):
        made = self.with_rules(
            ("container", "GET", "/v1/containers/{name}"),
            ("network", "GET", "/v2.0/networks"),
            ("block-storage", "GET", "/volume/v3/**"),
        )
        token, said = self.signed_in_by(made)
        self.assertEqual(3, len(said["application_credential"]["access_rules"]))
        for method, path, status in (
            ("GET", "/v1/containers/none", 404),
            ("GET", "//v1//containers/none/", 404),
            ("GET", "/containers/none", 404),
            ("GET", "/network/v2.0/networks", 200),
            ("GET", f"/volume/v3/{self.project_id}/volumes", 200),
            ("GET", "/volume/v3/volumes/detail", 200),
            ("GET", "/v1/containers", 403),
            ("GET", "/v1/containers/none/logs", 403),
            ("DELETE", "/v1/containers/none", 403),
            ("GET", "/network/v2.0/networks/none", 403),
            ("GET", f"{V3}/auth/projects", 403),
            ("GET", "/image/v2/images", 403),
        ):
            self.assertEqual(status, self.ask_with(token, method, path), f"{method} {path}")
        plain, _ = self.signed_in_by(self.credential())
        self.assertEqual(200, self.ask_with(plain, "GET", "/image/v2/images"))

    def test_a_token_that_is_bound_frees_none_as_a_services_not_even_itself(self):
        self.give(self.user_id, "service", f"projects/{self.project_id}")
        self._tokens.clear()
        bound, _ = self.signed_in_by(self.with_rules(("container", "GET", "/v1/containers/{name}")))
        free, _ = self.signed_in_by(self.credential())

        def status(path, service):
            headers = {"X-Auth-Token": bound, "X-Service-Token": service}
            return self.client.simulate_get(path, headers=headers).status_code

        self.assertEqual((401, 401), (status("/v1/containers", bound), status("/v1/containers/none", bound)))
        self.assertEqual((200, 404), (status("/v1/containers", free), status("/v1/containers/none", free)))

    def test_services_that_do_not_look_at_rules_do_not_see_the_token(self):
        token, _ = self.signed_in_by(self.with_rules(("container", "GET", "/v1/containers")))
        self.assertEqual(404, self.validate(token).status_code)
        headers = {"X-Subject-Token": token, "OpenStack-Identity-Access-Rules": "1"}
        seen = self.call("GET", f"{V3}/auth/tokens", user="admin", headers=headers)
        self.assertEqual(200, seen.status_code)
        self.assertEqual(1, len(seen.json["token"]["application_credential"]["access_rules"]))

    def test_rules_are_kept_for_reuse_and_not_deleted_while_in_use(self):
        first = self.with_rules(("container", "GET", "/v1/containers"))
        second = self.with_rules(("container", "GET", "/v1/containers"))
        self.assertEqual(first["access_rules"], second["access_rules"])
        rule = first["access_rules"][0]
        third = self.credential(access_rules=[{"id": rule["id"]}])
        self.assertEqual([rule], third["access_rules"])
        path = f"users/{self.user_id}/access_rules"
        self.assertEqual(1, len(self.ask("GET", path, user="demo")["access_rules"]))
        self.ask("GET", f"{path}/{rule['id']}", user="other", expect=403)
        self.ask("DELETE", f"{path}/{rule['id']}", user="demo", expect=403)
        for made in (first, second, third):
            self.ask("DELETE", f"users/{self.user_id}/application_credentials/{made['id']}", user="demo", expect=204)
        self.ask("DELETE", f"{path}/{rule['id']}", user="demo", expect=204)
        self.ask("GET", f"{path}/{rule['id']}", user="demo", expect=404)
        self.credential(access_rules=[{"id": rule["id"]}], expect=404)

    def test_rules_that_are_none_are_refused(self):
        good = {"service": "container", "method": "GET", "path": "/v1/containers"}
        for change in (
            {"path": "v1"},
            {"path": "/v1/a b"},
            {"path": "/" + "x" * 128},
            {"path": "/**/x/**"},
            {"path": "/a*b*c"},
            {"path": None},
            {"method": "get"},
            {"service": ""},
            {"service": 1},
        ):
            self.credential(access_rules=[{**good, **change}], expect=400)
        self.credential(access_rules="all", expect=400)
        many = [{**good, "path": f"/v1/{number}"} for number in range(101)]
        self.credential(access_rules=many, expect=400)
        self.assertEqual(100, len(self.credential(access_rules=many[:100])["access_rules"]))


class ChainsTest(DelegationTestCase):
    def test_no_chain_of_delegations_grows(self):
        """Tokens beget tokens and credentials, these beget tokens: roles, rules, end and project never grow."""
        dice = random.Random(7)
        self.clock.advance(1)
        refused = grown = 0
        first = self.log_in("demo")
        pool = [(first.headers["X-Subject-Token"], first.json["token"], None)]
        for _ in range(60):
            token, said, parent = dice.choice(pool)
            if dice.random() < 0.4:
                scope = dice.choice([None, "unscoped", {"project": {"id": self.project_id}}, {"system": {"all": True}}])
                answer = self.by_token(token, scope)
                begot = None if answer.status_code != 201 else (answer, None)
            else:
                begot = self.by_new_credential(dice, token, parent)
            if begot is None:
                refused += 1
                continue
            answer, made = begot
            new = answer.json["token"]
            self.assertLessEqual(new["expires_at"], said["expires_at"] if made is None else new["expires_at"])
            if parent is not None:
                self.assertLessEqual(made["expires_at"] or "9", parent["expires_at"] or "9")
                allowed = {rule["id"] for rule in parent.get("access_rules", [])}
                self.assertTrue(not allowed or {rule["id"] for rule in made["access_rules"]} <= allowed)
            roles = {role["name"] for role in new.get("roles", [])}
            self.assertLessEqual(
                roles, {role["name"] for role in said.get("roles", [])} or {"member", "reader", "manager"}
            )
            self.assertEqual(self.project_id, new.get("project", {}).get("id", self.project_id))
            pool.append((answer.headers["X-Subject-Token"], new, made))
            grown += 1
        self.assertTrue(refused > 5 and grown > 15, (refused, grown))
        self.ask("PATCH", f"users/{self.user_id}", {"user": {"enabled": False}})
        self.clock.advance(BELIEVED_SECONDS)
        for token, _, _ in pool:
            self.assertEqual(401, self.ask_with(token, "GET", f"{V3}/auth/projects"))

    def by_new_credential(self, dice, token, parent):
        body = {"name": f"c{dice.random()}", "unrestricted": dice.random() < 0.7}
        if dice.random() < 0.5:
            body["roles"] = [{"name": dice.choice(["manager", "member", "reader"])}]
        if dice.random() < 0.5:
            body["expires_at"] = self.moment(dice.randrange(1, 4 * HOUR))
        if dice.random() < 0.3:
            path = dice.choice(["/v3/**", "/v3/users/*/application_credentials", "/v3/auth/*"])
            body["access_rules"] = [{"service": "identity", "method": "POST", "path": path}]
        answer = self.client.simulate_post(
            f"{V3}/users/{self.user_id}/application_credentials",
            json={"application_credential": body},
            headers={"X-Auth-Token": token},
        )
        if answer.status_code != 201:
            self.assertIn(answer.status_code, (400, 403))
            return None
        made = answer.json["application_credential"]
        return self.by_credential(made), made
