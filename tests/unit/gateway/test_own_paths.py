# SPDX-License-Identifier: Apache-2.0
"""The gateway's own paths: how bodies end and break, and what listeners are told and not asked for."""

from __future__ import annotations

import asyncio
import gzip
import json
import unittest
from unittest import mock

from tests.unit.gateway.test_app import FakeTarget
from zun_lite.client.streams import Begun, Place
from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway import app as gateway
from zun_lite.gateway import feed, flows
from zun_lite.gateway.bodies import Body
from zun_lite.gateway.feed import Listener
from zun_lite.gateway.openings import Opening, Openings
from zun_lite.gateway.refusals import Broken


def changes(*numbers: int, revision: int | None = None, complete: bool = True) -> dict:
    events = [{"id": number, "status": "Running"} for number in numbers]
    return {"revision": revision if revision is not None else numbers[-1], "complete": complete, "events": events}


class BodyTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = asyncio.Event()
        self.ended = asyncio.Event()
        self.openings = mock.Mock()
        self.opening = Opening("secret", Place("ws://host/", "grant"), 0.0)

    def body(self, last_words=None) -> Body:
        async def receive():
            await self.left.wait()
            return {"type": "http.disconnect"}

        async def end():
            self.ended.set()

        req = mock.Mock(scope={"zun_lite.receive": receive})
        return Body(req, self.openings, self.opening, self.pieces.get, end, last_words)

    async def test_pieces_come_until_the_end(self):
        for piece in (b"a", b"b", None):
            self.pieces.put_nowait(piece)
        body = self.body()
        self.assertEqual([b"a", b"b"], [piece async for piece in body])
        await body.close()
        self.openings.over.assert_called_once_with(self.opening)
        self.assertTrue(self.ended.is_set())

    async def test_a_client_that_leaves_ends_it_though_nothing_comes(self):
        body = self.body()
        reading = asyncio.ensure_future(anext(body, b"over"))
        self.left.set()
        self.assertEqual(b"over", await asyncio.wait_for(reading, 5))
        await body.close()

    async def test_one_that_is_cut_is_not_taken_for_whole(self):
        body = self.body()
        self.opening.cut.set_result("revoked")
        with self.assertRaisesRegex(Broken, "revoked"):
            await anext(body)
        await body.close()

    async def test_the_host_s_end_goes_though_the_client_reads_nothing(self):
        body = self.body()
        self.opening.cut.set_result("revoked")
        await asyncio.wait_for(self.ended.wait(), 5)
        await body.close()

    async def test_last_words_are_the_last(self):
        body = self.body(lambda reason: reason.encode())
        self.opening.cut.set_result("revoked")
        self.assertEqual([b"revoked"], [piece async for piece in body])
        await body.close()


class OwnPathCase(unittest.IsolatedAsyncioTestCase):
    """A client whose pieces come one by one, and the host behind."""

    async def asyncSetUp(self) -> None:
        self.api = mock.Mock()
        self.api.begin.return_value = Begun("secret", "u", Place("ws://host/", "grant"))
        self.api.check.return_value = {}
        self.target = FakeTarget()
        patch = mock.patch.object(gateway, "connect", mock.AsyncMock(return_value=self.target))
        patch.start()
        self.addCleanup(patch.stop)
        self.openings = Openings(self.api, 3, check_seconds=0.02)
        self.openings.start()
        self.addAsyncCleanup(self.openings.stop)
        self.app = gateway.make_app(self.openings, Origins("ws://127.0.0.1:9519/", []), mock.Mock())
        self.pieces: asyncio.Queue[dict] = asyncio.Queue()
        self.answers: list[dict] = []

    def say(self, body: bytes, *, more: bool = True) -> None:
        self.pieces.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def ask(self, method: str, path: str, query: bytes = b"", token: str = "token") -> int:
        """The status of the answer."""
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"}
        scope |= {"path": f"/v1/containers/web/{path}", "raw_path": b"", "query_string": query}
        scope |= {"headers": [(b"x-auth-token", token.encode()), (b"transfer-encoding", b"chunked")]}

        async def send(event):
            self.answers.append(event)

        await asyncio.wait_for(self.app(scope, self.pieces.get, send), 10)
        return self.answers[0]["status"]


class UploadTest(OwnPathCase):
    """PUT of an archive."""

    async def put(self) -> int:
        return await self.ask("PUT", "archive", b"path=/tmp")

    async def test_a_whole_archive_is_passed_on_with_its_end(self):
        self.target.says.put_nowait(None)
        for piece in (b"a", b"b"):
            self.say(piece)
        self.say(b"", more=False)
        self.assertEqual(204, await self.put())
        self.assertEqual([b"ab", b""], self.target.told)
        self.assertEqual(0, self.openings.count)

    async def test_one_that_breaks_off_is_not_taken_for_whole(self):
        self.target.says.put_nowait(None)
        self.say(b"a" * 300 * 1024)
        self.say(b"b")
        self.pieces.put_nowait({"type": "http.disconnect"})
        self.assertEqual(400, await self.put())
        self.assertNotIn(b"", self.target.told)
        self.assertTrue(self.target.ended.is_set())
        self.assertEqual(0, self.openings.count)

    async def test_one_that_is_cut_ends_though_its_client_says_nothing(self):
        self.api.check.side_effect = lambda secrets: dict.fromkeys(secrets, "The token was revoked.")
        self.say(b"a")
        with mock.patch.object(flows, "DRAIN_SECONDS", 0.02):
            self.assertEqual(403, await self.put())
        self.assertIn(b"revoked", self.answers[1]["body"])
        self.assertTrue(self.target.ended.is_set())
        self.assertEqual(0, self.openings.count)

    async def test_who_may_not_is_told_though_he_says_no_more(self):
        self.api.begin.side_effect = errors.Unauthorized("The token is not valid.")
        self.say(b"a")
        with mock.patch.object(flows, "DRAIN_SECONDS", 0.02):
            self.assertEqual(401, await self.put())
        self.assertEqual([], self.target.told)

    async def test_a_compressed_one_is_refused(self):
        self.say(gzip.compress(b"x"), more=False)
        self.assertEqual(415, await self.put())
        self.assertEqual([], self.target.told)
        self.assertEqual(0, self.openings.count)


class CommandTest(OwnPathCase):
    """POST of a command that reads nothing."""

    async def run_command(self) -> tuple[int, bytes]:
        self.say(b'{"command": ["true"]}', more=False)
        status = await self.ask("POST", "exec")
        return status, b"".join(event.get("body", b"") for event in self.answers)

    async def test_it_is_told_that_nothing_comes_and_all_that_it_says_is_framed(self):
        for said in (b"\1out", b'\3{"exit_code": 7}', None):
            self.target.says.put_nowait(said)
        framed = b"\1\0\0\0\0\0\0\3out" + b'\3\0\0\0\0\0\0\x10{"exit_code": 7}'
        self.assertEqual((200, framed), await self.run_command())
        self.assertEqual([b"\0"], self.target.told)
        self.api.begin.assert_called_once_with("token", "execute", "web", command=["true"], terminal=False)
        self.assertEqual(0, self.openings.count)

    async def test_what_its_host_refuses_is_its_status(self):
        self.target.refusal = errors.Conflict("The container does not run.")
        self.target.says.put_nowait(None)
        status, said = await self.run_command()
        self.assertEqual((200, 3), (status, said[0]))
        self.assertEqual(409, json.loads(said[8:])["error"]["status"])

    async def test_one_that_is_cut_says_why(self):
        self.api.check.side_effect = lambda secrets: dict.fromkeys(secrets, "The token was revoked.")
        _, said = await self.run_command()
        told = json.loads(said[8:])["error"]
        self.assertEqual((3, 403, "The token was revoked."), (said[0], told["status"], told["title"]))
        self.assertTrue(self.target.ended.is_set())

    async def test_what_is_no_command_is_refused_and_nothing_begun(self):
        for content in (b"", b"[]", b'{"command": "ls"}', b'{"command": ["a\\u0000"]}', b"x" * 300 * 1024):
            self.answers.clear()
            self.say(content, more=False)
            self.assertEqual(400, await self.ask("POST", "exec"), content[:40])
        self.api.begin.assert_not_called()


class ListenerTest(unittest.IsolatedAsyncioTestCase):
    async def test_each_change_is_told_once(self):
        listener = Listener("p", 4)
        listener.take(changes(3, 4, 5))
        listener.take(changes(4, 5, 6, revision=8))
        said = (await listener.next()).decode()
        self.assertEqual(["id: 5", "id: 6"], [line for line in said.splitlines() if line.startswith("id")])
        self.assertEqual(8, listener.seen)

    async def test_who_comes_back_too_late_is_told_of_a_gap(self):
        listener = Listener("p", 4)
        listener.take(changes(90, complete=False), resumed=True)
        self.assertIn("event: gap", (await listener.next()).decode())
        other = Listener("p", 4)
        other.take(changes(5, complete=False))
        self.assertNotIn("gap", (await other.next()).decode())

    async def test_a_lost_client_is_noticed_by_a_comment(self):
        with mock.patch.object(feed, "PING_SECONDS", 0.01):
            self.assertTrue((await Listener("p", 0).next()).startswith(b":"))


class FeedTest(unittest.IsolatedAsyncioTestCase):
    async def test_one_question_serves_all_and_who_does_not_read_is_not_asked_for(self):
        asked = []

        class Api:
            def changes(self, since):
                asked.append(since)
                return {"p": changes(5, 6)}

        async def tend(work, *arguments):
            return work(*arguments)

        fed = feed.Feed(Api(), mock.Mock(tend=tend))
        early, late, deaf = Listener("p", 4), Listener("p", 5), Listener("q", 1)
        deaf.waiting.extend([b"x"] * feed.MOST_WAITING)
        fed._listeners.update((early, late, deaf))
        await fed._ask_once()
        self.assertEqual([{"p": 4}], asked)
        self.assertEqual((2, 1, 6, 6), (len(early.waiting), len(late.waiting), early.seen, late.seen))
