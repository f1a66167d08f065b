# SPDX-License-Identifier: Apache-2.0
"""The host's streams beyond what the stock client speaks: channels, followed logs, archives of any size, ports.

All are websockets, opened by the gateway with a grant of the verb. A stream that cannot be given, or that
breaks off, is closed with a code that says the HTTP status, and a reason.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import falcon.asgi

from zun_lite.agent.streams import channels, routes
from zun_lite.agent.streams.base import Duplex, LogOptions
from zun_lite.agent.streams.pump import TARGET_CLOSED
from zun_lite.agent.streams.routes import Means, Resource
from zun_lite.agent.streams.spool import Spool
from zun_lite.domain import archives, errors
from zun_lite.domain.channels import STDERR, STDOUT, message

LOG = logging.getLogger(__name__)

ARCHIVE_THREADS = 6
MOST_PORT = 65535


def add_routes(app: falcon.asgi.App, means: Means) -> None:
    one = "/v1/workloads/{uuid}"
    threads = ThreadPoolExecutor(ARCHIVE_THREADS, thread_name_prefix="archive")
    app.add_route(f"{one}/attach/channels", AttachChannels(means))
    app.add_route(f"{one}/execs/{{exec_id}}/channels", ExecChannels(means))
    app.add_route(f"{one}/logs/stream", LogStream(means))
    app.add_route(f"{one}/archive/read", Archive(means, threads, "get_archive"))
    app.add_route(f"{one}/archive/write", Archive(means, threads, "put_archive"))
    app.add_route(f"{one}/port", Port(means))


class AttachChannels(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str) -> None:
        means, streams = self._means, self._means.streams
        try:
            means.allow(req, uuid, "attach")
            duplex = await routes.opened(means, streams.attach(uuid))
        except errors.ZunError as error:
            await routes.refuse(ws, uuid, error)
            return
        resize = functools.partial(means.run, streams.resize, uuid)
        carry = functools.partial(
            channels.carry, resize=resize, outcome=functools.partial(means.run, streams.outcome, uuid)
        )
        await routes.carry(means, ws, duplex, carry)


class ExecChannels(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str, exec_id: str) -> None:
        means, streams = self._means, self._means.streams
        resize = functools.partial(means.run, streams.resize_exec, uuid, exec_id)
        outcome = functools.partial(means.run, streams.exec_outcome, uuid, exec_id)
        carry = functools.partial(channels.carry, resize=resize, outcome=outcome)
        await routes.run_exec(means, req, ws, uuid, exec_id, carry)


class LogStream(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str) -> None:
        try:
            self._means.allow(req, uuid, "logs")
            duplex = await routes.opened(self._means, self._means.streams.follow_logs(uuid, _options(req)))
        except errors.ZunError as error:
            await routes.refuse(ws, uuid, error)
            return

        async def read() -> bytes:
            stream, content = await duplex.read()
            return message(STDERR if stream == 2 else STDOUT, content) if content else b""

        await routes.carry(self._means, ws, duplex, functools.partial(_pass_on, read=read))


class Port(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str) -> None:
        try:
            self._means.allow(req, uuid, "port_forward")
            port = req.get_param_as_int("port", min_value=1, max_value=MOST_PORT, required=True)
            duplex = await routes.opened(self._means, self._means.streams.open_port(uuid, port))
        except falcon.HTTPError as error:
            await routes.refuse(ws, uuid, errors.Invalid(f"port is a number from 1 to {MOST_PORT}: {error.title}."))
            return
        except errors.ZunError as error:
            await routes.refuse(ws, uuid, error)
            return

        async def read() -> bytes:
            return (await duplex.read())[1]

        await routes.carry(self._means, ws, duplex, functools.partial(_pass_on, read=read))


class Archive(Resource):
    """Archives of any size, by way of a file (spool.py)."""

    def __init__(self, means: Means, threads: ThreadPoolExecutor, verb: str) -> None:
        super().__init__(means)
        self._threads = threads
        self._verb = verb

    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str) -> None:
        try:
            self._means.allow(req, uuid, self._verb)
            path = archives.checked_path(req.get_param("path"))
            await ws.accept()
            with Spool(self._means.spool_dir) as spool:
                if self._verb == "get_archive":
                    await self._read(ws, uuid, path, spool)
                else:
                    await self._write(ws, uuid, path, spool)
            await ws.close(1000, TARGET_CLOSED)
        except errors.ZunError as error:
            await routes.refuse(ws, uuid, error)
        except (falcon.WebSocketDisconnected, OSError):
            LOG.info("workload %s: a copy of files was broken off", uuid)

    async def _read(self, ws: falcon.asgi.WebSocket, uuid: str, path: str, spool: Spool) -> None:
        """The first message is what is known of the path, as JSON; the others are a tar."""
        loop = asyncio.get_running_loop()
        known: asyncio.Future[dict[str, Any]] = loop.create_future()

        def work() -> None:
            def told(stat: dict[str, Any]) -> None:
                loop.call_soon_threadsafe(known.set_result, stat)

            try:
                self._means.streams.read_archive(uuid, path, told, spool.write)
            finally:
                spool.end()

        working = loop.run_in_executor(self._threads, work)
        try:
            both: set[asyncio.Future[Any]] = {known, working}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if known.done():
                await ws.send_data(json.dumps(known.result()).encode())
                while piece := await spool.next():
                    await ws.send_data(piece)
        finally:
            spool.give_up()
            await asyncio.wait({working})
        working.result()

    async def _write(self, ws: falcon.asgi.WebSocket, uuid: str, path: str, spool: Spool) -> None:
        """Messages are a tar; one without bytes is its end, and is answered by a close once all is unpacked."""
        while content := await ws.receive_data():
            # a disk that is busy holds up this stream, and no other
            await asyncio.to_thread(spool.write, content)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, self._means.streams.write_archive, uuid, path, spool)


async def _pass_on(ws: falcon.asgi.WebSocket, duplex: Duplex, *, read: Callable[[], Awaitable[bytes]]) -> bool:
    """Both ways until both have ended or either broke; a message without bytes ends its way."""

    async def outward() -> None:
        while content := await read():
            await ws.send_data(content)
        await ws.send_data(b"")

    async def inward() -> None:
        while True:
            content = await ws.receive_data()
            if content:
                await duplex.write(content)
            else:
                await duplex.end_input()

    ways = [asyncio.create_task(outward()), asyncio.create_task(inward())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        ended = ways[0].done() and ways[0].exception() is None
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await duplex.close()
    try:
        await ws.close(1000, TARGET_CLOSED)
    except (falcon.WebSocketDisconnected, OSError):
        return ended
    return ended


def _options(req: falcon.asgi.Request) -> LogOptions:
    """Of a request of the gateway's, which has checked what users wrote."""
    try:
        tail = req.get_param_as_int("tail", min_value=0)
        since = req.get_param_as_float("since", min_value=0, default=0.0)
        named = {name: req.get_param_as_bool(name) for name in ("stdout", "stderr", "timestamps", "follow")}
    except falcon.HTTPError as error:
        raise errors.Invalid(error.description or error.title or "A parameter of the log is wrong.") from error
    return LogOptions(tail=tail, since=since, **{name: value for name, value in named.items() if value is not None})
