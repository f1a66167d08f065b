# SPDX-License-Identifier: Apache-2.0
"""Which microversion a request speaks, and what came with which."""

from __future__ import annotations

from tests.api.case import ApiTestCase


class MicroversionTest(ApiTestCase):
    def ask(self, header):
        headers = {"X-Auth-Token": self.token("demo")}
        if header is not None:
            headers["OpenStack-API-Version"] = header
        return self.client.simulate_get("/v1/containers", headers=headers)

    def test_the_answer_says_which_version_was_used(self):
        for asked, used in {
            None: "container 1.1",
            "container 1.1": "container 1.1",
            "container 1.40": "container 1.40",
            "Container 1.20": "container 1.20",
            "container latest": "container 1.40",
            "container LATEST": "container 1.40",
        }.items():
            answer = self.ask(asked)
            self.assertEqual((200, used), (answer.status_code, answer.headers["OpenStack-API-Version"]))
            self.assertEqual("container 1.1", answer.headers["OpenStack-API-Minimum-Version"])
            self.assertEqual("container 1.40", answer.headers["OpenStack-API-Maximum-Version"])
            self.assertEqual("OpenStack-API-Version", answer.headers["Vary"])

    def test_what_is_no_version_of_ours_is_406_with_the_range(self):
        for asked in (
            "1.1",
            "container",
            "container 1",
            "container x.y",
            "container 1.x",
            "container 1.40.1",
            "container -1.2",
            "container 0.9",
            "container 1.0",
            "container 1.41",
            "container 2.1",
            "container 1.99999999999999999999",
            "compute 2.1",
            "compute 2.1, container 1.20",
            "",
        ):
            error = self.refused(406, self.ask(asked))
            self.assertEqual(("1.1", "1.40"), (error["min_version"], error["max_version"]), asked)

    def test_the_root_document_has_no_version_headers(self):
        self.assertNotIn("OpenStack-API-Version", self.client.simulate_get("/").headers)

    def test_an_error_keeps_the_version_headers(self):
        answer = self.call("GET", "/v1/containers/nothing", version="1.7")
        self.assertEqual("container 1.7", answer.headers["OpenStack-API-Version"])

    def test_fields_need_the_version_that_brought_them(self):
        for field, value, since in (
            ("auto_remove", False, 3),
            ("hostname", "web", 9),
            ("mounts", [{"source": "v", "destination": "/d"}], 11),
            ("entrypoint", ["sh"], 40),
        ):
            body = {"image": "demo", field: value}
            self.refused(400, self.call("POST", "/v1/containers", body, version=f"1.{since - 1}"), field)
            accepted = self.call("POST", "/v1/containers", body, version=f"1.{since}")
            self.assertEqual(202, accepted.status_code, f"{field}: {accepted.text}")

    def test_fields_of_newer_versions_may_be_there_empty(self):
        body = {"image": "demo", "mounts": [], "healthcheck": {}, "exposed_ports": {}, "registry": None}
        self.assertEqual(202, self.call("POST", "/v1/containers", body, version="1.1").status_code)

    def test_the_command_is_a_string_up_to_1_19_and_a_list_from_then_on(self):
        text, words = {"image": "demo", "command": "sh -c 'echo hello'"}, {"image": "demo", "command": ["sh", "-c"]}
        made = self.call("POST", "/v1/containers", text, version="1.19")
        self.assertEqual(["sh", "-c", "echo hello"], made.json["command"])
        self.refused(400, self.call("POST", "/v1/containers", text, version="1.20"), "command")
        self.refused(400, self.call("POST", "/v1/containers", words, version="1.19"), "command")
        self.assertEqual(["sh", "-c"], self.call("POST", "/v1/containers", words, version="1.20").json["command"])
        unclosed = self.call("POST", "/v1/containers", {"image": "demo", "command": "sh 'x"}, version="1.19")
        self.refused(400, unclosed, "command")

    def test_from_1_20_to_1_35_an_interactive_container_has_a_terminal(self):
        for version, fields, tty in (
            ("1.19", {"interactive": True}, False),
            ("1.20", {"interactive": True}, True),
            ("1.35", {"interactive": "True"}, True),
            ("1.35", {"interactive": False, "tty": True}, False),
            ("1.36", {"interactive": True}, False),
            ("1.36", {"interactive": True, "tty": True}, True),
        ):
            made = self.call("POST", "/v1/containers", {"image": "demo", **fields}, version=version).json
            self.assertEqual(tty, made["tty"], (version, fields))

    def test_deleting_with_force_or_stop_needs_its_version(self):
        self.running()
        for parameter, since in (("force", 7), ("stop", 12)):
            for method_user in ("demo", "admin"):
                answer = self.call(
                    "DELETE",
                    "/v1/containers/web",
                    user=method_user,
                    version=f"1.{since - 1}",
                    params={parameter: "true"},
                )
                self.refused(400, answer, f"1.{since}")
        answer = self.call("DELETE", "/v1/containers/web", version="1.12", params={"stop": "true"})
        self.assertEqual(204, answer.status_code)
