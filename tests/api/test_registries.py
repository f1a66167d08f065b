# SPDX-License-Identifier: Apache-2.0
"""Registries of projects, and images of hosts: /v1/registries and /v1/images."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.case import ApiTestCase
from zun_lite.domain import names


class HostImagesTest(ApiTestCase):
    def pull(self, user: str = "admin", **fields: Any) -> testing.Result:
        return self.call("POST", "/v1/images", {"repo": "busybox", "host": "host1", **fields}, user=user)

    def test_an_administrator_pulls_lists_shows_and_deletes(self):
        answer = self.pull(repo="busybox:1")
        self.assertEqual(202, answer.status_code, answer.text)
        made = answer.json
        self.assertEqual(
            (None, "busybox", "1", None, "host1"),
            tuple(made[key] for key in ("image_id", "repo", "tag", "size", "host")),
        )
        self.assertTrue(answer.headers["Location"].endswith(f"/v1/images/{made['uuid']}"))
        self.assertEqual(made, self.get(f"/v1/images/{made['uuid']}", user="admin"))
        self.pull(repo="busybox", host=self.host.uuid)
        page = self.get("/v1/images?limit=1&sort_key=tag", user="admin")
        self.assertEqual([made["uuid"]], [image["uuid"] for image in page["images"]])
        self.assertIn(f"marker={made['uuid']}", page["next"])
        self.assertEqual("null", self.call("DELETE", f"/v1/images/{made['uuid']}", user="admin").text)
        self.assertEqual(1, len(self.get("/v1/images", user="admin")["images"]))

    def test_what_is_wrong_is_told(self):
        self.refused(409, (self.pull(), self.pull())[1], "already")
        for fields in ({"repo": "x"}, {"repo": None}, {"host": None}, {"host": "nowhere"}, {"more": 1}, {"tag": "a b"}):
            self.refused(400, self.pull(**fields))
        self.refused(400, self.pull(repo="127.0.0.1:80/x"))
        for ident in (names.new_id(), "nobody"):
            self.refused(400, self.call("GET", f"/v1/images/{ident}", user="admin"), ident)
        for method, path in (("GET", "/v1/images"), ("GET", "/v1/images/x"), ("DELETE", "/v1/images/x")):
            self.refused(403, self.call(method, path))
        self.refused(403, self.pull(user="demo"))

    def test_a_search_shows_what_is_known_here(self):
        self.pull(repo="team/busybox")
        (found,) = self.get("/v1/images/busy/search?image_driver=docker&exact_match=False")
        self.assertEqual(("team/busybox", False), (found["name"], found["metadata"]["is_official"]))
        self.assertEqual([], self.get("/v1/images/busy/search?exact_match=True"))
        self.assertEqual([], self.get("/v1/images/busy/search?image_driver=glance"))
        self.refused(400, self.call("GET", "/v1/images/busy/search?image_driver=x"))


class RegistriesTest(ApiTestCase):
    PATH = "/v1/registries"

    def make(self, *, user: str = "demo", **fields: Any) -> testing.Result:
        return self.call("POST", self.PATH, {"registry": {"domain": "registry.example", **fields}}, user=user)

    def test_a_registry_is_made_shown_changed_and_forgotten(self):
        answer = self.make(name="mine", username="ann", password="secret-canary")
        self.assertEqual(201, answer.status_code, answer.text)
        made = answer.json["registry"]
        self.assertTrue(answer.headers["Location"].endswith(f"{self.PATH}/{made['uuid']}"))
        for ident in ("mine", made["uuid"]):
            self.assertEqual(made, self.get(f"{self.PATH}/{ident}")["registry"])
        self.assertEqual(("***", "ann"), (made["password"], made["username"]))
        self.assertEqual("***", self.make().json["registry"]["password"])
        changed = self.call("PATCH", f"{self.PATH}/mine", {"registry": {"name": "yours", "password": "x"}}).json
        self.assertEqual(("yours", "***"), (changed["registry"]["name"], changed["registry"]["password"]))
        answer = self.call("DELETE", f"{self.PATH}/yours")
        self.assertEqual((204, b""), (answer.status_code, answer.content))
        self.refused(404, self.call("GET", f"{self.PATH}/yours"), "yours")

    def test_what_is_wrong_is_told(self):
        for fields in (
            *({"domain": value} for value in (None, "", 5, "http://x.example", "x.example/path", "127.0.0.1", "[::1]")),
            *({"name": value} for value in ("x", "-x", "a b", "ab\n", "x" * 256)),
            {"password": ""},
            {"username": 5},
            {"more": "x"},
        ):
            self.refused(400, self.make(**fields))
        for body in ({}, {"registry": []}, {"domain": "x.example"}):
            self.refused(400, self.call("POST", self.PATH, body))
        self.assertEqual(
            415, self.call("POST", self.PATH, raw=b"{}", headers={"Content-Type": "text/plain"}).status_code
        )

    def test_lists_are_filtered_paged_and_a_projects_own(self):
        for name in ("bb", "aa"):
            self.make(name=name, username="u")
        self.make(name="theirs", user="other")
        listed = self.get(f"{self.PATH}?sort_key=name&username=u")["registries"]
        self.assertEqual(["aa", "bb"], [registry["name"] for registry in listed])
        self.assertNotIn("links", listed[0])
        page = self.get(f"{self.PATH}?limit=1&sort_key=name")
        self.assertIn("marker=", page["next"])
        following = self.get(page["next"].split("9517", 1)[1])
        self.assertEqual(["bb"], [registry["name"] for registry in following["registries"]])
        self.assertEqual(3, len(self.get(f"{self.PATH}?all_projects=1", user="admin")["registries"]))
        self.refused(403, self.call("GET", f"{self.PATH}?all_projects=1"))
        self.refused(400, self.call("GET", f"{self.PATH}?colour=red"), "colour")
        self.refused(404, self.call("GET", f"{self.PATH}?marker={names.new_id()}"))
        self.refused(404, self.call("GET", f"{self.PATH}/theirs"))

    def test_a_container_names_its_registry_and_keeps_it(self):
        uuid = self.make(name="mine").json["registry"]["uuid"]
        made = self.create(image="team/app:1", registry="mine")
        self.assertEqual((uuid, "team/app:1"), (made["registry_id"], made["image"]))
        self.refused(409, self.call("DELETE", f"{self.PATH}/mine"), made["uuid"])
        self.refused(409, self.call("PATCH", f"{self.PATH}/mine", {"registry": {"domain": "other.example"}}))
        body = {"image": "quay.io/app", "registry": "mine"}
        self.refused(400, self.call("POST", "/v1/containers", body), "registry.example")
        self.refused(404, self.call("POST", "/v1/containers", {**body, "registry": "theirs"}))
        body = {"image": "registry.example/app", "registry": "mine"}
        self.assertEqual(202, self.call("POST", "/v1/containers", body).status_code)
