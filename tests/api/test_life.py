# SPDX-License-Identifier: Apache-2.0
"""The verbs that change a container: in which status each is allowed, what it takes, what is told before and after."""

from __future__ import annotations

import sqlalchemy as sa

from tests.api.case import ApiTestCase
from zun_lite.db import hosts, workloads
from zun_lite.domain.lifecycle import EVERY_STATUS
from zun_lite.domain.resources import Limits

RUNNING, SETTLED = frozenset(("Running",)), frozenset(("Created", "Running", "Stopped", "Paused"))
BEGUN = frozenset(("Created", "Running", "Stopped", "Error"))
# The table of the API's contract: a verb, how it is asked for, and where it is allowed.
LIFE = {
    "start": ("POST", "/start", None, frozenset(("Created", "Stopped", "Error"))),
    "stop": ("POST", "/stop?timeout=1", None, RUNNING),
    "reboot": ("POST", "/reboot", None, BEGUN),
    "rebuild": ("POST", "/rebuild", None, BEGUN),
    "pause": ("POST", "/pause", None, RUNNING),
    "unpause": ("POST", "/unpause", None, frozenset(("Paused",))),
    "kill": ("POST", "/kill", None, RUNNING),
    "update": ("PATCH", "", {"memory": "65"}, SETTLED),
    "resize_container": ("POST", "/resize_container", {"cpu": 0.2}, SETTLED),
    "delete": ("DELETE", "", None, frozenset(("Created", "Stopped", "Error", "Dead", "Deleted", "Deleting"))),
    "delete with stop": (
        "DELETE",
        "?stop=true",
        None,
        frozenset(("Created", "Running", "Stopped", "Error", "Dead", "Deleted", "Deleting")),
    ),
    "delete with force": ("DELETE", "?force=true", None, EVERY_STATUS - {"Paused"}),
}
PASSED_ON = {
    "execute": ("POST", "/execute?command=id", None, RUNNING),
    "top": ("GET", "/top", None, RUNNING),
    "stats": ("GET", "/stats", None, RUNNING),
    "logs": ("GET", "/logs", None, SETTLED | {"Error", "Unknown"}),
    "get_archive": ("GET", "/get_archive?path=/etc", None, SETTLED),
    "put_archive": ("POST", "/put_archive?path=/etc", {"data": "AAAA"}, SETTLED),
    "commit": ("POST", "/commit?repository=made", None, frozenset(("Running", "Stopped", "Paused"))),
}
STATES = {"Stopped": "exited", "Paused": "paused", "Dead": "dead", "Restarting": "restarting", "Running": "running"}
# Deleted is only what a list may show for the moment between a host's last word and the end of the record.
REACHABLE = sorted(EVERY_STATUS - {"Deleted"})


class MatrixTest(ApiTestCase):
    limits = Limits(-1, -1, -1, -1)

    def bring_to(self, status: str) -> dict:
        made = self.create(f"is-{status}-{self.getUniqueInteger()}", run=status != "Created", cpu=0.1)
        if status == "Creating":
            return made
        if status == "Created":
            self.observe(made, "created")
        elif status == "Error":
            self.observe(made, "missing", build=0, container_id=None, error="No such image.", final=True)
        else:
            self.observe(made, STATES.get(status, "running"))
        if status == "Rebuilding":
            self.call("POST", f"/v1/containers/{made['uuid']}/rebuild")
        elif status == "Deleting":
            self.call("DELETE", f"/v1/containers/{made['uuid']}?stop=true")
        elif status == "Unknown":
            self.db.transact(self.lose_host)
        self.assertEqual(status, self.get(f"/v1/containers/{made['uuid']}")["status"])
        return made

    def lose_host(self, tx: sa.Connection) -> None:
        hosts.set_state(tx, self.host.uuid, hosts.UNKNOWN)
        workloads.host_changed(tx, self.host.uuid, known=False)

    def find_host(self) -> None:
        self.db.transact(lambda tx: hosts.set_state(tx, self.host.uuid, hosts.READY))

    def test_every_verb_in_every_status_is_as_the_contract_says(self):
        for status in REACHABLE:
            for verb, (method, path, body, allowed) in LIFE.items():
                made = self.bring_to(status)
                # An administrator's look-up goes over all projects, so that one user may do all verbs.
                answer = self.call(method, f"/v1/containers/{made['uuid']}{path}", body, user="admin")
                self.find_host()
                with self.subTest(status=status, verb=verb):
                    if status in allowed:
                        self.assertIn(answer.status_code, (200, 202, 204), answer.text)
                    else:
                        error = self.refused(409, answer, made["uuid"], f"in {status} state", *sorted(allowed))
                        self.assertEqual("container.invalid-state-exception", error["code"])

    def test_verbs_that_are_passed_on_are_refused_by_the_same_table(self):
        for status in REACHABLE:
            made = self.bring_to(status)
            for verb, (method, path, body, allowed) in PASSED_ON.items():
                if status in allowed:
                    continue
                answer = self.call(method, f"/v1/containers/{made['uuid']}{path}", body)
                with self.subTest(status=status, verb=verb):
                    self.refused(409, answer, made["uuid"], f"in {status} state", *sorted(allowed))
            self.find_host()


class VerbTest(ApiTestCase):
    def goal(self, made):
        with self.db.read() as tx:
            return workloads.get(tx, made["uuid"]).goal

    def shown(self, ident: str = "web") -> tuple[str, str | None]:
        container = self.get(f"/v1/containers/{ident}")
        return container["status"], container["task_state"]

    def do(self, verb: str, **more):
        answer = self.call("POST", f"/v1/containers/web/{verb}", **more)
        self.assertEqual((202, "null"), (answer.status_code, answer.text))
        return answer

    def test_what_is_shown_between_the_answer_and_the_hosts_word(self):
        made = self.running()
        for verb, state, between, after in (
            ("pause", "paused", ("Running", "container_pausing"), ("Paused", None)),
            ("unpause", "running", ("Paused", "container_unpausing"), ("Running", None)),
            ("reboot", "running", ("Restarting", "container_rebooting"), ("Running", None)),
            ("kill", "exited", ("Running", "container_killing"), ("Stopped", None)),
            ("reboot", "running", ("Restarting", "container_rebooting"), ("Running", None)),
            ("rebuild", "running", ("Rebuilding", "container_rebuilding"), ("Running", None)),
            ("stop", "exited", ("Running", "container_stopping"), ("Stopped", None)),
            ("rebuild", "created", ("Rebuilding", "container_rebuilding"), ("Created", None)),
            ("start", "running", ("Created", "container_starting"), ("Running", None)),
        ):
            self.do(verb)
            self.assertEqual(between, self.shown(), verb)
            self.observe(made, state, signals=self.goal(made).signals)
            self.assertEqual(after, self.shown(), verb)

    def test_each_verb_is_recorded_under_the_request_id_of_its_call(self):
        made = self.running()
        ids = {}
        for verb, state in (("pause", "paused"), ("unpause", "running"), ("reboot", "running"), ("rebuild", "running")):
            ids[verb] = self.do(verb).headers["X-Openstack-Request-Id"]
            self.observe(made, state)
        ids["kill"] = self.do("kill").headers["X-Openstack-Request-Id"]
        for verb, request_id in ids.items():
            row = self.get(f"/v1/containers/web/container_actions/{request_id}")
            self.assertEqual((verb, request_id, None), (row["action"], row["request_id"], row["message"]))
            self.assertEqual(f"compute__do_container_{verb}", row["events"][0]["event"])
            self.assertEqual("Success" if verb != "kill" else None, row["events"][0]["result"])

    def test_a_delete_with_stop_records_both_under_one_id(self):
        self.running()
        request_id = self.call("DELETE", "/v1/containers/web?stop=true").headers["X-Openstack-Request-Id"]
        rows = self.get("/v1/containers/web/container_actions")["containerActions"][:2]
        self.assertEqual([("stop", request_id), ("delete", request_id)], [(r["action"], r["request_id"]) for r in rows])

    def test_a_signal_is_told_by_name_or_number_in_any_case(self):
        for said, name in (
            (None, "SIGKILL"),
            ("None", "SIGKILL"),
            ("SIGTERM", "SIGTERM"),
            ("term", "SIGTERM"),
            ("sighup", "SIGHUP"),
            ("Usr1", "SIGUSR1"),
            ("9", "SIGKILL"),
            ("15", "SIGTERM"),
        ):
            made = self.running(f"c-{said}")
            query = "" if said is None else f"?signal={said}"
            self.assertEqual(202, self.call("POST", f"/v1/containers/{made['uuid']}/kill{query}").status_code)
            self.assertEqual((1, name), (self.goal(made).signals, self.goal(made).signal))
        made = self.running("as-json")
        self.assertEqual(202, self.call("POST", "/v1/containers/as-json/kill", {"signal": 10}).status_code)
        self.assertEqual("SIGUSR1", self.goal(made).signal)

    def test_what_is_no_signal_is_refused(self):
        self.running()
        for said in ("SIGNOPE", "0", "-9", "999", "9.5", "SIGSIGKILL", "kill -9", "\u0669"):
            self.refused(400, self.call("POST", "/v1/containers/web/kill", params={"signal": said}), "signal")
        for said in (True, ["SIGTERM"], {}, 1.5):
            self.refused(400, self.call("POST", "/v1/containers/web/kill", {"signal": said}), "signal")

    def test_a_reboot_takes_a_timeout_and_the_next_stop_has_the_usual_again(self):
        made = self.running()
        for timeout in ("x", "-1", "None", "1.5"):
            self.refused(400, self.call("POST", f"/v1/containers/web/reboot?timeout={timeout}"), "timeout")
        self.do("reboot?timeout=99")
        self.assertEqual(99, self.goal(made).stop_timeout_seconds)
        self.observe(made)
        self.do("stop")
        self.assertEqual(10, self.goal(made).stop_timeout_seconds)

    def test_a_rebuild_may_change_the_image_and_keeps_the_rest(self):
        made = self.running(memory=80)
        self.do("rebuild", params={"image": "other:2"})
        self.observe(made)
        shown = self.get("/v1/containers/web")
        self.assertEqual(("other:2", "80", made["addresses"]), (shown["image"], shown["memory"], shown["addresses"]))
        self.do("rebuild", params={"image": "None", "image_driver": "None"})
        self.observe(made)
        self.assertEqual("other:2", self.get("/v1/containers/web")["image"])
        for params in ({"image": "UPPER/case"}, {"image_driver": "floppy"}, {"image": "x"}):
            answer = self.call("POST", "/v1/containers/web/rebuild", params=params)
            self.refused(400, answer) if params != {"image": "x"} else self.assertEqual(202, answer.status_code)

    def test_what_was_never_placed_cannot_be_started_only_deleted(self):
        made = self.create(memory=16000 * 2)
        self.assertEqual("Error", made["status"])
        for verb in ("start", "reboot", "rebuild"):
            self.refused(400, self.call("POST", f"/v1/containers/web/{verb}"), "never made", "enough hosts")
        self.assertEqual(204, self.call("DELETE", "/v1/containers/web").status_code)

    def test_what_has_no_such_image_may_be_started_once_more(self):
        made = self.create()
        self.observe(made, "missing", build=0, container_id=None, error="No such image.", final=True)
        self.do("start")
        self.assertEqual(("Creating", "container_creating"), self.shown())

    def test_another_projects_container_is_not_there(self):
        self.running()
        for verb in ("reboot", "pause", "unpause", "kill", "rebuild", "resize_container"):
            self.refused(404, self.call("POST", f"/v1/containers/web/{verb}", user="other"), "web")
        self.refused(404, self.call("PATCH", "/v1/containers/web", {"name": "mine"}, user="other"), "web")

    def test_a_failing_health_check_is_told(self):
        made = self.running()
        self.observe(made, started_at="2026-01-01T00:00:00Z", health="unhealthy")
        shown = self.get("/v1/containers/web")
        self.assertEqual(("Running", "The container runs, but its health check fails."),
                         (shown["status"], shown["status_reason"]))  # fmt: skip
        self.assertIn(" (unhealthy)", shown["status_detail"])
        self.observe(made, started_at="2026-01-01T00:00:00Z", health="healthy")
        shown = self.get("/v1/containers/web")
        self.assertIsNone(shown["status_reason"])
        self.assertIn(" (healthy)", shown["status_detail"])


class ChangeTest(ApiTestCase):
    limits = Limits(containers=10, cpu=4, memory=400)

    def patch(self, body, **more):
        return self.call("PATCH", "/v1/containers/web", body, **more)

    def test_a_patch_answers_with_what_is_now_asked_for(self):
        made = self.running()
        answer = self.patch({"cpu": "0.5", "memory": "128", "name": "other-name", "auto_heal": True})
        self.assertEqual(200, answer.status_code, answer.text)
        shown = answer.json
        self.assertEqual((0.5, "128", "other-name", True),
                         tuple(shown[key] for key in ("cpu", "memory", "name", "auto_heal")))  # fmt: skip
        self.assertEqual(made["uuid"], shown["uuid"])
        self.assertTrue(shown["links"])
        self.assertEqual(("Running", None), (shown["status"], shown["task_state"]))
        actions = self.get("/v1/containers/other-name/container_actions")["containerActions"]
        self.assertEqual(["create"], [row["action"] for row in actions])

    def test_fields_come_in_the_query_as_well_and_null_is_no_change(self):
        self.running()
        self.assertEqual(200, self.call("PATCH", "/v1/containers/web?memory=100&cpu=None").status_code)
        self.assertEqual(200, self.patch({"name": None, "cpu": None, "memory": None, "auto_heal": None}).status_code)
        self.assertEqual(200, self.patch({}).status_code)
        shown = self.get("/v1/containers/web")
        self.assertEqual(("web", 1.0, "100"), (shown["name"], shown["cpu"], shown["memory"]))

    def test_each_rule_of_its_form_has_a_sentence(self):
        self.running()
        for body, word in (
            ({"cpu": "x"}, "cpu"),
            ({"cpu": 0}, "cpu"),
            ({"cpu": 17}, "cpu"),
            ({"cpu": ""}, "cpu"),
            ({"cpu": [1]}, "cpu"),
            ({"memory": "1g"}, "memory"),
            ({"memory": 1}, "memory"),
            ({"memory": 1.5}, "memory"),
            ({"memory": -1}, "memory"),
            ({"name": "x"}, "name"),
            ({"name": "-x"}, "name"),
            ({"name": "a b"}, "name"),
            ({"name": "x" * 256}, "name"),
            ({"auto_heal": "perhaps"}, "auto_heal"),
            ({"image": "other"}, "image"),
            ({"disk": 1}, "disk"),
        ):
            self.refused(400, self.patch(body), word)
            if word != "name":
                self.refused(400, self.call("POST", "/v1/containers/web/resize_container", body), word)

    def test_a_resize_answers_with_what_was_and_needs_its_version(self):
        self.running()
        path = "/v1/containers/web/resize_container"
        self.refused(406, self.call("POST", path, {"memory": 128}, version="1.18"), "1.19")
        answer = self.call("POST", path, {"memory": "128"}, version="1.19")
        self.assertEqual((202, "64"), (answer.status_code, answer.json["memory"]))
        self.assertEqual("128", self.get("/v1/containers/web")["memory"])
        actions = self.get("/v1/containers/web/container_actions")["containerActions"]
        self.assertEqual(["create"], [row["action"] for row in actions])

    def test_a_rename_is_there_up_to_its_version_in_any_state(self):
        self.create()
        self.refused(406, self.call("POST", "/v1/containers/web/rename?name=new", version="1.14"), "1.13")
        answer = self.call("POST", "/v1/containers/web/rename?name=new-name", version="1.13")
        self.assertEqual((200, "new-name", "Creating"),
                         (answer.status_code, answer.json["name"], answer.json["status"]))  # fmt: skip
        path = "/v1/containers/new-name/rename"
        self.refused(409, self.call("POST", path, {"name": "new-name"}, version="1.13"), "new-name")
        self.refused(400, self.call("POST", path, version="1.13"), "name")
        self.refused(400, self.call("POST", path, {"name": "?"}, version="1.1"), "name")

    def test_no_more_than_the_quota(self):
        self.running()
        self.create("second", memory=300)
        self.refused(403, self.patch({"memory": 101}), "memory")
        self.refused(403, self.call("POST", "/v1/containers/web/resize_container", {"cpu": 3.5}), "cpu")
        self.assertEqual(200, self.patch({"memory": 100}).status_code)


class RoomTest(ApiTestCase):
    limits = Limits(-1, -1, -1, -1)

    def test_a_host_without_room_refuses_and_says_of_what(self):
        self.running(memory=16000)
        self.create("second", memory=8500)
        self.refused(409, self.call("PATCH", "/v1/containers/web", {"memory": 16300}), "host", "memory")
        self.assertEqual(200, self.call("PATCH", "/v1/containers/web", {"memory": 16064}).status_code)
        self.assertEqual(200, self.call("PATCH", "/v1/containers/web", {"memory": 100}).status_code)
        self.assertEqual(200, self.call("PATCH", "/v1/containers/web", {"memory": 16000}).status_code)
