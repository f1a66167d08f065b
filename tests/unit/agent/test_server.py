# SPDX-License-Identifier: Apache-2.0
"""The host's HTTP server: what it answers, and to whom it does not."""

from __future__ import annotations

import unittest

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from falcon import testing

from zun_lite.agent.permits import Permits
from zun_lite.agent.runtime.base import Executed, Order
from zun_lite.agent.runtime.fake import FakeRuntime
from zun_lite.agent.server import MAX_OUTPUT_BYTES, make_app
from zun_lite.common import grants
from zun_lite.common.clock import StoppedClock
from zun_lite.domain import names
from zun_lite.domain.host_work import HostWork
from zun_lite.domain.spec import ContainerSpec

HOST = names.new_id()
IMAGE = "demo:latest"


class ServerBase(unittest.TestCase):
    def setUp(self) -> None:
        self.clock = StoppedClock()
        self.key = Ed25519PrivateKey.generate()
        self.runtime = FakeRuntime(self.clock, images=(IMAGE,))
        self.nudges: list[bool] = []
        permits = Permits(self.key.public_key(), HOST, self.clock)
        self.client = testing.TestClient(
            make_app(self.runtime, permits, lambda: self.nudges.append(True), work=lambda uuid: HostWork((uuid,)))
        )
        self.uuid = names.new_id()
        self.container_id = self.runtime.create(Order(self.uuid, 1, 1, ContainerSpec(IMAGE)))
        self.runtime.start(self.container_id)

    def grant(self, verb: str, workload: str, *, host: str = HOST, key=None) -> dict[str, str]:
        claims = {"sub": workload, "verb": verb, "req": "req-1"}
        token = grants.sign(key or self.key, grants.host_audience(host), claims, self.clock)
        return {"Authorization": f"Grant {token}"}

    def execute(self, body=None, headers=None, uuid=None):
        uuid = uuid or self.uuid
        body = body if body is not None else {"command": ["id", "-u"], "timeout_seconds": 5}
        return self.client.simulate_post(
            f"/v1/workloads/{uuid}/execute", json=body, headers=headers or self.grant("execute", uuid)
        )

    def assert_refused(self, answer, status: int) -> None:
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertEqual(sorted(answer.json["error"]), ["code", "message"])


class Verbs(ServerBase):
    def test_health_needs_no_grant(self):
        self.assertEqual(self.client.simulate_get("/healthz").status_code, 200)

    def test_a_nudge_wakes(self):
        answer = self.client.simulate_post("/v1/nudge", headers=self.grant("nudge", "*"))
        self.assertEqual((answer.status_code, answer.content, self.nudges), (204, b"", [True]))

    def test_what_is_under_way_is_told_to_who_may_ask_for_that(self):
        path = f"/v1/workloads/{self.uuid}/work"
        self.assert_refused(self.client.simulate_get(path), 401)
        self.assert_refused(self.client.simulate_get(path, headers=self.grant("logs", self.uuid)), 403)
        told = self.client.simulate_get(path, headers=self.grant("work", self.uuid)).json
        self.assertEqual(HostWork((self.uuid,)), HostWork.from_json(told))

    def test_a_command_runs(self):
        self.assertEqual(self.execute().json, {"output": "id -u", "exit_code": 0})

    def test_an_engine_that_is_away_is_no_fault_of_the_host(self):
        self.runtime.deaf = True
        self.assert_refused(self.execute(), 503)

    def test_output_beyond_the_limit_is_cut_with_a_note(self):
        self.runtime.execute = lambda uuid, command, seconds, limit: Executed(b"x" * limit, 0)
        output = self.execute().json["output"]
        self.assertEqual(output.count("x"), MAX_OUTPUT_BYTES)
        self.assertIn("cut", output)

    def test_output_that_is_no_text_is_still_told(self):
        self.runtime.execute = lambda *_: Executed(b"\xff\xfe ok", 0)
        self.assertEqual(self.execute().json["output"], "\ufffd\ufffd ok")

    def test_a_command_that_outlives_its_time_is_a_conflict_that_says_what_became_of_it(self):
        for ended, word in ((True, "was ended"), (False, "may still run")):
            self.runtime.execute = lambda *_, ended=ended: Executed(b"", -1, timed_out=True, ended=ended)
            answer = self.execute()
            self.assert_refused(answer, 409)
            self.assertIn(word, answer.json["error"]["message"])

    def test_what_does_not_run_is_a_conflict(self):
        self.runtime.stop(self.container_id, 1)
        self.assert_refused(self.execute(), 409)

    def test_what_is_not_here_is_not_found(self):
        self.assert_refused(self.execute(uuid=names.new_id()), 404)

    def test_bad_commands_are_refused(self):
        for body in (
            {},
            [],
            {"command": "id", "timeout_seconds": 5},
            {"command": [], "timeout_seconds": 5},
            {"command": ["a\0b"], "timeout_seconds": 5},
            {"command": ["id"]},
            {"command": ["id"], "timeout_seconds": 0},
            {"command": ["id"], "timeout_seconds": True},
        ):
            with self.subTest(body=body):
                self.assert_refused(self.execute(body), 400)

    def test_logs_are_passed_on_as_asked(self):
        asked = {}

        def logs(uuid, **options):
            asked.update(options)
            return b"one\n\xff"

        self.runtime.logs = logs
        answer = self.client.simulate_get(
            f"/v1/workloads/{self.uuid}/logs",
            params={"stdout": "True", "stderr": "False", "timestamps": "True", "tail": "5", "since": "17.5"},
            headers=self.grant("logs", self.uuid),
        )
        self.assertEqual(answer.json, {"output": "one\n\ufffd"})
        asked.pop("max_bytes")
        self.assertEqual(asked, {"stdout": True, "stderr": False, "timestamps": True, "tail": 5, "since": 17})

    def test_a_fault_of_ours_tells_nothing(self):
        def broken(*_):
            raise RuntimeError("/secret/path")

        self.runtime.execute = broken
        with self.assertLogs("zun_lite.agent.server", "ERROR"):
            answer = self.execute()
        self.assert_refused(answer, 500)
        self.assertNotIn("secret", answer.text)


class Grants(ServerBase):
    def test_none_is_refused(self):
        self.assert_refused(self.execute(headers={"Authorization": "Basic x"}), 401)

    def test_for_another_host_is_refused(self):
        """C5."""
        self.assert_refused(self.execute(headers=self.grant("execute", self.uuid, host=names.new_id())), 401)

    def test_signed_by_another_is_refused(self):
        headers = self.grant("execute", self.uuid, key=Ed25519PrivateKey.generate())
        self.assert_refused(self.execute(headers=headers), 401)

    def test_for_another_verb_is_refused(self):
        """C5."""
        self.assert_refused(self.execute(headers=self.grant("logs", self.uuid)), 403)

    def test_for_another_workload_is_refused(self):
        """C5."""
        self.assert_refused(self.execute(headers=self.grant("execute", names.new_id())), 403)

    def test_for_every_workload_is_refused(self):
        self.assert_refused(self.execute(headers=self.grant("execute", "*")), 403)

    def test_used_before_is_refused(self):
        headers = self.grant("execute", self.uuid)
        self.assertEqual(self.execute(headers=headers).status_code, 200)
        self.assert_refused(self.execute(headers=headers), 401)

    def test_too_old_is_refused(self):
        """C5."""
        headers = self.grant("execute", self.uuid)
        self.clock.advance(grants.LIFETIME_SECONDS + grants.LEEWAY_SECONDS + 1)
        self.assert_refused(self.execute(headers=headers), 401)

    def test_used_ones_are_remembered_as_long_as_they_are_good_and_no_longer(self):
        permits = Permits(self.key.public_key(), HOST, self.clock)
        for _ in range(1030):
            permits.check(self.grant("nudge", "*")["Authorization"], "*", "nudge")
        self.clock.advance(1000)
        permits.check(self.grant("nudge", "*")["Authorization"], "*", "nudge")
        self.assertLess(len(permits._used), 10)
