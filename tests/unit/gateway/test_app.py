# SPDX-License-Identifier: Apache-2.0
"""The gateway's websocket: whom it lets in, in what order, and how streams end."""

from __future__ import annotations

import asyncio
import threading
import unittest
from unittest import mock

import falcon
from falcon import testing

from zun_lite.client.streams import Begun, Place
from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway import app as gateway
from zun_lite.gateway import openings
from zun_lite.gateway.app import make_app
from zun_lite.gateway.feed import Feed
from zun_lite.gateway.openings import Openings

OWN = "http://127.0.0.1:9519"


class FakeApi:
    """Knows some secrets, each good once; revoked ones are told at the next check."""

    def __init__(self, *secrets: str) -> None:
        self.good = set(secrets)
        self.opened: list[tuple[str, str, str | None]] = []
        self.revoked: dict[str, str] = {}
        self.checks: list[list[str]] = []
        self.released: list[str] = []
        self.away = False

    def open(self, secret, workload_uuid, exec_id):
        self._answer()
        if secret not in self.good:
            raise errors.Forbidden("This address was used before.")
        self.good.discard(secret)
        self.opened.append((secret, workload_uuid, exec_id))
        return Place("ws://host/", "grant")

    def check(self, secrets):
        self._answer()
        self.checks.append(secrets)
        return {secret: self.revoked[secret] for secret in secrets if secret in self.revoked}

    def release(self, secrets):
        self._answer()
        self.released += secrets

    def _answer(self):
        if self.away:
            raise errors.Unavailable("The API does not answer.")


class FakeTarget:
    """A host's end of a stream."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.told: list[bytes] = []
        self.ended_well = True
        self.refusal: errors.ZunError | None = None
        self.reason = ""
        self.ended = asyncio.Event()

    async def send(self, content):
        self.told.append(content)
        return True

    async def receive(self):
        return await self.says.get()

    async def end(self):
        self.ended.set()


class GatewayCase(unittest.IsolatedAsyncioTestCase):
    most = 3
    check_seconds, trust_seconds = 0.02, 60.0

    async def asyncSetUp(self) -> None:
        self.api = FakeApi("s1", "s2", "s3", "s4")
        self.targets: list[FakeTarget] = []
        self.refusal: errors.ZunError | None = None
        patch = mock.patch.object(gateway, "connect", self.connect)
        patch.start()
        self.addCleanup(patch.stop)
        self.openings = Openings(self.api, self.most, self.check_seconds, self.trust_seconds)
        origins = Origins("ws://127.0.0.1:9519/", ["https://dash.example.org"])
        app = make_app(self.openings, origins, Feed(self.api, self.openings, every_seconds=0.02))
        self.conductor = testing.ASGIConductor(app)
        await self.enterAsyncContext(self.conductor)

    async def connect(self, place):
        if self.refusal:
            raise self.refusal
        self.assertEqual(Place("ws://host/", "grant"), place)
        self.targets.append(FakeTarget())
        return self.targets[-1]

    def dial(self, secret: str = "s1", *, subprotocols=("binary", "base64"), query: str | None = None, **headers):
        query = query if query is not None else f"token={secret}&uuid=u"
        return self.conductor.simulate_ws(
            "/", query_string=query, subprotocols=subprotocols or None, headers=headers, spec_version="2.4"
        )

    async def closed(self, socket) -> tuple[int, str]:
        with self.assertRaises(falcon.WebSocketDisconnected):
            await asyncio.wait_for(socket.receive_data(), 5)
        return socket.close_code, socket.close_reason or ""

    async def until(self, look) -> None:
        async with asyncio.timeout(5):
            while not look():
                await asyncio.sleep(0.005)


class StreamsTest(GatewayCase):
    async def test_bytes_go_both_ways_as_binary(self):
        async with self.dial(query="token=s1&uuid=u&exec_id=e", Origin=OWN) as socket:
            self.assertEqual("binary", socket.subprotocol)
            self.targets[0].says.put_nowait("é".encode())
            self.assertEqual("é".encode(), await socket.receive_data())
            await socket.send_data(b"in")
            await socket.send_text("typed")
            await self.until(lambda: self.targets[0].told == [b"in", b"typed"])
        self.assertEqual([("s1", "u", "e")], self.api.opened)
        await self.targets[0].ended.wait()
        await self.until(lambda: self.api.released == ["s1"])

    async def test_the_end_of_the_process_is_told(self):
        async with self.dial() as socket:
            self.targets[0].says.put_nowait(None)
            self.assertEqual((1000, "Target closed"), await self.closed(socket))

    async def test_a_host_that_hangs_up_is_told(self):
        async with self.dial() as socket:
            self.targets[0].ended_well = False
            self.targets[0].says.put_nowait(None)
            self.assertEqual((1011, "The host hung up."), await self.closed(socket))

    async def test_a_secret_is_good_once(self):
        async with self.dial():
            pass
        async with self.dial() as socket:
            self.assertEqual(1008, (await self.closed(socket))[0])
        self.assertEqual(1, len(self.targets))

    async def test_what_is_missing_or_made_up_is_closed_after_the_upgrade(self):
        for query in ("", "token=x&uuid=u", "uuid=u", "token=s1"[:-1]):
            async with self.dial(query=query) as socket:
                self.assertEqual("binary", socket.subprotocol)
                self.assertEqual(1008, (await self.closed(socket))[0])
        self.assertEqual([], self.targets)

    async def test_a_strange_page_is_refused_before_anything_is_spent(self):
        """D3."""
        for origin in (
            "https://evil.example",
            "null",
            "http://127.0.0.1:9518",
            "https://dash.example.org.evil.example",
        ):
            with self.assertRaises(falcon.WebSocketDisconnected):
                async with self.dial(Origin=origin, Host=origin.removeprefix("https://")):
                    pass
        self.assertEqual([], self.api.opened)
        for secret, headers in (("s1", {"Origin": OWN}), ("s2", {"Origin": "https://dash.example.org"}), ("s3", {})):
            async with self.dial(secret, **headers):
                pass
        self.assertEqual(3, len(self.api.opened))

    async def test_only_the_protocol_that_it_knows_is_agreed_to(self):
        with self.assertRaises(falcon.WebSocketDisconnected):
            async with self.dial(subprotocols=["base64"]):
                pass
        async with self.dial(subprotocols=None) as socket:
            self.assertIsNone(socket.subprotocol)

    async def test_a_host_that_does_not_answer_is_told(self):
        self.refusal = errors.Unavailable("The container's host does not give the stream; try again later.")
        async with self.dial() as socket:
            code, reason = await self.closed(socket)
        self.assertEqual(1011, code)
        self.assertIn("host", reason)
        await self.until(lambda: self.api.released == ["s1"])

    async def test_a_full_gateway_says_so_and_spends_nothing(self):
        async with self.dial("s1"), self.dial("s2"), self.dial("s3"):
            async with self.dial("s4") as socket:
                self.assertEqual(1013, (await self.closed(socket))[0])
        await self.until(lambda: self.openings.count == 0)
        async with self.dial("s4"):
            self.assertEqual(1, self.openings.count)

    async def test_a_revoked_stream_is_cut_and_others_are_not(self):
        async with self.dial("s1") as cut, self.dial("s2") as kept:
            await self.until(lambda: self.api.checks)
            self.api.revoked["s1"] = "The token was revoked."
            self.assertEqual((1008, "The token was revoked."), await self.closed(cut))
            await self.targets[0].ended.wait()
            self.targets[1].says.put_nowait(b"still here")
            self.assertEqual(b"still here", await kept.receive_data())

    async def test_who_dials_without_a_websocket_is_told(self):
        answer = await self.conductor.simulate_get("/")
        self.assertEqual((426, "websocket"), (answer.status_code, answer.headers["upgrade"]))

    async def test_nothing_of_an_address_is_logged(self):
        with self.assertLogs(level="DEBUG") as logs:
            async with self.dial("s1"):
                pass
            async with self.dial("secret-that-was-used") as socket:
                await self.closed(socket)
            await self.until(lambda: self.openings.count == 0)
        said = "\n".join(logs.output)
        self.assertIn("workload u: a stream is open", said)
        for secret in ("s1", "secret-that-was-used", "grant"):
            self.assertNotIn(secret, said)


class SlowOpeningsTest(GatewayCase):
    """An API that takes long to open streams, as when hosts are asked first."""

    most = 20
    trust_seconds = 0.2

    async def test_streams_that_are_open_go_on_while_others_are_being_opened(self):
        slow = threading.Event()
        self.api.begin = mock.Mock(side_effect=lambda *arguments: slow.wait(20) and Begun("b", "u", None))
        self.addCleanup(slow.set)
        async with self.dial("s1") as kept, self.dial("s2") as ended:
            waiting = [asyncio.ensure_future(self.openings.begin("t", "logs", "web", {})) for _ in range(8)]
            await self.until(lambda: self.api.begin.call_count == openings.THREADS)
            before = len(self.api.checks)
            await self.until(lambda: len(self.api.checks) > before + 15)
            self.targets[1].says.put_nowait(None)
            await self.closed(ended)
            await self.until(lambda: self.api.released == ["s2"])
            self.targets[0].says.put_nowait(b"still here")
            self.assertEqual(b"still here", await kept.receive_data())
            slow.set()
            self.assertEqual(8, len(await asyncio.gather(*waiting)))


class UnverifiedTest(GatewayCase):
    """An API that is away."""

    trust_seconds = 0.2

    async def test_streams_end_when_nobody_says_that_they_may_go_on(self):
        with mock.patch.object(openings, "RETRY_SECONDS", 0.02):
            async with self.dial() as socket:
                await self.until(lambda: self.api.checks)
                self.api.away = True
                code, reason = await self.closed(socket)
        self.assertEqual((1008, openings.UNVERIFIED), (code, reason))

    async def test_a_short_absence_is_outlived(self):
        with mock.patch.object(openings, "RETRY_SECONDS", 0.02):
            async with self.dial() as socket:
                await self.until(lambda: self.api.checks)
                self.api.away = True
                await asyncio.sleep(0.05)
                self.api.away = False
                before = len(self.api.checks)
                await self.until(lambda: len(self.api.checks) > before)
                self.targets[0].says.put_nowait(b"still here")
                self.assertEqual(b"still here", await socket.receive_data())
