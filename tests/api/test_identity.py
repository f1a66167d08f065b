# SPDX-License-Identifier: Apache-2.0
"""The embedded identity service on the wire: tokens, catalogue, projects, users."""

from __future__ import annotations

from unittest import mock

from testtools.matchers import MatchesRegex

from tests.api.case import DEMO_PASSWORD, ApiTestCase
from zun_lite.db import identity as rows
from zun_lite.db import roles
from zun_lite.identity import passwords
from zun_lite.identity.base import BELIEVED_SECONDS

MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$"
TOKENS = "/identity/v3/auth/tokens"
CATALOGUE = {
    "identity": "/identity",
    "network": "/network",
    "block-storage": "/volume/v3",
    "volumev3": "/volume/v3",
    "image": "/image",
    "container": "/v1",
}


class IdentityTestCase(ApiTestCase):
    def post(self, identity, scope=None):
        auth = {"identity": identity}
        if scope is not None:
            auth["scope"] = scope
        return self.client.simulate_post(TOKENS, json={"auth": auth})

    def by_password(self, user, password=DEMO_PASSWORD, scope=None):
        return self.post({"methods": ["password"], "password": {"user": {**user, "password": password}}}, scope)

    def by_token(self, token_id, scope=None):
        return self.post({"methods": ["token"], "token": {"id": token_id}}, scope)

    def validate(self, subject, user="admin", method="GET", **params):
        return self.call(method, TOKENS, user=user, headers={"X-Subject-Token": subject}, params=params)

    def ids(self, name="demo"):
        body = self.log_in(name).json["token"]
        return body["user"]["id"], body["project"]["id"]


class IssueTest(IdentityTestCase):
    def test_a_project_token_says_all_that_clients_read(self):
        answer = self.log_in("demo")
        self.assertEqual(201, answer.status_code)
        self.assertEqual("X-Auth-Token", answer.headers["Vary"])
        self.assertTrue(100 < len(answer.headers["X-Subject-Token"]) < 250)
        body = answer.json["token"]
        domain = {"id": "default", "name": "Default"}
        self.assertEqual((["password"], "demo", domain, None), (
            body["methods"], body["user"]["name"], body["user"]["domain"], body["user"]["password_expires_at"]
        ))  # fmt: skip
        self.assertEqual(
            ("demo", domain, False), (body["project"]["name"], body["project"]["domain"], body["is_domain"])
        )
        self.assertEqual(["member", "reader"], sorted(role["name"] for role in body["roles"]))
        self.assertEqual(1, len(body["audit_ids"]))
        for moment in ("issued_at", "expires_at"):
            self.assertThat(body[moment], MatchesRegex(MOMENT))

    def test_an_administrators_roles_bring_the_implied_ones(self):
        roles = self.log_in("admin").json["token"]["roles"]
        self.assertEqual(["admin", "manager", "member", "reader"], sorted(role["name"] for role in roles))

    def test_the_catalogue_has_the_urls_that_suit_every_client(self):
        catalog = self.log_in("demo").json["token"]["catalog"]
        self.assertEqual(sorted(CATALOGUE), [service["type"] for service in catalog])
        for service in catalog:
            url = self.conf.api.public_url + CATALOGUE[service["type"]]
            self.assertEqual(
                [(interface, "RegionOne", "RegionOne", url) for interface in ("public", "internal", "admin")],
                [tuple(e[k] for k in ("interface", "region", "region_id", "url")) for e in service["endpoints"]],
            )
        self.assertNotIn("catalog", self.log_in("demo", nocatalog="").json["token"])

    def test_users_and_projects_go_by_id_or_by_name_and_domain(self):
        user_id, project_id = self.ids()
        for user in (
            {"id": user_id},
            {"name": "demo", "domain": {"id": "default"}},
            {"name": "demo", "domain": {"name": "Default"}},
        ):
            for project in ({"id": project_id}, {"name": "demo", "domain": {"name": "Default"}}):
                answer = self.by_password(user, scope={"project": project})
                self.assertEqual(project_id, answer.json["token"]["project"]["id"])

    def test_unscoped_tokens_have_no_roles_and_no_catalogue(self):
        user_id, _ = self.ids()
        for scope in ("unscoped", {"unscoped": {}}):
            body = self.by_password({"id": user_id}, scope=scope).json["token"]
            self.assertEqual(set(), {"project", "roles", "catalog", "domain", "system"} & set(body))

    def test_without_a_scope_the_default_project_is_meant_if_there_is_one(self):
        user_id, project_id = self.ids()
        self.assertEqual(project_id, self.by_password({"id": user_id}).json["token"]["project"]["id"])
        other_id, _ = self.ids("other")
        self.assertNotIn("project", self.by_password({"id": other_id}, "other's secret").json["token"])

    def test_the_system_is_a_scope_for_who_has_a_role_in_it(self):
        scope = {"system": {"all": True}}
        body = self.log_in("admin", scope=scope).json["token"]
        self.assertEqual(({"all": True}, True), (body["system"], "catalog" in body))
        self.assertNotIn("project", body)
        self.assertEqual(401, self.log_in("demo", scope=scope).status_code)

    def test_a_domain_is_a_scope_for_who_has_a_role_in_it(self):
        user_id, _ = self.ids()
        for domain in ({"id": "default"}, {"name": "Default"}):
            self.assertEqual(401, self.by_password({"id": user_id}, scope={"domain": domain}).status_code)
        with self.db.transaction() as tx:
            roles.assign(tx, user_id, roles.DOMAIN, "default", roles.named(tx, ["reader"])[0].id)
        for domain in ({"id": "default"}, {"name": "Default"}):
            body = self.by_password({"id": user_id}, scope={"domain": domain}).json["token"]
            self.assertEqual({"id": "default", "name": "Default"}, body["domain"])

    def test_who_is_wrong_is_not_told_where(self):
        user_id, _ = self.ids()
        _, other_project = self.ids("other")
        answers = [
            self.log_in("demo", "wrong"),
            self.by_password({"name": "nobody", "domain": {"id": "default"}}),
            self.by_password({"name": "demo", "domain": {"id": "nowhere"}}),
            self.by_password({"id": "0" * 32}),
            self.by_password({"id": user_id}, scope={"project": {"id": "0" * 32}}),
            self.by_password({"id": user_id}, scope={"project": {"id": other_project}}),
            self.by_password({"id": user_id}, scope={"project": {"name": "no", "domain": {"id": "default"}}}),
            self.by_password({"id": user_id}, scope={"domain": {"id": "nowhere"}}),
            self.by_token("nonsense"),
            self.post({"methods": ["totp"], "totp": {}}),
        ]
        self.assertEqual({401}, {answer.status_code for answer in answers})
        self.assertEqual(1, len({answer.text for answer in answers}))
        self.assertEqual(201, self.by_password({"id": user_id}).status_code)

    def test_an_unknown_user_costs_a_password_check_too(self):
        with mock.patch.object(passwords, "fits", wraps=passwords.fits) as checked:
            self.by_password({"name": "nobody", "domain": {"id": "default"}})
            self.by_password({"name": "demo", "domain": {"id": "nowhere"}})
        self.assertEqual(2, checked.call_count)

    def test_what_is_not_in_the_form_is_400_with_a_sentence(self):
        user = {"name": "demo", "password": "x"}
        for body in (
            {},
            [],
            {"auth": []},
            {"auth": {}},
            {"auth": {"identity": {}}},
            {"auth": {"identity": {"methods": []}}},
            {"auth": {"identity": {"methods": ["password"]}}},
            {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo"}}}}},
            {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}},
            {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": 1, "password": "x"}}}}},
            {
                "auth": {
                    "identity": {"methods": ["password"], "password": {"user": {"id": "1", "password": "x" * 4097}}}
                }
            },
            {"auth": {"identity": {"methods": ["token"], "token": {}}}},
            {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {}}},
            {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": "all"}},
            {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"project": {"name": "p"}}}},
            {"auth": {"identity": {"methods": ["token"], "token": {"id": "x"}}, "scope": {"system": {}}}},
        ):
            answer = self.client.simulate_post(TOKENS, json=body)
            self.assertEqual((400, 400), (answer.status_code, answer.json["error"]["code"]), body)
            self.assertTrue(answer.json["error"]["message"])
        malformed = self.client.simulate_post(TOKENS, body=b"{", headers={"Content-Type": "application/json"})
        self.assertEqual(400, malformed.status_code)

    def test_a_token_begets_another_that_ends_with_it(self):
        """A7."""
        first = self.log_in("demo")
        self.clock.advance(10)
        second = self.by_token(first.headers["X-Subject-Token"], "unscoped")
        third = self.by_token(second.headers["X-Subject-Token"], {"project": {"id": self.ids()[1]}})
        said = [answer.json["token"] for answer in (first, second, third)]
        self.assertEqual(1, len({body["expires_at"] for body in said}))
        self.assertEqual(
            [["password"], ["token", "password"], ["token", "password"]], [body["methods"] for body in said]
        )
        self.assertEqual([1, 2, 2], [len(body["audit_ids"]) for body in said])
        self.assertEqual(1, len({body["audit_ids"][-1] for body in said}))
        self.assertIn("catalog", said[2])

    def test_a_disabled_user_or_project_gets_no_token_and_loses_those_it_had(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        for table in (rows.users, rows.projects):
            self.assertEqual(200, self.validate(subject).status_code)
            with self.db.transaction() as tx:
                tx.execute(table.update().where(table.c.name == "demo").values(enabled=False))
            self.assertEqual(401, self.log_in("demo").status_code)
            self.assertEqual(404, self.validate(subject).status_code)
            with self.db.transaction() as tx:
                tx.execute(table.update().values(enabled=True))

    def test_no_password_is_logged(self):
        with self.assertLogs("zun_lite", "DEBUG") as logged:
            self.log_in("demo")
            self.log_in("demo", "wr0ng")
        self.assertNotIn("secret", "".join(logged.output))
        self.assertNotIn("wr0ng", "".join(logged.output))


class ValidateTest(IdentityTestCase):
    def test_a_valid_subject_is_answered_like_a_new_one(self):
        issued = self.log_in("demo")
        subject = issued.headers["X-Subject-Token"]
        answer = self.validate(subject)
        self.assertEqual((200, issued.json, subject), (
            answer.status_code, answer.json, answer.headers["X-Subject-Token"]
        ))  # fmt: skip
        self.assertNotIn("catalog", self.validate(subject, nocatalog="").json["token"])
        head = self.validate(subject, method="HEAD")
        self.assertEqual((200, ""), (head.status_code, head.text))

    def test_an_unknown_or_missing_subject_is_404_but_a_bad_caller_401(self):
        self.assertEqual(404, self.validate("nonsense").status_code)
        self.assertEqual(404, self.call("GET", TOKENS, user="admin").status_code)
        subject = self.token("demo")
        answer = self.client.simulate_get(TOKENS, headers={"X-Auth-Token": "bad", "X-Subject-Token": subject})
        self.assertEqual(401, answer.status_code)

    def test_only_services_and_administrators_look_at_others_tokens(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        self.assertEqual(200, self.validate(subject, user="demo").status_code)
        self.assertEqual(403, self.validate(subject, user="other").status_code)
        self.assertEqual(403, self.validate(subject, user="other", method="DELETE").status_code)
        user_id, project_id = self.ids("other")
        with self.db.transaction() as tx:
            roles.assign(tx, user_id, roles.PROJECT, project_id, roles.named(tx, ["service"])[0].id)
        self.clock.advance(BELIEVED_SECONDS + 1)
        self.assertEqual(200, self.validate(subject, user="other").status_code)
        self.assertEqual(403, self.validate(subject, user="other", method="DELETE").status_code)

    def test_a_revoked_token_ends_and_its_siblings_do_not(self):
        first, second = (self.log_in("demo").headers["X-Subject-Token"] for _ in range(2))
        self.get("/v1/containers", headers={"X-Auth-Token": first})
        answer = self.validate(first, method="DELETE")
        self.assertEqual((204, ""), (answer.status_code, answer.text))
        self.assertEqual(404, self.validate(first).status_code)
        self.assertEqual(404, self.validate(first, method="DELETE").status_code)
        self.assertEqual(401, self.call("GET", "/v1/containers", headers={"X-Auth-Token": first}).status_code)
        self.assertEqual(401, self.by_token(first).status_code)
        self.assertEqual(200, self.validate(second).status_code)

    def test_another_process_notices_a_revocation_within_seconds(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        elsewhere, header = self.make_client(), {"X-Auth-Token": subject}
        self.assertEqual(200, elsewhere.simulate_get("/v1/containers", headers=header).status_code)
        self.validate(subject, method="DELETE")
        self.clock.advance(BELIEVED_SECONDS + 0.1)
        self.assertEqual(401, elsewhere.simulate_get("/v1/containers", headers=header).status_code)

    def test_an_expired_token_is_good_for_nothing_but_a_late_look(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        self.get("/v1/containers", headers={"X-Auth-Token": subject})
        self.clock.advance(3601)
        self._tokens.clear()
        self.assertEqual(401, self.call("GET", "/v1/containers", headers={"X-Auth-Token": subject}).status_code)
        self.assertEqual(404, self.validate(subject).status_code)
        self.assertEqual(200, self.validate(subject, allow_expired="1").status_code)
        self.clock.advance(49 * 3600)
        self._tokens.clear()
        self.assertEqual(404, self.validate(subject, allow_expired="1").status_code)

    def test_a_known_token_costs_no_look_up(self):
        """F2."""
        self.get("/v1/containers")
        with mock.patch.object(self.identity, "validate", side_effect=AssertionError("looked up")):
            self.get("/v1/containers")

    def test_a_new_password_voids_the_tokens_of_the_old_one(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        with self.db.transaction() as tx:
            rows.set_password(tx, self.ids()[0], passwords.hashed("new"))
        self.assertEqual(404, self.validate(subject).status_code)
        self.assertEqual((401, 201), (self.log_in("demo").status_code, self.log_in("demo", "new").status_code))

    def test_a_role_that_was_taken_is_gone_from_tokens(self):
        subject = self.log_in("demo").headers["X-Subject-Token"]
        user_id, _ = self.ids()
        with self.db.transaction() as tx:
            tx.execute(roles.role_assignments.delete().where(roles.role_assignments.c.user_id == user_id))
        self.assertEqual(404, self.validate(subject).status_code)


class DirectoryTest(IdentityTestCase):
    def names(self, path, key, **more):
        return [item["name"] for item in self.get(f"/identity/v3/{path}", **more)[key]]

    def test_lists_are_an_administrators(self):
        self.assertEqual(["admin", "demo", "other"], self.names("projects", "projects", user="admin"))
        self.assertEqual(["admin", "demo", "other"], self.names("users", "users", user="admin"))
        for path in ("projects", "users", "projects?domain_id=default"):
            refused = self.call("GET", f"/identity/v3/{path}")
            self.assertEqual((403, 403), (refused.status_code, refused.json["error"]["code"]))

    def test_a_list_by_name_shows_others_only_what_is_theirs(self):
        for path in ("projects", "users"):
            self.assertEqual(["demo"], self.names(f"{path}?name=demo", path))
            self.assertEqual([], self.names(f"{path}?name=other", path))

    def test_filters_are_exact(self):
        for query, expected in {
            "name=demo": ["demo"],
            "name=Demo": [],
            "domain_id=default&name=other": ["other"],
            "domain_id=nowhere": [],
            "enabled=true": ["admin", "demo", "other"],
            "enabled=False": [],
        }.items():
            for path in ("projects", "users"):
                self.assertEqual(expected, self.names(f"{path}?{query}", path, user="admin"), query)
        self.assertEqual(3, len(self.names("projects?parent_id=default", "projects", user="admin")))
        self.assertEqual([], self.names("projects?parent_id=nowhere", "projects", user="admin"))

    def test_lists_have_links_and_no_second_page(self):
        links = self.get("/identity/v3/projects", user="admin")["links"]
        url = f"{self.conf.api.public_url}/identity/v3/projects"
        self.assertEqual({"self": url, "previous": None, "next": None}, links)

    def test_everyone_sees_themselves_and_their_project(self):
        user_id, project_id = self.ids()
        user = self.get(f"/identity/v3/users/{user_id}")["user"]
        self.assertEqual(("demo", "default", True, project_id), tuple(
            user[key] for key in ("name", "domain_id", "enabled", "default_project_id")
        ))  # fmt: skip
        self.assertNotIn("password", "".join(user).replace("password_expires_at", ""))
        project = self.get(f"/identity/v3/projects/{project_id}")["project"]
        self.assertEqual(("demo", "default", "default", False, [], {}), tuple(
            project[key] for key in ("name", "domain_id", "parent_id", "is_domain", "tags", "options")
        ))  # fmt: skip
        self.assertEqual(["demo"], self.names(f"users/{user_id}/projects", "projects"))

    def test_others_are_forbidden_or_not_there(self):
        user_id, project_id = self.ids("other")
        for path in (f"users/{user_id}", f"projects/{project_id}", f"users/{user_id}/projects"):
            self.get(f"/identity/v3/{path}", expect=403)
            self.get(f"/identity/v3/{path}", user="admin")
        for path in ("users/demo", "projects/demo", "users/demo/projects"):
            self.get(f"/identity/v3/{path}", user="admin", expect=404)

    def test_what_ones_own_token_is_good_for(self):
        self.assertEqual(["demo"], self.names("auth/projects", "projects"))
        self.assertEqual([], self.names("auth/domains", "domains"))
        self.assertEqual([], self.get("/identity/v3/auth/system")["system"])
        self.assertEqual([{"all": True}], self.get("/identity/v3/auth/system", user="admin")["system"])
        self.assertEqual(sorted(CATALOGUE), [s["type"] for s in self.get("/identity/v3/auth/catalog")["catalog"]])
        unscoped = self.log_in("demo", scope="unscoped").headers["X-Subject-Token"]
        self.get("/identity/v3/auth/catalog", headers={"X-Auth-Token": unscoped}, expect=403)
