# SPDX-License-Identifier: Apache-2.0
"""Looking into containers through the API, and what gateways ask it."""

from __future__ import annotations

import base64
import gzip
from dataclasses import replace
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qs, urlsplit

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.api.case import AnsweringAgents, ApiTestCase
from tests.unit.domain.test_tar import a_tar
from zun_lite.api import waits
from zun_lite.api.image.transfers import Transfers
from zun_lite.common import grants
from zun_lite.db import identity as rows
from zun_lite.db import roles, stream_grants
from zun_lite.db.engine import utc_now
from zun_lite.domain import archives, errors
from zun_lite.identity import passwords

EXEC_ID = "e" * 64
USAGE = {
    "cpu_percent": 12.345,
    "memory_bytes": 16 * 1024 * 1024,
    "memory_limit_bytes": 64 * 1024 * 1024,
    "disk_read_bytes": 1,
    "disk_written_bytes": 2,
    "network_received_bytes": 3,
    "network_sent_bytes": 4,
}


class StreamingAgents(AnsweringAgents):
    """Agents that note what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: errors.ZunError | None = None
        self.archive = b"tar"

    def top(self, host_uuid, address, workload, request_id, ps_args):
        return self._note("top", ps_args) or {"titles": ["PID", "CMD"], "rows": [["1", "sh"]]}

    def stats(self, host_uuid, address, workload, request_id):
        return self._note("stats") or USAGE

    def get_archive(self, host_uuid, address, workload, request_id, path):
        return self._note("get_archive", path) or (self.archive, {"name": "a", "size": 1})

    def put_archive(self, host_uuid, address, workload, request_id, path, content):
        self._note("put_archive", path, content)

    def resize(self, host_uuid, address, workload, request_id, height, width):
        self._note("resize", height, width)

    def create_exec(self, host_uuid, address, workload, request_id, command, *, terminal):
        return self._note("create_exec", command, terminal) or EXEC_ID

    def resize_exec(self, host_uuid, address, workload, request_id, exec_id, height, width):
        self._note("resize_exec", exec_id, height, width)

    def stream_grant(self, host_uuid, workload, verb, exec_id, request_id):
        return f"grant to {verb} {workload} {exec_id}"

    def _note(self, *asked) -> None:
        if self.refusal:
            raise self.refusal
        self.asked.append(asked)


class StreamsCase(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.agents = StreamingAgents()
        self.means = replace(self.means, agents=self.agents)
        self.gateway_key = Ed25519PrivateKey.generate()
        self.services = replace(
            self.services, means=self.means, gateway_public_key=grants.public_text(self.gateway_key)
        )
        self.client = self.make_client()
        self.web = self.running(interactive=True, tty=True)

    def post(self, verb, body=None, **more):
        return self.call("POST", f"/v1/containers/web/{verb}", body, **more)

    def ask(self, verb, **more):
        return self.call("GET", f"/v1/containers/web/{verb}", **more)


class LookingTest(StreamsCase):
    def test_processes_are_listed(self):
        for params, wanted in (({}, None), ({"ps_args": "None"}, None), ({"ps_args": "aux"}, "aux")):
            answer = self.ask("top", params=params)
            self.assertEqual({"Titles": ["PID", "CMD"], "Processes": [["1", "sh"]]}, answer.json)
            self.assertEqual(("top", wanted), self.agents.asked[-1])

    def test_use_is_told_in_the_names_that_clients_know(self):
        self.assertEqual(
            {
                "CONTAINER": "web",
                "CPU %": 12.35,
                "MEM USAGE(MiB)": 16.0,
                "MEM LIMIT(MiB)": 64.0,
                "MEM %": 25.0,
                "BLOCK I/O(B)": "1/2",
                "NET I/O(B)": "3/4",
            },
            self.ask("stats").json,
        )

    def test_terminals_are_resized_by_query_or_body(self):
        for more in ({"params": {"w": "80", "h": "24"}}, {"body": {"w": 80, "h": 24}}):
            answer = self.post("resize", **more)
            self.assertEqual((200, None), (answer.status_code, answer.json))
        answer = self.post("execute_resize", params={"exec_id": EXEC_ID, "w": "81", "h": "25"})
        self.assertEqual((200, None), (answer.status_code, answer.json))
        self.assertEqual([("resize", 24, 80), ("resize", 24, 80), ("resize_exec", EXEC_ID, 25, 81)], self.agents.asked)

    def test_a_size_or_a_command_that_cannot_be_is_refused(self):
        for params in (
            {},
            {"w": "1"},
            {"w": "0", "h": "1"},
            {"w": "-1", "h": "1"},
            {"w": "x", "h": "1"},
            {"w": "1e9", "h": "1"},
        ):
            self.refused(400, self.post("resize", params=params))
        for exec_id in ("", "x", "E" * 64, "e" * 63, "../" + "e" * 61):
            self.refused(400, self.post("execute_resize", params={"exec_id": exec_id, "w": "1", "h": "1"}), "exec_id")
        self.assertEqual([], self.agents.asked)

    def test_the_host_s_own_refusal_is_passed_on(self):
        self.agents.refusal = errors.Invalid("No command of that exec_id was made in this container.")
        self.refused(400, self.post("execute_resize", params={"exec_id": EXEC_ID, "w": "1", "h": "1"}), "exec_id")

    def test_only_what_runs_is_looked_into(self):
        self.observe(self.web, "exited")
        size = {"w": "1", "h": "1"}
        for answer in (
            self.ask("top"),
            self.ask("stats"),
            self.ask("attach"),
            self.post("resize", params=size),
            self.post("execute_resize", params={"exec_id": EXEC_ID, **size}),
            self.post("execute", params={"command": "sh", "run": "False", "interactive": "True"}),
        ):
            self.refused(409, answer, "Stopped", "Running")
        self.assertEqual([], self.agents.asked)

    def test_a_stranger_finds_nothing(self):
        uuid = self.web["uuid"]
        for method, verb in (
            *(("GET", verb) for verb in ("top", "stats", "attach", "get_archive?path=/a")),
            *(("POST", verb) for verb in ("resize?w=1&h=1", "put_archive?path=/a", "execute?command=sh&run=False")),
            ("POST", f"execute_resize?w=1&h=1&exec_id={EXEC_ID}"),
        ):
            self.refused(404, self.call(method, f"/v1/containers/{uuid}/{verb}", user="other"))
        self.assertEqual([], self.agents.asked)


class WaitsTest(StreamsCase):
    def test_images_on_their_way_count_among_what_takes_long(self):
        place, seen = waits.Waits(waits.LEFT_FREE + 1), []
        transfers = Transfers(4, place)
        with mock.patch.object(waits, "PATIENCE_SECONDS", 0):
            with place.one():
                for _ in range(5):
                    seen.append(self.assertRaises(errors.Busy, transfers.take).message)
            transfers.take()
            self.assertRaises(errors.Busy, place.take)
            transfers.give_back()
            place.take()
        self.assertEqual(1, len(set(seen)))

    def test_commands_that_take_long_leave_threads_for_short_requests(self):
        places = self.conf.api.threads - waits.LEFT_FREE
        answers = []

        def execute(*arguments):
            """Each command lasts until the next one is answered."""
            answers.append(self.post("execute", params={"command": "sleep"}).status_code)
            if len(answers) == 1:
                answers.append(self.ask("top").status_code)
                answers.append(self.call("GET", "/v1/containers").status_code)
            return "", 0

        with mock.patch.object(self.agents, "execute", execute), mock.patch.object(waits, "PATIENCE_SECONDS", 0):
            self.assertEqual(200, self.post("execute", params={"command": "sleep"}).status_code)
        self.assertEqual([503, 503, 200] + [200] * (places - 1), answers)
        self.assertEqual(200, self.ask("top").status_code)


class ArchivesTest(StreamsCase):
    def put(self, content, path="/tmp", **more):
        data = base64.b64encode(content).decode() if isinstance(content, bytes) else content
        return self.post("put_archive", {"data": data}, params={"path": path}, **more)

    def test_an_archive_comes_in_base64(self):
        self.agents.archive = b"\xff\x00tar"
        answer = self.ask("get_archive", params={"path": "//etc/./hosts"})
        self.assertEqual(
            {"data": base64.b64encode(b"\xff\x00tar").decode(), "stat": {"name": "a", "size": 1}}, answer.json
        )
        self.assertEqual([("get_archive", "/etc/hosts")], self.agents.asked)

    def test_before_1_25_it_comes_as_text_if_it_is_text(self):
        answer = self.ask("get_archive", params={"path": "/a"}, version="1.24")
        self.assertEqual("tar", answer.json["data"])
        self.agents.archive = b"\xff"
        self.refused(400, self.ask("get_archive", params={"path": "/a"}, version="1.24"), "1.25")
        content = a_tar(("a", b"x"))
        self.assertEqual(200, self.put(content.decode(), version="1.24").status_code)
        self.assertEqual(("put_archive", "/tmp", content), self.agents.asked[-1])

    def test_an_archive_is_put(self):
        content = a_tar(("a", b"x"))
        answer = self.put(content)
        self.assertEqual((200, None), (answer.status_code, answer.json))
        self.assertEqual([("put_archive", "/tmp", content)], self.agents.asked)

    def test_one_larger_than_other_bodies_is_taken_up_to_a_bound(self):
        self.assertEqual(200, self.put(a_tar(("a", b"x" * 8 * 1024 * 1024))).status_code)
        self.refused(413, self.put(a_tar(("a", b"x" * archives.MAX_BYTES))))
        self.refused(413, self.post("put_archive", raw=b"{" + b" " * 24 * 1024 * 1024, params={"path": "/"}))
        self.refused(413, self.post("execute", raw=b"{" + b" " * 2 * 1024 * 1024))

    def test_a_compressed_one_is_refused(self):
        """B3."""
        self.refused(415, self.put(gzip.compress(b"x")), "gzip")
        self.assertEqual([], self.agents.asked)

    def test_what_cannot_be_is_refused(self):
        for path in ("", "etc", "None", "/" + "x" * 5000, "/a\nb"):
            self.refused(400, self.ask("get_archive", params={"path": path}), "path")
            self.refused(400, self.put(b"x", path), "path")
        for content in ("!", "e", None, 7, ["eA=="]):
            self.refused(400, self.post("put_archive", {"data": content}, params={"path": "/"}), "data")
        self.assertEqual([], self.agents.asked)

    def test_they_go_in_and_out_of_what_was_made_and_lives(self):
        for state in ("created", "running", "exited", "paused"):
            self.observe(self.web, state)
            self.assertEqual(200, self.ask("get_archive", params={"path": "/a"}).status_code, state)
        self.observe(self.web, "dead")
        self.refused(409, self.ask("get_archive", params={"path": "/a"}), "Dead")


class TerminalsTest(StreamsCase):
    def attach(self, **more) -> dict[str, str]:
        answer = self.ask("attach", **more)
        self.assertEqual(200, answer.status_code, answer.text)
        return self.parts(answer.json)

    def execute(self, **params) -> dict[str, str]:
        answer = self.post("execute", params={"command": '"sh" "-l"', "interactive": "True", "run": "False", **params})
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual((None, None, EXEC_ID), tuple(answer.json[key] for key in ("output", "exit_code", "exec_id")))
        return self.parts(answer.json["proxy_url"])

    def parts(self, address: str) -> dict[str, str]:
        found = urlsplit(address)
        self.assertEqual(("ws", "127.0.0.1:9519", "/"), (found.scheme, found.netloc, found.path))
        return {key: value for key, (value,) in parse_qs(found.query).items()}

    def gateway(self, verb, body, key=None, **claims):
        token = grants.sign(key or self.gateway_key, grants.API_AUDIENCE, {"sub": "gateway", **claims}, self.clock)
        headers = {"Authorization": f"Gateway {token}"}
        return self.client.simulate_post(f"/node/v1/streams/{verb}", json=body, headers=headers)

    def open(self, parts):
        return self.gateway("open", {"exec_id": None, **parts})

    def ended(self, *streams) -> list[int]:
        answer = self.gateway("check", {"tokens": [parts["token"] for parts in streams]})
        self.assertEqual(200, answer.status_code, answer.text)
        return [item["position"] for item in answer.json["ended"]]

    def test_attaching_answers_an_address(self):
        parts = self.attach()
        self.assertEqual({"token", "uuid"}, set(parts))
        self.assertEqual(self.web["uuid"], parts["uuid"])
        self.assertGreaterEqual(len(parts["token"]), 32)

    def test_the_version_document_says_where_streams_are(self):
        links = {link["rel"]: link["href"] for link in self.client.simulate_get("/v1").json["links"]}
        self.assertEqual("ws://127.0.0.1:9519/", links["streams"])

    def test_what_is_not_interactive_cannot_be_attached_to(self):
        self.running("still")
        self.refused(400, self.call("GET", "/v1/containers/still/attach"), "interactive")

    def test_an_interactive_command_answers_an_address_and_waits(self):
        parts = self.execute()
        self.assertEqual({"token", "uuid", "exec_id"}, set(parts))
        self.assertEqual([("create_exec", ["sh", "-l"], True)], self.agents.asked)
        self.execute(interactive="False")
        self.assertEqual(("create_exec", ["sh", "-l"], False), self.agents.asked[-1])

    def test_a_gateway_gets_the_place_and_the_grant_once(self):
        for parts, verb in ((self.attach(), "attach"), (self.execute(), "execute")):
            answer = self.open(parts)
            grant = f"grant to {verb} {self.web['uuid']} {parts.get('exec_id')}"
            self.assertEqual({"address": self.host.address, "grant": grant}, answer.json)
            self.assertEqual(403, self.open(parts).status_code)

    def test_a_rule_for_those_who_made_a_container_holds_for_its_terminals(self):
        Path(self.conf.api.policy_file).write_text('"container:attach": "user_id:%(user_id)s"\n')
        self.client = self.make_client()
        self.refused(403, self.ask("attach", user="admin"), "container:attach")
        parts = self.attach()
        self.assertEqual(200, self.open(parts).status_code)
        self.assertEqual([], self.ended(parts))

    def test_one_for_another_command_or_container_is_refused(self):
        """A3."""
        other = self.running("other", interactive=True)
        self.assertEqual(403, self.open({**self.execute(), "exec_id": "f" * 64}).status_code)
        self.assertEqual(403, self.open({**self.attach(), "exec_id": EXEC_ID}).status_code)
        self.assertEqual(403, self.open({**self.attach(), "uuid": other["uuid"]}).status_code)
        self.assertEqual(200, self.open(self.attach()).status_code)

    def test_one_that_is_older_than_a_minute_is_refused(self):
        """D2."""
        parts = self.attach()
        self.db.transact(lambda tx: tx.execute(sa.update(stream_grants.stream_grants).values(live_until=utc_now())))
        self.assertEqual(403, self.open(parts).status_code)

    def begin(self, verb, *, user="demo", ident="web", **more):
        body = {"user_token": self.token(user), "verb": verb, "ident": ident, **more}
        return self.gateway("begin", body)

    def test_a_gateway_begins_a_stream_with_the_users_own_token(self):
        begun = self.begin("logs")
        self.assertEqual(200, begun.status_code, begun.text)
        grant = f"grant to logs {self.web['uuid']} None"
        self.assertEqual((self.host.address, grant), (begun.json["address"], begun.json["grant"]))
        self.assertEqual([], self.ended(begun.json))
        self.assertEqual(403, self.open({"token": begun.json["token"], "uuid": self.web["uuid"]}).status_code)
        command = self.begin("execute", command=["sh"], terminal=True)
        self.assertEqual(EXEC_ID, command.json["exec_id"])
        self.assertEqual(("create_exec", ["sh"], True), self.agents.asked[-1])
        events = self.begin("events", ident="")
        self.assertEqual({"token", "project_id"}, set(events.json))
        self.assertEqual([], self.ended(events.json))
        self.client.simulate_delete(
            "/identity/v3/auth/tokens",
            headers={"X-Auth-Token": self.token("demo"), "X-Subject-Token": self.token("demo")},
        )
        self.assertEqual([0, 1, 2], self.ended(begun.json, command.json, events.json))

    def test_what_may_not_be_begun_is_refused(self):
        for answer, status in (
            (self.begin("execute", command=[]), 400),
            (self.begin("execute", command="sh"), 400),
            (self.begin("delete"), 400),
            (self.begin("logs", ident="nobody"), 404),
            (self.gateway("begin", {"verb": "logs", "ident": "web"}), 401),
            (self.gateway("begin", {"user_token": "made-up", "verb": "logs", "ident": "web"}), 401),
            (self.gateway("changes", {"projects": {"p": "x"}}), 400),
        ):
            self.assertEqual(status, answer.status_code, answer.text)
        self.observe(self.web, "exited")
        for verb in ("execute", "attach", "port_forward"):
            self.assertEqual(409, self.begin(verb, command=["sh"]).status_code, verb)
        self.assertEqual(200, self.begin("logs").status_code)

    def test_rules_and_bounds_hold_for_what_is_begun(self):
        Path(self.conf.api.policy_file).write_text('"container:port_forward": "!"\n"container:get_all": "!"\n')
        self.client = self.make_client()
        for verb in ("port_forward", "events"):
            self.assertEqual(403, self.begin(verb).status_code, verb)
        self.assertEqual(200, self.begin("logs").status_code)
        with mock.patch.object(stream_grants, "count", return_value=10**6):
            self.assertEqual(429, self.begin("logs").status_code)

    def test_access_rules_hold_for_what_is_begun(self):
        """A7."""
        every = {
            "execute": ("POST", "/v1/containers/web/execute"),
            "attach": ("GET", "/v1/containers/web/attach"),
            "logs": ("GET", "/v1/containers/web/logs"),
            "get_archive": ("GET", "/v1/containers/web/get_archive"),
            "put_archive": ("POST", "/v1/containers/web/put_archive"),
            "port_forward": ("GET", "/v1/containers/web/port-forward"),
            "events": ("GET", "/v1/containers"),
        }
        for allowed, (method, path) in every.items():
            token = self.bound_to(method, path)
            for verb in every:
                answer = self.begin(verb, user_token=token, command=["sh"])
                self.assertEqual(200 if verb == allowed else 403, answer.status_code, f"{verb} by {path}")
        self.assertEqual([("create_exec", ["sh"], False)], self.agents.asked)

    def bound_to(self, method, path) -> str:
        """A token of the demo user that is good for this request of the container API only."""
        user_id = self.get("/identity/v3/auth/tokens", headers={"X-Subject-Token": self.token("demo")})["token"][
            "user"
        ]["id"]
        rules = [{"service": "container", "method": method, "path": path}]
        body = {"application_credential": {"name": f"{method} {path}", "access_rules": rules}}
        made = self.call("POST", f"/identity/v3/users/{user_id}/application_credentials", body)
        self.assertEqual(201, made.status_code, made.text)
        proof = {key: made.json["application_credential"][key] for key in ("id", "secret")}
        auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
        return self.client.simulate_post("/identity/v3/auth/tokens", json={"auth": auth}).headers["X-Subject-Token"]

    def test_only_a_gateway_may_ask(self):
        parts = self.attach()
        body = {"exec_id": None, **parts}
        for answer in (
            self.client.simulate_post("/node/v1/streams/open", json=body),
            self.call("POST", "/node/v1/streams/open", body, user="admin"),
            self.gateway("open", body, Ed25519PrivateKey.generate()),
            self.gateway("open", body, sub="host"),
            self.gateway("check", {"tokens": []}, Ed25519PrivateKey.generate()),
            self.gateway("release", {"tokens": []}, Ed25519PrivateKey.generate()),
            self.gateway("begin", {}, Ed25519PrivateKey.generate()),
            self.gateway("changes", {"projects": {}}, Ed25519PrivateKey.generate()),
        ):
            self.assertEqual(401, answer.status_code, answer.text)
        self.assertEqual(200, self.open(parts).status_code)

    def test_bad_questions_of_a_gateway_are_refused(self):
        for body in ({}, {"token": 7}, {"token": "x", "uuid": 7}, {"token": "x" * 100, "uuid": "x"}):
            self.assertIn(self.gateway("open", body).status_code, (400, 401))
        for body in ({}, {"tokens": "x"}, {"tokens": ["x"] * 201}, {"tokens": [7]}):
            self.assertIn(self.gateway("check", body).status_code, (400, 401))

    def test_what_stopped_meanwhile_is_not_opened(self):
        parts = self.attach()
        self.observe(self.web, "exited")
        self.assertEqual(409, self.open(parts).status_code)

    def test_a_stream_ends_with_the_user_s_token(self):
        kept, revoked = self.attach(user="admin"), self.attach()
        for parts in (kept, revoked):
            self.assertEqual(200, self.open(parts).status_code)
        self.assertEqual([], self.ended(kept, revoked))
        token = self.token("demo")
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        answer = self.client.simulate_delete("/identity/v3/auth/tokens", headers=headers)
        self.assertEqual(204, answer.status_code)
        self.assertEqual([1], self.ended(kept, revoked))

    def test_a_stream_that_was_not_opened_yet_ends_with_the_token_too(self):
        parts = self.attach()
        token = self.token("demo")
        self.client.simulate_delete(
            "/identity/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token}
        )
        self.assertEqual(401, self.open(parts).status_code)

    def test_a_stream_ends_with_the_user_s_password(self):
        self.assert_ends_by(lambda tx, user, _: rows.set_password(tx, user, passwords.hashed("new")))

    def test_a_stream_ends_with_the_user_s_role(self):
        """D4."""
        self.assert_ends_by(
            lambda tx, user, _: tx.execute(
                sa.delete(roles.role_assignments).where(roles.role_assignments.c.user_id == user)
            )
        )

    def test_a_stream_ends_with_the_user(self):
        self.assert_ends_by(
            lambda tx, user, _: tx.execute(sa.update(rows.users).where(rows.users.c.id == user).values(enabled=False))
        )

    def test_a_stream_ends_with_the_project(self):
        """D4."""
        self.assert_ends_by(
            lambda tx, _, project: tx.execute(
                sa.update(rows.projects).where(rows.projects.c.id == project).values(enabled=False)
            )
        )

    def assert_ends_by(self, change) -> None:
        """That what this does to the user or the project ends the user's stream, and no other's."""
        mine, kept = self.attach(), self.attach(user="admin")
        for parts in (mine, kept):
            self.assertEqual(200, self.open(parts).status_code)
        self.assertEqual([], self.ended(mine, kept))
        with self.db.read() as tx:
            user, project = rows.find_users(tx, name="demo")[0].id, rows.find_projects(tx, name="demo")[0].id
        self.db.transact(lambda tx: change(tx, user, project))
        self.assertEqual([0], self.ended(mine, kept))

    def test_a_stream_ends_with_its_container(self):
        parts = self.attach()
        self.open(parts)
        self.call("DELETE", "/v1/containers/web", params={"stop": "true"})
        self.assertEqual([0], self.ended(parts))

    def test_an_ended_stream_makes_room(self):
        self.conf.set_override("streams_per_workload", 1, group="gateway")
        self.client = self.make_client()
        parts = self.attach()
        self.refused(429, self.ask("attach"), "1 streams")
        self.refused(429, self.post("execute", params={"command": "sh", "run": "False"}), "1 streams")
        self.assertEqual([], self.agents.asked)
        self.open(parts)
        self.refused(429, self.ask("attach"))
        self.assertEqual(204, self.gateway("release", {"tokens": [parts["token"]]}).status_code)
        self.attach()

    def test_a_secret_is_in_no_log(self):
        with self.assertLogs(level="DEBUG") as logs:
            parts = self.attach()
            self.open(parts)
            self.open(parts)
            self.post("resize", params={"w": "1", "h": "1"})
        self.assertNotIn(parts["token"], "\n".join(logs.output))
