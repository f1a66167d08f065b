# SPDX-License-Identifier: Apache-2.0
"""Each row of the history of microversions that the server enforces, just below it and at it."""

from __future__ import annotations

from typing import Any

from tests.api.case import ApiTestCase

HEALTHCHECK = {"cmd": "true", "interval": 5, "retries": 2, "timeout": 1}
# (field, value, the minor version that brought it, who may ask for it, the answer at that version)
FIELDS: tuple[tuple[str, Any, int, str, int], ...] = (
    ("auto_remove", False, 3, "demo", 202),
    ("runtime", "runc", 5, "admin", 202),
    ("hostname", "web", 9, "demo", 202),
    ("mounts", [{"size": 1, "destination": "/d"}], 11, "demo", 202),
    ("privileged", False, 21, "demo", 403),
    ("healthcheck", HEALTHCHECK, 22, "demo", 202),
    ("exposed_ports", {"80/tcp": {}}, 24, "demo", 202),
    ("registry", "mine", 31, "demo", 202),
    ("host", "host1", 39, "admin", 202),
    ("entrypoint", ["sh"], 40, "demo", 202),
)
# (method, path, first and last minor version, who may)
CALLS: tuple[tuple[str, str, int, int, str], ...] = (
    ("GET", "/v1/hosts", 4, 40, "admin"),
    ("GET", "/v1/hosts/host1", 4, 40, "admin"),
    ("POST", "/v1/containers/web/network_detach?network=nothing", 6, 40, "demo"),
    ("POST", "/v1/containers/web/network_attach?network=nothing", 8, 40, "demo"),
    ("GET", "/v1/containers/web/network_list", 13, 40, "demo"),
    ("POST", "/v1/containers/web/rename?name=web", 1, 13, "demo"),
    ("POST", "/v1/containers/web/add_security_group?name=nothing", 1, 14, "demo"),
    ("POST", "/v1/containers/web/remove_security_group?name=nothing", 1, 14, "demo"),
    ("POST", "/v1/containers/web/resize_container?cpu=0.5", 19, 40, "demo"),
    ("DELETE", "/v1/networks/nothing", 27, 40, "admin"),
)


class VersionRowsTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        registry = {"registry": {"name": "mine", "domain": "registry.example.com"}}
        self.assertEqual(201, self.call("POST", "/v1/registries", registry).status_code)

    def test_a_field_of_a_create_is_400_below_its_version_and_served_from_there_on(self):
        for field, value, since, user, served in FIELDS:
            with self.subTest(field=field):
                body = {"image": "demo", field: value}
                below = self.call("POST", "/v1/containers", body, user=user, version=f"1.{since - 1}")
                self.refused(400, below, field, f"1.{since - 1}")
                for minor in (since, 40):
                    answer = self.call("POST", "/v1/containers", body, user=user, version=f"1.{minor}")
                    self.assertEqual(served, answer.status_code, answer.text)

    def test_a_call_is_406_outside_of_its_versions_with_a_sentence_that_says_them(self):
        self.running()
        for method, path, first, last, user in CALLS:
            with self.subTest(path=path):
                for minor in {first - 1, last + 1} - {0, 41}:
                    answer = self.call(method, path, user=user, version=f"1.{minor}")
                    self.refused(406, answer, f"1.{first} to 1.{last}", f"1.{minor}")
                    self.assertEqual(f"container 1.{minor}", answer.headers["OpenStack-API-Version"])
                for minor in {first, last}:
                    answer = self.call(method, path, user=user, version=f"1.{minor}")
                    self.assertNotIn(answer.status_code, (405, 406), answer.text)
                    self.assertLess(answer.status_code, 500, answer.text)

    def test_a_deletes_parameters_are_400_below_their_versions(self):
        for parameter, since, user in (("force", 7, "admin"), ("stop", 12, "demo")):
            with self.subTest(parameter=parameter):
                name = f"with-{parameter}"
                made = self.running(name)
                path = f"/v1/containers/{made['uuid']}"
                below = self.call("DELETE", path, user=user, version=f"1.{since - 1}", params={parameter: "true"})
                self.refused(400, below, f"1.{since}")
                answer = self.call("DELETE", path, user=user, version=f"1.{since}", params={parameter: "true"})
                self.assertEqual((204, b""), (answer.status_code, answer.content))

    def test_answers_have_the_shape_of_their_version(self):
        template = {"kind": "capsule", "metadata": {"name": "pod"}, "spec": {"containers": [{"image": "demo"}]}}
        made = self.call("POST", "/v1/capsules", {"template": template})
        self.assertEqual(202, made.status_code, made.text)
        path = f"/v1/capsules/{made.json['uuid']}"
        for minor, present, absent in ((31, "meta_name", "name"), (32, "name", "meta_name")):
            shown = self.get(path, version=f"1.{minor}")
            self.assertIn(present, shown)
            self.assertNotIn(absent, shown)
        self.assertEqual("always", self.get(path, version="1.31")["restart_policy"])
        self.assertEqual("always", self.get(path, version="1.32")["restart_policy"]["Name"])
