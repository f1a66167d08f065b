# SPDX-License-Identifier: Apache-2.0
"""Who may change what in the embedded identity, and how far: domains, their managers, guesses, bad input."""

from __future__ import annotations

from unittest import mock

from tests.api.test_identity import TOKENS, IdentityTestCase
from zun_lite.db import application_credentials, roles
from zun_lite.db import identity as rows
from zun_lite.identity import passwords
from zun_lite.identity.base import BELIEVED_SECONDS
from zun_lite.identity.guesses import USUAL

V3 = "/identity/v3"
SECRET = "a secret of the tests"


class RightsTestCase(IdentityTestCase):
    def ask(self, method, path, body=None, *, user="admin", expect=200, **more):
        answer = self.call(method, f"{V3}/{path}", body, user=user, **more)
        self.assertEqual(expect, answer.status_code, f"{method} {path}: {answer.text}")
        return answer.json if answer.content else None

    def made(self, noun, **fields):
        return self.ask("POST", f"{noun}s", {noun: fields}, expect=201)[noun]

    def role(self, name):
        return self.ask("GET", f"roles?name={name}")["roles"][0]["id"]

    def a_user(self, name, domain_id="default", role=None, where=None):
        """A new user, with a role in projects/ID, domains/ID or the system."""
        user = self.made("user", name=name, password=SECRET, domain_id=domain_id)
        if role is not None:
            self.give(user["id"], role, where)
        return user

    def give(self, user_id, role, where, expect=204, user="admin", method="PUT"):
        self.ask(method, f"{where}/users/{user_id}/roles/{self.role(role)}", user=user, expect=expect)

    def signed_in(self, name, scope, domain_id="default", password=SECRET):
        """self.call(user=name) from now on is with a token for this scope."""
        answer = self.by_password({"name": name, "domain": {"id": domain_id}}, password, scope)
        self.assertEqual(201, answer.status_code, answer.text)
        self._tokens[name] = answer.headers["X-Subject-Token"]
        return answer.json["token"]


class RecordsTest(RightsTestCase):
    def test_only_administrators_change_anything(self):
        user_id, project_id = self.ids("demo")
        role_id = self.role("member")
        changes = [
            ("POST", "users", {"user": {"name": "x"}}),
            ("POST", "projects", {"project": {"name": "x"}}),
            ("POST", "domains", {"domain": {"name": "x"}}),
            ("POST", "groups", {"group": {"name": "x"}}),
            ("POST", "roles", {"role": {"name": "x"}}),
            ("POST", "services", {"service": {"type": "x"}}),
            ("POST", "endpoints", {"endpoint": {"service_id": "x", "interface": "public", "url": "http://x"}}),
            ("POST", "regions", {"region": {"id": "x"}}),
            ("PATCH", f"users/{user_id}", {"user": {"enabled": False}}),
            ("PATCH", f"projects/{project_id}", {"project": {"enabled": False}}),
            ("DELETE", f"users/{user_id}", None),
            ("DELETE", f"projects/{project_id}", None),
            ("PUT", f"projects/{project_id}/users/{user_id}/roles/{self.role('admin')}", None),
            ("PUT", f"system/users/{user_id}/roles/{role_id}", None),
            ("PUT", f"roles/{role_id}/implies/{self.role('manager')}", None),
            ("PUT", f"projects/{project_id}/tags/x", None),
        ]
        for method, path, body in changes:
            self.ask(method, path, body, user="demo", expect=403)
        for path in ("services", "endpoints", "roles", "role_assignments", "role_inferences", "groups", "domains"):
            self.ask("GET", path, user="demo", expect=403)
            self.ask("GET", path)
        self.ask("GET", "regions", user="demo")

    def test_a_guessed_id_and_anothers_id_are_answered_alike(self):
        """A2."""
        other_id, other_project = self.ids("other")
        for noun, known in (("users", other_id), ("projects", other_project)):
            for method in ("GET", "PATCH", "DELETE"):
                answers = {
                    (answer.status_code, answer.text)
                    for answer in (self.call(method, f"{V3}/{noun}/{id}", {}) for id in (known, "0" * 32))
                }
                self.assertEqual(1, len(answers))
                self.assertEqual(403, answers.pop()[0])

    def test_names_with_control_characters_and_other_bad_input_are_400(self):
        for body in (
            {"user": {"name": "a\u0007b"}},
            {"user": {"name": " "}},
            {"user": {"name": "x" * 256}},
            {"user": {"name": 1}},
            {"user": {"name": "x", "enabled": "yes"}},
            {"user": {"name": "x", "options": {"unknown": True}}},
            {"user": {"name": "x", "colour": "y" * 20000}},
            {"user": []},
            [],
            {},
        ):
            answer = self.call("POST", f"{V3}/users", body, user="admin")
            self.assertEqual((400, "Bad Request"), (answer.status_code, answer.json["error"]["title"]), body)
        self.made("user", name="x" * 255, colour="blue")

    def test_what_refers_to_another_record_is_a_text_or_nothing(self):
        service = self.made("service", type="t")["id"]
        endpoint = {"service_id": service, "interface": "public", "url": "http://192.0.2.1"}
        for noun, base, key in (
            ("region", {}, "parent_region_id"),
            ("region", {}, "id"),
            ("endpoint", endpoint, "region"),
            ("endpoint", endpoint, "region_id"),
            ("project", {"name": "p"}, "parent_id"),
            ("user", {"name": "u"}, "domain_id"),
            ("user", {"name": "u"}, "default_project_id"),
            ("service", {"type": "t"}, "name"),
        ):
            for value in ([], {}, 0, False, ["x"], {"id": "x"}):
                self.ask("POST", f"{noun}s", {noun: {**base, key: value}}, expect=400)
            for value in ("", None):
                made = self.made(noun, **base, **{key: value})
                for changed in ([], {}):
                    if key != "domain_id":
                        self.ask("PATCH", f"{noun}s/{made['id']}", {noun: {key: changed}}, expect=400)
                self.ask("DELETE", f"{noun}s/{made['id']}", expect=204)

    def test_a_name_is_there_once_in_its_domain(self):
        domain = self.made("domain", name="else")
        for noun in ("user", "project", "group"):
            self.made(noun, name="twice")
            answer = self.call("POST", f"{V3}/{noun}s", {noun: {"name": "twice"}}, user="admin")
            self.assertEqual(409, answer.status_code)
            self.made(noun, name="twice", domain_id=domain["id"])
            self.made(noun, name="Twice")
        self.ask("POST", "roles", {"role": {"name": "member"}}, expect=409)
        self.ask("POST", "domains", {"domain": {"name": "else"}}, expect=409)
        self.ask("POST", "regions", {"region": {"id": "RegionOne"}}, expect=409)

    def test_what_is_immutable_stays_until_it_is_opened(self):
        member = self.role("member")
        self.ask("DELETE", f"roles/{member}", expect=403)
        self.ask("PATCH", f"roles/{member}", {"role": {"name": "x"}}, expect=403)
        self.ask("PATCH", f"roles/{member}", {"role": {"options": {"immutable": None}}})
        self.ask("DELETE", f"roles/{member}", expect=204)

    def test_projects_form_trees_and_tags(self):
        top = self.made("project", name="top", tags=["b", "a"])
        low = self.made("project", name="low", parent_id=top["id"])
        self.assertEqual((["a", "b"], "default"), (top["tags"], top["parent_id"]))
        shown = self.ask("GET", f"projects/{top['id']}?subtree_as_ids")["project"]
        self.assertEqual({low["id"]: None}, shown["subtree"])
        shown = self.ask("GET", f"projects/{low['id']}?parents_as_ids")["project"]
        self.assertEqual({top["id"]: {"default": None}}, shown["parents"])
        self.assertEqual([low], self.ask("GET", f"projects?parent_id={top['id']}")["projects"])
        at_top = [each["name"] for each in self.ask("GET", "projects?parent_id=default")["projects"]]
        self.assertIn("top", at_top)
        self.assertNotIn("low", at_top)
        self.ask("DELETE", f"projects/{top['id']}", expect=403)
        self.ask("PATCH", f"projects/{top['id']}", {"project": {"enabled": False}}, expect=403)
        self.ask("PUT", f"projects/{top['id']}/tags/c", expect=201)
        self.ask("DELETE", f"projects/{top['id']}/tags/a", expect=204)
        self.ask("GET", f"projects/{top['id']}/tags/a", expect=404)
        self.ask("PUT", f"projects/{top['id']}/tags", {"tags": ["a,b"]}, expect=400)
        self.assertEqual(["b", "c"], self.ask("GET", f"projects/{top['id']}/tags")["tags"])
        for query, count in (("tags=b,c", 1), ("tags=b,x", 0), ("tags-any=b,x", 1), ("not-tags-any=b", 4)):
            self.assertEqual(count, len(self.ask("GET", f"projects?{query}")["projects"]), query)

    def test_a_role_that_is_inherited_counts_below_and_not_there(self):
        top = self.made("project", name="top")
        low = self.made("project", name="low", parent_id=top["id"])
        user = self.a_user("ann")
        path = f"OS-INHERIT/projects/{top['id']}/users/{user['id']}/roles/{self.role('reader')}/inherited_to_projects"
        self.ask("PUT", path, expect=204)
        self.ask("HEAD", path, expect=204)
        refused = self.by_password({"id": user["id"]}, SECRET, {"project": {"id": top["id"]}})
        self.assertEqual(401, refused.status_code)
        self.signed_in("ann", {"project": {"id": low["id"]}})
        mine = self.ask("GET", "auth/projects", user="ann")["projects"]
        self.assertEqual(["low"], [each["name"] for each in mine])
        effective = self.ask("GET", f"role_assignments?effective&user.id={user['id']}")["role_assignments"]
        below = {"project": {"id": low["id"]}, "OS-INHERIT:inherited_to": "projects"}
        self.assertEqual([below], [each["scope"] for each in effective])
        plain = self.ask("GET", f"role_assignments?user.id={user['id']}&include_names")["role_assignments"]
        self.assertEqual("projects", plain[0]["scope"]["OS-INHERIT:inherited_to"])
        self.assertEqual(("ann", "reader"), (plain[0]["user"]["name"], plain[0]["role"]["name"]))

    def test_a_domain_goes_with_all_that_is_in_it_once_it_is_disabled(self):
        domain = self.made("domain", name="else")
        project = self.made("project", name="p", domain_id=domain["id"])
        user = self.a_user("eve", domain["id"], "member", f"projects/{project['id']}")
        self.made("group", name="g", domain_id=domain["id"])
        self.made("role", name="own", domain_id=domain["id"])
        self.signed_in("eve", {"project": {"id": project["id"]}}, domain["id"])
        self.ask("DELETE", f"domains/{domain['id']}", expect=403)
        self.ask("PATCH", f"domains/{domain['id']}", {"domain": {"enabled": False}})
        self.ask("GET", "auth/projects", user="eve", expect=401)
        self.ask("PATCH", f"domains/{domain['id']}", {"domain": {"enabled": True}})
        self.ask("GET", "auth/projects", user="eve", expect=401)
        self.ask("PATCH", f"domains/{domain['id']}", {"domain": {"enabled": False}})
        self.ask("DELETE", f"domains/{domain['id']}", expect=204)
        self.ask("GET", f"users/{user['id']}", expect=404)
        self.ask("GET", f"projects/{project['id']}", expect=404)

    def test_an_admin_role_is_never_implied(self):
        self.ask("PUT", f"roles/{self.role('member')}/implies/{self.role('admin')}", expect=403)

    def test_a_roles_domain_bounds_where_it_is_given(self):
        domain = self.made("domain", name="else")
        role = self.made("role", name="own", domain_id=domain["id"])
        user_id, project_id = self.ids("demo")
        self.ask("PUT", f"projects/{project_id}/users/{user_id}/roles/{role['id']}", expect=403)
        self.ask("PUT", f"domains/{domain['id']}/users/{user_id}/roles/{role['id']}", expect=204)
        self.assertNotIn("own", [each["name"] for each in self.ask("GET", "roles")["roles"]])
        own = self.ask("GET", f"roles?domain_id={domain['id']}")["roles"]
        self.assertEqual(["own"], [each["name"] for each in own])


class DomainManagerTest(RightsTestCase):
    def setUp(self):
        super().setUp()
        self.domain = self.made("domain", name="theirs")["id"]
        self.boss = self.a_user("boss", self.domain, "manager", f"domains/{self.domain}")
        self.signed_in("boss", {"domain": {"id": self.domain}}, self.domain)

    def test_a_manager_runs_its_domain(self):
        project = self.ask("POST", "projects", {"project": {"name": "p"}}, user="boss", expect=201)["project"]
        user = self.ask("POST", "users", {"user": {"name": "u"}}, user="boss", expect=201)["user"]
        group = self.ask("POST", "groups", {"group": {"name": "g"}}, user="boss", expect=201)["group"]
        self.assertEqual({self.domain}, {each["domain_id"] for each in (project, user, group)})
        for role in ("manager", "member", "reader"):
            self.give(user["id"], role, f"projects/{project['id']}", user="boss")
        self.ask("PUT", f"groups/{group['id']}/users/{user['id']}", user="boss", expect=204)
        self.ask("PATCH", f"users/{user['id']}", {"user": {"description": "x"}}, user="boss")
        for noun, names in (("users", ["boss", "u"]), ("projects", ["p"]), ("groups", ["g"]), ("domains", ["theirs"])):
            self.assertEqual(names, [each["name"] for each in self.ask("GET", noun, user="boss")[noun]])
        self.assertIn("member", [each["name"] for each in self.ask("GET", "roles", user="boss")["roles"]])
        seen = self.ask("GET", "role_assignments", user="boss")["role_assignments"]
        self.assertEqual(4, len(seen))
        self.ask("DELETE", f"users/{user['id']}", user="boss", expect=204)

    def test_it_gives_no_role_that_reaches_further_and_none_elsewhere(self):
        project = self.made("project", name="p", domain_id=self.domain)
        foreign_user, foreign_project = self.ids("demo")
        for role, where, user in (
            ("admin", f"projects/{project['id']}", self.boss["id"]),
            ("service", f"projects/{project['id']}", self.boss["id"]),
            ("admin", f"domains/{self.domain}", self.boss["id"]),
            ("member", "system", self.boss["id"]),
            ("member", f"projects/{foreign_project}", self.boss["id"]),
            ("member", f"projects/{project['id']}", foreign_user),
            ("member", "domains/default", self.boss["id"]),
        ):
            self.give(user, role, where, expect=403, user="boss")
        self.give(self.boss["id"], "member", f"projects/{project['id']}", user="boss")

    def test_it_sees_and_changes_nothing_of_other_domains(self):
        user_id, project_id = self.ids("demo")
        for path in (f"users/{user_id}", f"projects/{project_id}", "domains/default"):
            self.ask("GET", path, user="boss", expect=403)
        self.ask("PATCH", f"users/{user_id}", {"user": {"password": "x"}}, user="boss", expect=403)
        self.ask("POST", "users", {"user": {"name": "u", "domain_id": "default"}}, user="boss", expect=403)
        self.ask("PATCH", f"domains/{self.domain}", {"domain": {"enabled": False}}, user="boss", expect=403)
        self.assertEqual([], self.ask("GET", "users?domain_id=default", user="boss")["users"])

    def test_an_administrator_within_the_domain_is_out_of_its_reach(self):
        chief = self.a_user("chief", self.domain, "admin", f"domains/{self.domain}")
        for body in ({"user": {"password": "mine now"}}, {"user": {"enabled": False}}):
            self.ask("PATCH", f"users/{chief['id']}", body, user="boss", expect=403)
        self.ask("DELETE", f"users/{chief['id']}", user="boss", expect=403)
        group = self.made("group", name="chiefs", domain_id=self.domain)
        self.ask("PUT", f"domains/{self.domain}/groups/{group['id']}/roles/{self.role('admin')}", expect=204)
        self.ask("PUT", f"groups/{group['id']}/users/{self.boss['id']}", user="boss", expect=403)
        self.ask("PATCH", f"users/{chief['id']}", {"user": {"description": "fine"}})

    def test_a_user_with_rights_in_another_domain_is_out_of_its_reach(self):
        _, foreign_project = self.ids("demo")
        own_project = self.made("project", name="p", domain_id=self.domain)["id"]
        group = self.made("group", name="guests", domain_id=self.domain)["id"]
        self.ask("PUT", f"projects/{foreign_project}/groups/{group}/roles/{self.role('reader')}", expect=204)
        in_group = self.a_user("by-group", self.domain, "member", f"projects/{own_project}")["id"]
        self.ask("PUT", f"groups/{group}/users/{in_group}", expect=204)
        stolen = {"user": {"password": "mine now"}}
        for user_id in (
            self.a_user("in-project", self.domain, "member", f"projects/{foreign_project}")["id"],
            self.a_user("in-domain", self.domain, "manager", "domains/default")["id"],
            in_group,
        ):
            self.ask("PATCH", f"users/{user_id}", stolen, user="boss", expect=403)
            self.ask("DELETE", f"users/{user_id}", user="boss", expect=403)
        self.ask("PUT", f"groups/{group}/users/{self.boss['id']}", user="boss", expect=403)
        at_home = self.a_user("at-home", self.domain, "member", f"projects/{own_project}")["id"]
        self.give(at_home, "reader", f"domains/{self.domain}")
        self.ask("PATCH", f"users/{at_home}", stolen, user="boss")

    def test_a_reader_of_the_system_reads_all_and_changes_nothing(self):
        self.a_user("watch", "default", "reader", "system")
        self.signed_in("watch", {"system": {"all": True}})
        for noun in ("users", "projects", "domains", "groups", "roles", "services", "endpoints", "role_assignments"):
            self.assertTrue(self.ask("GET", noun, user="watch"), noun)
        self.ask("POST", "users", {"user": {"name": "x"}}, user="watch", expect=403)
        self.ask("DELETE", f"users/{self.boss['id']}", user="watch", expect=403)


class GuessesTest(RightsTestCase):
    def guess(self, name, times, password="wrong"):
        return {self.log_in(name, password).status_code for _ in range(times)}

    def test_a_user_whose_password_was_guessed_too_often_is_locked_for_a_while(self):
        self.assertEqual({401}, self.guess("demo", USUAL.per_user))
        locked = self.log_in("demo")
        self.assertEqual((401, self.log_in("demo", "wrong").text), (locked.status_code, locked.text))
        self.assertEqual(201, self.log_in("other").status_code)
        self.clock.advance(USUAL.window_seconds + 1)
        self.assertEqual(201, self.log_in("demo").status_code)

    def test_a_right_password_in_time_begins_the_count_anew(self):
        for _ in range(3):
            self.assertEqual({401}, self.guess("demo", USUAL.per_user - 1))
            self.assertEqual(201, self.log_in("demo").status_code)

    def test_a_token_outlives_the_lock(self):
        token = self.token("demo")
        self.guess("demo", USUAL.per_user + 1)
        self.assertEqual(200, self.validate(token, user="admin").status_code)

    def test_an_address_from_which_too_many_guesses_come_waits_whoever_it_names(self):
        for count in range(USUAL.per_address // 8):
            self.assertEqual({401}, self.guess(f"nobody{count}", 8, "wrong"))
        for name in ("demo", "nobody"):
            refused = self.log_in(name, "demo's secret")
            self.assertEqual((429, "Too Many Requests"), (refused.status_code, refused.json["error"]["title"]))
        elsewhere = {"name": "other", "password": "other's secret", "domain": {"id": "default"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": elsewhere}}}}
        answer = self.client.simulate_post(TOKENS, json=body, remote_addr="192.0.2.7")
        self.assertEqual(201, answer.status_code)
        self.clock.advance(USUAL.window_seconds + 1)
        self.assertEqual(201, self.log_in("demo").status_code)

    def test_hashes_of_an_older_recipe_are_made_anew_when_the_password_is_next_seen(self):
        user_id, _ = self.ids("demo")
        made = self.ask("POST", f"users/{user_id}/application_credentials", self.WISH, user="demo", expect=201)
        token, before = self.token("demo"), self.hashes(user_id)
        with mock.patch.object(passwords, "TIME_COST", 2):
            self.log_in("demo", "wrong")
            self.assertEqual(before, self.hashes(user_id))
            self.assertEqual(201, self.log_in("demo").status_code)
            proof = {key: made["application_credential"][key] for key in ("id", "secret")}
            by_secret = self.post({"methods": ["application_credential"], "application_credential": proof})
            self.assertEqual(201, by_secret.status_code)
        after = self.hashes(user_id)
        self.assertEqual([True, True], ["t=2" in text for text in after])
        self.assertEqual((201, 200), (self.log_in("demo").status_code, self.validate(token).status_code))

    WISH = {"application_credential": {"name": "mine"}}

    def hashes(self, user_id):
        """Of the user's password and of its one application credential's secret."""
        with self.db.read() as tx:
            (found,) = application_credentials.find(tx, user_id=user_id)
            return rows.user(tx, user_id).password_hash, found.secret_hash

    def test_one_who_may_not_be_locked_is_not(self):
        user_id, _ = self.ids("demo")
        options = {"user": {"options": {"ignore_lockout_failure_attempts": True}}}
        self.ask("PATCH", f"users/{user_id}", options)
        self.guess("demo", USUAL.per_user + 1)
        self.assertEqual(201, self.log_in("demo").status_code)

    def test_changing_a_password_needs_the_old_one_and_counts_guesses(self):
        user_id, _ = self.ids("demo")
        before = self.token("demo")

        def change(original, password="new", id=user_id):
            body = {"user": {"original_password": original, "password": password}}
            return self.client.simulate_post(f"{V3}/users/{id}/password", json=body)

        self.assertEqual(400, self.client.simulate_post(f"{V3}/users/{user_id}/password", json={}).status_code)
        answers = [change("wrong"), change("wrong", id="0" * 32)]
        self.assertEqual({401}, {answer.status_code for answer in answers})
        self.assertEqual(1, len({answer.text for answer in answers}))
        self.assertEqual(204, change("demo's secret").status_code)
        self.clock.advance(BELIEVED_SECONDS + 1)
        self.assertEqual(404, self.validate(before).status_code)
        self.assertEqual((401, 201), (self.log_in("demo").status_code, self.log_in("demo", "new").status_code))
        for _ in range(USUAL.per_user):
            change("wrong")
        self.assertEqual(401, change("new", "newer").status_code)


class RevocationTest(RightsTestCase):
    def exchanged(self, token_id, scope=None):
        return self.by_token(token_id, scope).headers["X-Subject-Token"]

    def test_what_a_token_begot_ends_with_it(self):
        first = self.log_in("demo").headers["X-Subject-Token"]
        second = self.exchanged(first)
        third = self.exchanged(second, "unscoped")
        sibling = self.exchanged(first)
        other = self.log_in("demo").headers["X-Subject-Token"]
        self.get("/v1/containers", headers={"X-Auth-Token": second})
        self.assertEqual(204, self.validate(second, method="DELETE").status_code)
        self.assertEqual([404, 404], [self.validate(token).status_code for token in (second, third)])
        self.assertEqual(401, self.call("GET", "/v1/containers", headers={"X-Auth-Token": second}).status_code)
        self.assertEqual([200] * 3, [self.validate(token).status_code for token in (first, sibling, other)])
        self.assertEqual(204, self.validate(first, method="DELETE").status_code)
        self.assertEqual([404, 200], [self.validate(token).status_code for token in (sibling, other)])

    def test_a_chain_of_exchanges_has_an_end(self):
        token = self.log_in("demo").headers["X-Subject-Token"]
        for _ in range(4):
            token = self.exchanged(token)
        refused = self.by_token(token)
        self.assertEqual(403, refused.status_code, refused.text)

    def test_a_token_of_the_system_gets_none_of_a_project(self):
        system = self.log_in("admin", scope={"system": {"all": True}}).headers["X-Subject-Token"]
        for scope in ({"project": {"name": "admin", "domain": {"id": "default"}}}, {"domain": {"id": "default"}}):
            self.assertEqual(403, self.by_token(system, scope).status_code)
        self.assertEqual(201, self.by_token(system, {"system": {"all": True}}).status_code)
        self.assertEqual(201, self.by_token(system, "unscoped").status_code)
        # The user's default project is no way around it.
        self.assertNotIn("project", self.by_token(system).json["token"])

    def test_a_user_that_is_enabled_again_has_none_of_its_old_tokens(self):
        user_id, _ = self.ids("demo")
        before = self.token("demo")
        self.ask("PATCH", f"users/{user_id}", {"user": {"enabled": False}})
        self.assertEqual(404, self.validate(before).status_code)
        self.ask("PATCH", f"users/{user_id}", {"user": {"enabled": True}})
        self.assertEqual(404, self.validate(before).status_code)
        self.assertEqual(201, self.log_in("demo").status_code)

    def test_a_role_that_is_taken_away_ends_what_it_allowed_at_once(self):
        user_id, project_id = self.ids("demo")
        self.get("/v1/containers")
        self.give(user_id, "member", f"projects/{project_id}", method="DELETE")
        self.assertEqual(401, self.call("GET", "/v1/containers").status_code)

    def test_forged_headers_change_nothing(self):
        """A6."""
        forged = {
            "X-Roles": "admin",
            "X-Role": "admin",
            "X_ROLES": "admin",
            "X-Is-Admin-Project": "True",
            "X-User-Id": self.ids("admin")[0],
            "X-Project-Id": self.ids("admin")[1],
            "X-Identity-Status": "Confirmed",
            "OpenStack-System-Scope": "all",
        }
        for path, expect in (("users", 403), ("auth/projects", 200)):
            plain, dressed = (self.call("GET", f"{V3}/{path}", headers=more) for more in ({}, forged))
            self.assertEqual((expect, plain.text), (dressed.status_code, dressed.text))
        answer = self.client.simulate_get(f"{V3}/users", headers=forged)
        self.assertEqual(401, answer.status_code)

    def test_roles_that_nobody_knows_any_more_count_for_nothing(self):
        user_id, project_id = self.ids("demo")
        role = self.made("role", name="watcher")
        self.ask("PUT", f"projects/{project_id}/users/{user_id}/roles/{role['id']}", expect=204)
        self.ask("DELETE", f"roles/{role['id']}", expect=204)
        with self.db.read() as tx:
            held = roles.assignments(tx, roles.USER, [user_id])
        self.assertEqual([self.role("member")], [each.role_id for each in held])
