# SPDX-License-Identifier: Apache-2.0
"""The host's paths for looking into containers: what they answer, and to whom they do not."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import unittest
from unittest import mock

import falcon
from falcon import testing

from tests.unit.agent.test_pump import FakeDuplex
from tests.unit.agent.test_server import HOST, ServerBase
from zun_lite.agent.permits import Permits
from zun_lite.agent.server import make_app
from zun_lite.agent.streams.base import Archive, Processes, Usage
from zun_lite.agent.streams.opened import OpenExecs
from zun_lite.common import grants
from zun_lite.domain import archives, errors, names

EXEC_ID = "e" * 64


class FakeStreams:
    """Notes what it is asked; a process speaks when a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []
        self.duplex: FakeDuplex | None = None
        self.refusal: errors.ZunError | None = None

    def top(self, uuid, ps_args):
        self.asked.append(("top", ps_args))
        return Processes(("PID",), (("1",),))

    def stats(self, uuid):
        return Usage(1.5, 1, 2, 3, 4, 5, 6)

    def get_archive(self, uuid, path):
        self.asked.append(("get", path))
        return Archive(b"tar", {"name": "a"})

    def put_archive(self, uuid, path, content):
        self.asked.append(("put", path, content))

    def resize(self, uuid, height, width):
        self.asked.append(("resize", height, width))

    def create_exec(self, uuid, command, terminal):
        self.asked.append(("create_exec", command, terminal))
        return EXEC_ID

    def resize_exec(self, uuid, exec_id, height, width):
        self.asked.append(("resize_exec", exec_id, height, width))

    def hang_up_exec(self, uuid, exec_id):
        self.asked.append(("hang_up", exec_id))

    async def attach(self, uuid):
        return self._open("attach")

    async def start_exec(self, uuid, exec_id):
        return self._open("start_exec")

    def _open(self, how):
        if self.refusal:
            raise self.refusal
        self.asked.append((how,))
        self.duplex = FakeDuplex()
        return self.duplex


class StreamsBase(ServerBase):
    def setUp(self) -> None:
        super().setUp()
        self.streams = FakeStreams()
        permits = Permits(self.key.public_key(), HOST, self.clock)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.execs = OpenExecs(f"{folder.name}/execs")
        self.app = make_app(self.runtime, permits, lambda: None, self.streams, self.execs)
        self.client = testing.TestClient(self.app)

    def grant(self, verb, workload=None, *, host=HOST, key=None, **more):
        claims = {"sub": workload or self.uuid, "verb": verb, "req": "req-1", **more}
        token = grants.sign(key or self.key, grants.host_audience(host), claims, self.clock)
        return {"Authorization": f"Grant {token}"}

    def ask(self, method, path, verb, **options):
        url = f"/v1/workloads/{self.uuid}/{path}"
        return self.client.simulate_request(method, url, headers=self.grant(verb), **options)


class VerbsTest(StreamsBase):
    def test_processes_are_listed(self):
        answer = self.ask("GET", "top", "top", params={"ps_args": "aux"})
        self.assertEqual(({"titles": ["PID"], "rows": [["1"]]}, [("top", "aux")]), (answer.json, self.streams.asked))

    def test_use_is_told(self):
        self.assertEqual(6, self.ask("GET", "stats", "stats").json["network_sent_bytes"])

    def test_an_archive_comes_with_what_is_known_of_its_path(self):
        answer = self.ask("GET", "archive", "get_archive", params={"path": "/a//b"})
        stat = json.loads(base64.b64decode(answer.headers["X-Zun-Lite-Stat"]))
        self.assertEqual((b"tar", {"name": "a"}), (answer.content, stat))
        self.assertEqual([("get", "/a/b")], self.streams.asked)

    def test_an_archive_is_put(self):
        answer = self.ask("PUT", "archive", "put_archive", params={"path": "/a"}, body=b"tar")
        self.assertEqual((204, [("put", "/a", b"tar")]), (answer.status_code, self.streams.asked))

    def test_an_archive_has_a_path_and_a_bounded_length(self):
        for params in ({}, {"path": "a"}):
            self.assert_refused(self.ask("GET", "archive", "get_archive", params=params), 400)
        with mock.patch.object(archives, "MAX_BYTES", 2):
            answer = self.ask("PUT", "archive", "put_archive", params={"path": "/a"}, body=b"tar")
        self.assert_refused(answer, 400)
        self.assertEqual([], self.streams.asked)

    def test_terminals_are_resized(self):
        self.assertEqual(204, self.ask("POST", "resize", "resize", json={"height": 5, "width": 6}).status_code)
        body = {"height": 7, "width": 8}
        self.ask("POST", f"execs/{EXEC_ID}/resize", "execute_resize", json=body)
        self.assertEqual([("resize", 5, 6), ("resize_exec", EXEC_ID, 7, 8)], self.streams.asked)
        for body in ({}, [], {"height": 0, "width": 5}, {"height": 5, "width": 70000}, {"height": True, "width": 5}):
            self.assert_refused(self.ask("POST", "resize", "resize", json=body), 400)

    def test_a_command_is_made_ready(self):
        answer = self.ask("POST", "execs", "create_exec", json={"command": ["sh"]})
        self.assertEqual((201, {"exec_id": EXEC_ID}), (answer.status_code, answer.json))
        for body in ({}, {"command": []}, {"command": "sh"}, {"command": ["a\0"]}, {"command": ["a"], "terminal": 1}):
            self.assert_refused(self.ask("POST", "execs", "create_exec", json=body), 400)

    def test_each_path_wants_a_grant_of_its_own_verb_for_its_own_workload(self):
        for method, path, verb in (
            ("GET", "top", "top"),
            ("GET", "stats", "stats"),
            ("GET", "archive", "get_archive"),
            ("PUT", "archive", "put_archive"),
            ("POST", "resize", "resize"),
            ("POST", "execs", "create_exec"),
            ("POST", f"execs/{EXEC_ID}/resize", "execute_resize"),
        ):
            url = f"/v1/workloads/{self.uuid}/{path}"
            for headers, status in (
                ({}, 401),
                (self.grant("logs"), 403),
                (self.grant(verb, names.new_id()), 403),
                (self.grant(verb, host=names.new_id()), 401),
            ):
                self.assert_refused(self.client.simulate_request(method, url, headers=headers), status)
        self.assertEqual([], self.streams.asked)


class TerminalTest(StreamsBase, unittest.IsolatedAsyncioTestCase):
    async def open(self, path: str, headers: dict[str, str]):
        """The code and reason with which a stream was closed at once, or its socket's context."""
        async with testing.ASGIConductor(self.app) as conductor:
            async with conductor.simulate_ws(f"/v1/workloads/{self.uuid}/{path}", headers=headers) as socket:
                try:
                    await asyncio.wait_for(socket.receive_data(), 5)
                except falcon.WebSocketDisconnected:
                    return socket.close_code
        raise AssertionError("the stream was opened")

    async def test_attaching_carries_both_ways(self):
        headers = self.grant("attach")
        async with testing.ASGIConductor(self.app) as conductor:
            async with conductor.simulate_ws(f"/v1/workloads/{self.uuid}/attach", headers=headers) as socket:
                self.streams.duplex.says.put_nowait((0, b"hello"))
                self.assertEqual(b"hello", await socket.receive_data())
                await socket.send_data(b"hi")
                self.streams.duplex.says.put_nowait((0, b""))
                with self.assertRaises(falcon.WebSocketDisconnected):
                    await socket.receive_data()
                self.assertEqual(1000, socket.close_code)
        self.assertEqual([b"hi"], self.streams.duplex.told)
        self.assertNotIn(("hang_up", EXEC_ID), self.streams.asked)

    async def test_a_command_whose_client_left_is_hung_up_on(self):
        headers = self.grant("execute", exec_id=EXEC_ID)
        async with testing.ASGIConductor(self.app) as conductor:
            async with conductor.simulate_ws(f"/v1/workloads/{self.uuid}/execs/{EXEC_ID}/stream", headers=headers):
                pass
        self.assertEqual([("start_exec",), ("hang_up", EXEC_ID)], self.streams.asked)
        self.assertTrue(self.streams.duplex.closed)
        self.assertEqual([], self.execs.left())

    async def test_a_command_whose_agent_was_killed_is_hung_up_on_by_the_next(self):
        headers = self.grant("execute", exec_id=EXEC_ID)
        async with testing.ASGIConductor(self.app) as conductor:
            async with conductor.simulate_ws(f"/v1/workloads/{self.uuid}/execs/{EXEC_ID}/stream", headers=headers):
                left = self.execs.left()
        self.assertEqual([(EXEC_ID, self.uuid)], left)
        for refusal, stays in ((errors.Unavailable("away"), left), (errors.NotFound("gone"), []), (None, [])):
            self.execs.note(EXEC_ID, self.uuid)
            with mock.patch.object(self.streams, "hang_up_exec", side_effect=refusal):
                self.execs.hang_up(left, self.streams)
            self.assertEqual(stays, self.execs.left())

    async def test_a_grant_opens_one_stream_once(self):
        """C5."""
        headers = self.grant("attach")
        async with testing.ASGIConductor(self.app) as conductor:
            async with conductor.simulate_ws(f"/v1/workloads/{self.uuid}/attach", headers=headers):
                pass
        self.assertEqual(4401, await self.open("attach", headers))

    async def test_grants_for_something_else_open_nothing(self):
        """C5."""
        late = self.grant("attach")
        self.clock.advance(grants.LIFETIME_SECONDS + grants.LEEWAY_SECONDS + 1)
        for path, headers, code in (
            ("attach", {}, 4401),
            ("attach", late, 4401),
            ("attach", self.grant("execute"), 4403),
            ("attach", self.grant("attach", names.new_id()), 4403),
            ("attach", self.grant("attach", host=names.new_id()), 4401),
            (f"execs/{EXEC_ID}/stream", self.grant("attach"), 4403),
            (f"execs/{EXEC_ID}/stream", self.grant("execute"), 4403),
            (f"execs/{EXEC_ID}/stream", self.grant("execute", exec_id="f" * 64), 4403),
        ):
            with self.subTest(path=path, code=code):
                self.assertEqual(code, await self.open(path, headers))
        self.assertEqual([], self.streams.asked)

    async def test_what_the_engine_refuses_is_told(self):
        self.streams.refusal = errors.Conflict("The container does not run.")
        self.assertEqual(4409, await self.open("attach", self.grant("attach")))
