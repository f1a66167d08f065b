# SPDX-License-Identifier: Apache-2.0
"""Quotas on the wire: who sees and sets them, in which form, and that they hold at once."""

from __future__ import annotations

from tests.api.case import ApiTestCase

DEFAULTS = {"containers": 40, "memory": 51200, "disk": 100, "cpu": 20}


class QuotasTest(ApiTestCase):
    def setUp(self):
        super().setUp()
        self.demo = self.get("/identity/v3/auth/projects")["projects"][0]["id"]
        self.path = f"/v1/quotas/{self.demo}"

    def put(self, path, body, status=200):
        answer = self.call("PUT", path, body, user="admin")
        self.assertEqual(status, answer.status_code, answer.text)
        return answer.json

    def test_a_project_has_the_configured_limits_at_first(self):
        self.assertEqual(DEFAULTS, self.get(self.path))
        self.assertEqual(DEFAULTS, self.get(f"{self.path}/defaults"))

    def test_an_administrator_sets_some_and_the_others_stay(self):
        self.assertEqual({**DEFAULTS, "cpu": 7}, self.put(self.path, {"cpu": 7}))
        self.assertEqual({**DEFAULTS, "cpu": 7, "disk": -1}, self.put(self.path, {"disk": "-1"}))
        self.assertEqual({**DEFAULTS, "cpu": 7, "disk": -1}, self.get(self.path))
        self.assertEqual(DEFAULTS, self.get(f"{self.path}/defaults"))

    def test_what_was_set_is_reset(self):
        self.put(self.path, {"containers": 1})
        for _ in range(2):
            answer = self.call("DELETE", self.path, user="admin")
            self.assertEqual((200, "null"), (answer.status_code, answer.text))
        self.assertEqual(DEFAULTS, self.get(self.path))

    def test_the_class_default_holds_for_projects_without_their_own(self):
        self.put("/v1/quota_classes/default", {"containers": 3, "cpu": "5"})
        self.put(self.path, {"cpu": 9})
        self.assertEqual({**DEFAULTS, "containers": 3, "cpu": 9}, self.get(self.path))
        self.assertEqual({**DEFAULTS, "containers": 3, "cpu": 5}, self.get(f"{self.path}/defaults"))
        self.assertEqual({**DEFAULTS, "containers": 3, "cpu": 5}, self.get("/v1/quota_classes/default", user="admin"))
        self.assertEqual(DEFAULTS, self.get("/v1/quota_classes/other", user="admin"))

    def test_usages_say_what_is_in_use(self):
        self.create("one", cpu=1.5, memory=64)
        self.create("two", cpu=0.5, memory=36)
        shown = self.get(self.path, params={"usages": "True"})
        self.assertEqual({"limit": 40, "in_use": 2}, shown["containers"])
        self.assertEqual({"limit": 20, "in_use": 2}, shown["cpu"])
        self.assertEqual({"limit": 51200, "in_use": 100}, shown["memory"])
        self.assertEqual({"limit": 100, "in_use": 0}, shown["disk"])
        self.assertEqual(DEFAULTS, self.get(self.path, params={"usages": "False"}))

    def test_a_limit_holds_from_the_answer_on(self):
        self.put(self.path, {"containers": 1})
        self.create("one")
        refused = self.call("POST", "/v1/containers", {"image": "demo", "memory": 64})
        self.refused(403, refused, "Quota exceeded", "containers")
        self.put(self.path, {"containers": -1})
        self.create("two")

    def test_limits_of_one_project_are_not_anothers(self):
        self.put(self.path, {"containers": 0})
        self.create("theirs", user="other")
        self.refused(403, self.call("POST", "/v1/containers", {"image": "demo", "memory": 64}), "containers")

    def test_members_see_their_own_quota_only_and_set_none(self):
        self.refused(403, self.call("GET", self.path, user="other"), "quota:get")
        self.refused(403, self.call("PUT", self.path, {"cpu": 100}), "quota:update")
        self.refused(403, self.call("DELETE", self.path), "quota:delete")
        self.refused(403, self.call("GET", "/v1/quota_classes/default"), "quota_class:get")
        self.refused(403, self.call("PUT", "/v1/quota_classes/default", {"cpu": 1}), "quota_class:update")
        self.assertEqual(DEFAULTS, self.get(self.path, user="admin"))

    def test_what_is_no_limit_is_refused_with_a_sentence(self):
        for value in (-2, "-2", 1.5, "1.5", "many", True, "", [1], "9" * 40, 10**30):
            refused = self.call("PUT", self.path, {"cpu": value}, user="admin")
            self.refused(400, refused, "cpu", "-1")
        for path in (self.path, "/v1/quota_classes/default"):
            self.refused(400, self.call("PUT", path, {"cpus": 1}, user="admin"), "cpus", "memory")
            self.refused(400, self.call("PUT", f"{path}?flavour=1", {"cpu": 1}, user="admin"), "flavour")
        self.refused(400, self.call("GET", f"{self.path}?all=1"), "all")
        self.assertEqual(DEFAULTS, self.get(self.path))

    def test_names_that_no_project_and_no_class_can_have_are_refused(self):
        self.refused(400, self.call("PUT", f"/v1/quotas/{'p' * 65}", {"cpu": 1}, user="admin"), "64")
        self.refused(400, self.call("PUT", f"/v1/quota_classes/{'c' * 256}", {"cpu": 1}, user="admin"), "255")

    def test_without_a_project_there_is_nothing(self):
        self.assertEqual(404, self.call("GET", "/v1/quotas").status_code)
