# SPDX-License-Identifier: Apache-2.0
"""Who sees what on the wire: all projects, look-ups across them, filters, guarded fields, an operator's rules."""

from __future__ import annotations

from pathlib import Path

from tests.api.case import ApiTestCase
from zun_lite.api.policy import LOOK_EVERY_SECONDS
from zun_lite.db import identity as rows
from zun_lite.db import roles

GUARDED = {"host", "image_pull_policy", "privileged", "runtime"}


class AllProjectsTest(ApiTestCase):
    def setUp(self):
        super().setUp()
        self.mine = self.create("web")
        self.theirs = self.create("web", user="other")

    def listed(self, **more):
        return {item["uuid"] for item in self.get("/v1/containers", **more)["containers"]}

    def test_an_administrator_lists_all_projects_when_asked_to(self):
        both = {self.mine["uuid"], self.theirs["uuid"]}
        for word in ("1", "t", "true", "on", "y", "yes", "TRUE"):
            self.assertEqual(both, self.listed(user="admin", params={"all_projects": word}))
        for word in ("0", "f", "false", "off", "n", "no"):
            self.assertEqual(set(), self.listed(user="admin", params={"all_projects": word}))
        self.assertEqual(set(), self.listed(user="admin"))

    def test_members_may_not(self):
        for path, rule in (("containers", "container:get_all_all_projects"), ("registries", "registry:get_all_all")):
            refused = self.call("GET", f"/v1/{path}", params={"all_projects": "1"})
            self.refused(403, refused, rule)
        refused = self.call("GET", f"/v1/containers/{self.mine['uuid']}", params={"all_projects": "1"})
        self.refused(403, refused, "container:get_one_all_projects")
        refused = self.call("DELETE", f"/v1/containers/{self.mine['uuid']}", params={"all_projects": "1"})
        self.refused(403, refused, "container:delete_all_projects")

    def test_a_list_of_capsules_just_shows_a_member_its_own(self):
        self.assertEqual([], self.get("/v1/capsules", params={"all_projects": "1"})["capsules"])

    def test_what_is_no_boolean_is_refused(self):
        for path in ("containers", f"containers/{self.mine['uuid']}", "capsules", "registries"):
            self.refused(400, self.call("GET", f"/v1/{path}", params={"all_projects": "some"}), "all_projects")

    def test_the_next_page_is_of_all_projects_too(self):
        first = self.get("/v1/containers", user="admin", params={"all_projects": "1", "limit": "1"})
        path = first["next"].removeprefix(self.services.public_url)
        second = self.get(path, user="admin")
        self.assertEqual(
            {self.mine["uuid"], self.theirs["uuid"]},
            {page["containers"][0]["uuid"] for page in (first, second)},
        )

    def test_an_administrators_look_up_goes_over_all_projects_without_being_asked(self):
        for made in (self.mine, self.theirs):
            self.assertEqual(made["uuid"], self.get(f"/v1/containers/{made['uuid']}", user="admin")["uuid"])
        self.refused(409, self.call("GET", "/v1/containers/web", user="admin"), "UUID")
        self.assertEqual(self.mine["uuid"], self.get("/v1/containers/web")["uuid"])

    def test_another_projects_is_not_found_whatever_a_member_asks(self):
        """A2."""
        for method in ("GET", "DELETE"):
            refused = self.call(method, f"/v1/containers/{self.theirs['uuid']}", params={"all_projects": "false"})
            self.refused(404, refused, self.theirs["uuid"])

    def test_another_projects_name_in_a_filter_finds_nothing(self):
        """A4."""
        for key in ("project_id", "user_id"):
            self.assertEqual(set(), self.listed(params={key: self.theirs[key]}))
        found = self.listed(user="admin", params={"all_projects": "1", "project_id": self.theirs["project_id"]})
        self.assertEqual({self.theirs["uuid"]}, found)


class QueriesTest(ApiTestCase):
    def test_containers_and_registries_refuse_keys_that_they_do_not_know(self):
        """A5."""
        for path in ("/v1/containers", "/v1/registries"):
            self.refused(400, self.call("GET", path, params={"colour": "blue"}), "Unknown parameters", "colour")

    def test_the_other_lists_let_them_pass(self):
        for path in ("/v1/hosts", "/v1/capsules", "/v1/availability_zones", "/v1/services"):
            self.get(path, user="admin", params={"colour": "blue"})

    def test_the_filter_by_host_is_for_who_may_see_it(self):
        made = self.create("web")
        self.refused(403, self.call("GET", "/v1/containers", params={"host": "host1"}), "container:get_one:host")
        found = self.get("/v1/containers", user="admin", params={"host": "host1", "all_projects": "1"})
        self.assertEqual([made["uuid"]], [item["uuid"] for item in found["containers"]])
        nowhere = self.get("/v1/containers", user="admin", params={"host": "host9", "all_projects": "1"})
        self.assertEqual([], nowhere["containers"])


class OperatorsRulesTest(ApiTestCase):
    def rule(self, text: str) -> None:
        Path(self.conf.api.policy_file).write_text(text)
        self.clock.advance(LOOK_EVERY_SECONDS)

    def test_guarded_fields_are_absent_until_a_rule_shows_them(self):
        made = self.create("web")
        self.assertEqual(set(), GUARDED & set(made))
        self.assertEqual(GUARDED, GUARDED & set(self.get(f"/v1/containers/{made['uuid']}", user="admin")))
        self.rule('"container:get_one:host": "role:member"\n')
        shown = self.get(f"/v1/containers/{made['uuid']}")
        self.assertEqual({"host"}, GUARDED & set(shown))
        self.assertEqual("host1", shown["host"])
        (item,) = self.get("/v1/containers", params={"host": "host1"})["containers"]
        self.assertEqual({"host"}, GUARDED & set(item))

    def test_a_page_that_one_user_may_see_is_not_kept_for_another(self):
        def join(tx) -> None:
            """other becomes a member of the project of demo as well, with a role of its own."""
            demo, user = rows.find_projects(tx, name="demo")[0], rows.find_users(tx, name="other")[0]
            roles.add(tx, "watch", "watcher")
            for role in (*roles.named(tx, ["member"]), *roles.named(tx, ["watcher"])):
                roles.assign(tx, user.id, roles.PROJECT, demo.id, role.id)

        self.db.transact(join)
        self.rule('"container:get_one:host": "role:watcher"\n')
        self.create("web")
        scope = {"project": {"name": "demo", "domain": {"id": "default"}}}
        watcher = self.log_in("other", scope=scope).headers["X-Subject-Token"]
        for _ in range(2):
            (seen,) = self.get("/v1/containers", headers={"X-Auth-Token": watcher})["containers"]
            self.assertIn("host", seen)
            (seen,) = self.get("/v1/containers")["containers"]
            self.assertNotIn("host", seen)

    def test_a_thing_can_be_kept_for_whoever_made_it(self):
        self.running("web")
        self.call("POST", "/v1/registries", {"registry": {"name": "mine", "domain": "registry.example.com"}})
        own = "user_id:%(user_id)s"
        self.rule(f'"container:stop": "{own}"\n"container:delete": "@"\n"registry:get_one": "{own}"\n')
        self.assertEqual(200, self.call("GET", "/v1/registries/mine").status_code)
        self.refused(403, self.call("GET", "/v1/registries/mine", user="admin"), "registry:get_one")
        self.refused(403, self.call("DELETE", "/v1/containers/web?stop=true", user="admin"), "container:stop")
        self.assertEqual(204, self.call("DELETE", "/v1/containers/web?stop=true").status_code)

    def test_a_verb_can_be_taken_from_members(self):
        made = self.running("web")
        self.rule('"container:stop": "rule:context_is_admin"\n')
        self.refused(403, self.call("POST", f"/v1/containers/{made['uuid']}/stop"), "container:stop")
        self.assertEqual(202, self.call("POST", f"/v1/containers/{made['uuid']}/stop", user="admin").status_code)

    def test_another_role_can_be_made_the_administrators(self):
        self.rule('"context_is_admin": "role:member"\n"admin_api": "role:member"\n')
        self.assertEqual(1, len(self.get("/v1/hosts")["hosts"]))
        made = self.create("theirs", user="other")
        self.assertEqual("host1", self.get(f"/v1/containers/{made['uuid']}")["host"])

    def test_an_api_with_rules_that_cannot_be_read_does_not_start(self):
        self.rule("- a list\n")
        with self.assertRaisesRegex(Exception, "policy.yaml"):
            self.make_client()
