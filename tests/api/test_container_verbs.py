# SPDX-License-Identifier: Apache-2.0
"""Verbs on containers: start, stop, execute, logs, delete, and the history that they leave."""

from __future__ import annotations

from testtools.matchers import MatchesRegex

from tests.api.case import ApiTestCase
from zun_lite.db import workloads

ACTION_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"


class VerbTest(ApiTestCase):
    def accepted(self, answer):
        self.assertEqual((202, "null"), (answer.status_code, answer.text))
        self.assertEqual("application/json", answer.headers["Content-Type"])

    def test_stop_and_start(self):
        made = self.running()
        self.accepted(self.call("POST", "/v1/containers/web/stop?timeout=7"))
        self.assertEqual("container_stopping", self.get("/v1/containers/web")["task_state"])
        with self.db.read() as tx:
            self.assertEqual(7, workloads.get(tx, made["uuid"]).goal.stop_timeout_seconds)
        self.observe(made, "exited")
        self.assertEqual("Stopped", self.get("/v1/containers/web")["status"])
        self.accepted(self.call("POST", "/v1/containers/web/start"))
        self.assertEqual("container_starting", self.get("/v1/containers/web")["task_state"])

    def test_the_timeout_may_come_as_json_and_must_be_a_number(self):
        made = self.running()
        for timeout in ("x", "-1", "1.5", "99999999999"):
            self.refused(400, self.call("POST", f"/v1/containers/web/stop?timeout={timeout}"), "timeout")
        self.accepted(self.call("POST", "/v1/containers/web/stop", {"timeout": 3}))
        with self.db.read() as tx:
            self.assertEqual(3, workloads.get(tx, made["uuid"]).goal.stop_timeout_seconds)

    def test_none_in_a_query_is_nothing_but_no_number_of_seconds(self):
        self.running()
        self.refused(400, self.call("POST", "/v1/containers/web/stop?timeout=None"), "timeout")
        self.accepted(self.call("POST", "/v1/containers/web/kill?signal=None"))

    def test_the_status_decides_what_is_allowed(self):
        made = self.create()
        for verb in ("start", "stop", "execute?command=id"):
            error = self.refused(409, self.call("POST", f"/v1/containers/web/{verb}"), made["uuid"], "Creating")
            self.assertEqual("container.invalid-state-exception", error["code"])
        self.observe(made)
        self.refused(409, self.call("POST", "/v1/containers/web/start"), "Running")

    def test_execute_splits_like_a_shell_and_answers_output_and_exit_code(self):
        self.running()
        self.agents.exit_code = 3
        answer = self.call("POST", "/v1/containers/web/execute", params={"command": '"echo" "two words"'})
        self.assertEqual(200, answer.status_code)
        self.assertEqual({"output": "hello\n", "exit_code": 3, "exec_id": None, "proxy_url": None}, answer.json)
        self.call("POST", "/v1/containers/web/execute", {"command": "id -u"})
        self.call("POST", "/v1/containers/web/execute", {"command": ["id", "-u x"]})
        self.assertEqual(
            [["echo", "two words"], ["id", "-u"], ["id", "-u x"]], [asked for _, asked in self.agents.asked]
        )

    def test_an_execute_that_cannot_be_is_refused(self):
        self.running()
        for params in (
            {},
            {"command": ""},
            {"command": "echo 'x"},
            {"command": "id", "interactive": "perhaps"},
            {"command": "id", "run": "perhaps"},
        ):
            self.refused(400, self.call("POST", "/v1/containers/web/execute", params=params))
        for command in (7, [], [1], {}):
            self.refused(400, self.call("POST", "/v1/containers/web/execute", {"command": command}), "command")
        self.assertEqual([], self.agents.asked)

    def test_logs_are_a_json_string(self):
        self.running()
        answer = self.call("GET", "/v1/containers/web/logs")
        self.assertEqual((200, '"hello\\n"'), (answer.status_code, answer.text))
        query = "stdout=False&stderr=1&timestamps=true&tail=10&since=1700000000"
        self.get(f"/v1/containers/web/logs?{query}")
        self.get("/v1/containers/web/logs?tail=some&since=2023-11-14 22:13:20,500")
        every = {"stdout": True, "stderr": True, "timestamps": False, "tail": "all"}
        self.assertEqual(
            [
                every,
                {"stdout": False, "stderr": True, "timestamps": True, "tail": 10, "since": 1700000000},
                {**every, "since": 1700000000},
            ],
            [asked for _, asked in self.agents.asked],
        )

    def test_logs_refuse_what_they_do_not_know(self):
        self.running()
        for query in ("color=red", "stdout=perhaps", "since=yesterday"):
            self.refused(400, self.call("GET", f"/v1/containers/web/logs?{query}"), query.split("=")[0])

    def test_logs_of_a_container_that_was_never_made_are_refused(self):
        self.create()
        self.refused(409, self.call("GET", "/v1/containers/web/logs"), "Creating")


class DeleteTest(ApiTestCase):
    def test_a_delete_is_204_without_a_body(self):
        made = self.running()
        self.refused(
            409, self.call("DELETE", "/v1/containers/web?force=False&stop=False&all_projects=False"), "Running"
        )
        answer = self.call(
            "DELETE", "/v1/containers/web?stop=True", headers={"Content-Type": "application/octet-stream"}
        )
        self.assertEqual((204, ""), (answer.status_code, answer.text))
        self.assertEqual("Deleting", self.get(f"/v1/containers/{made['uuid']}")["status"])
        self.assertEqual(204, self.call("DELETE", "/v1/containers/web").status_code)

    def test_force_is_an_administrators(self):
        self.create()
        self.refused(403, self.call("DELETE", "/v1/containers/web?force=true"), "delete_force")
        self.assertEqual(204, self.call("DELETE", "/v1/containers/web?force=true", user="admin").status_code)

    def test_unknown_parameters_are_refused(self):
        self.create()
        self.refused(400, self.call("DELETE", "/v1/containers/web?color=red"), "color")
        self.refused(400, self.call("DELETE", "/v1/containers/web?stop=perhaps"), "stop")


class HistoryTest(ApiTestCase):
    def test_actions_are_listed_newest_first(self):
        made = self.running()
        self.call("POST", "/v1/containers/web/stop")
        shown = self.get("/v1/containers/web/container_actions")["containerActions"]
        self.assertEqual([("stop", None), ("create", None)], [(row["action"], row["message"]) for row in shown])
        self.assertEqual({made["uuid"]}, {row["container_uuid"] for row in shown})
        self.assertIsNone(shown[0]["finish_time"])
        self.assertThat(shown[1]["finish_time"], MatchesRegex(ACTION_MOMENT))
        self.assertThat(shown[1]["start_time"], MatchesRegex(ACTION_MOMENT))

    def test_one_action_has_events_and_administrators_see_why_it_failed(self):
        answer = self.call("POST", "/v1/containers", {"image": "demo", "name": "web"})
        request_id = answer.headers["X-Openstack-Request-Id"]
        self.observe(answer.json, "missing", build=0, error="No such image.", final=True)
        path = f"/v1/containers/web/container_actions/{request_id}"
        for user, traceback in (("demo", None), ("admin", "No such image.")):
            shown = self.get(path, user=user)
            event = shown["events"][0]
            self.assertEqual(("Error", "Error", traceback), (shown["message"], event["result"], event["traceback"]))
        self.assertEqual(("Error", "No such image."), tuple(
            self.get("/v1/containers/web")[key] for key in ("status", "status_reason")
        ))  # fmt: skip

    def test_an_unknown_request_id_is_404(self):
        self.create()
        self.refused(404, self.call("GET", "/v1/containers/web/container_actions/req-x"), "req-x")
