# SPDX-License-Identifier: Apache-2.0
"""The host's paths for looking into a workload: processes, use, files, terminals; more in flows.py.

Each request needs a grant for its verb on that workload. A stream's grant names the exec, too, and is
spent by opening it: who copies it finds it used. The gateway is the only one who opens streams.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import falcon.asgi

from zun_lite.agent.permits import Permits
from zun_lite.agent.streams.base import Duplex, Streams
from zun_lite.agent.streams.opened import OpenExecs
from zun_lite.agent.streams.pump import pump
from zun_lite.domain import archives, channels, errors, names

LOG = logging.getLogger(__name__)

THREADS = 8
MAX_STREAMS = 2000
MOST_CELLS = 65535
STAT_HEADER = "X-Zun-Lite-Stat"
MAX_BODY_BYTES = 1024 * 1024

# carries a duplex through a websocket to its end, and says whether it was the process that ended
Carry = Callable[[falcon.asgi.WebSocket, Duplex], Awaitable[bool]]


def add_routes(app: falcon.asgi.App, means: Means) -> None:
    one = "/v1/workloads/{uuid}"
    app.add_route(f"{one}/top", Top(means))
    app.add_route(f"{one}/stats", Stats(means))
    app.add_route(f"{one}/archive", Archives(means))
    app.add_route(f"{one}/resize", Resize(means))
    app.add_route(f"{one}/execs", Execs(means))
    app.add_route(f"{one}/execs/{{exec_id}}/resize", ExecResize(means))
    app.add_route(f"{one}/attach", Attach(means))
    app.add_route(f"{one}/execs/{{exec_id}}/stream", ExecStream(means))


class Means:
    """What the resources share: the engine, the judge of grants, and some threads."""

    def __init__(self, streams: Streams, permits: Permits, execs: OpenExecs, spool_dir: str) -> None:
        """spool_dir: on a disk that has room for archives on their way."""
        self.streams = streams
        self.execs = execs
        self.spool_dir = spool_dir
        self.open = 0
        self._permits = permits
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="look")

    def allow(self, req: falcon.asgi.Request, uuid: str, verb: str) -> dict[str, Any]:
        """The grant's claims. NotFound, Unauthorized or Forbidden: not this, not you."""
        if names.as_id(uuid) != uuid:
            raise errors.NotFound("A workload is named by its id.")
        return self._permits.check(req.auth, uuid, verb)

    async def run(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


class Resource:
    def __init__(self, means: Means) -> None:
        self._means = means


class Top(Resource):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "top")
        found = await self._means.run(self._means.streams.top, uuid, req.get_param("ps_args") or None)
        resp.media = {"titles": found.titles, "rows": found.rows}


class Stats(Resource):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "stats")
        resp.media = vars(await self._means.run(self._means.streams.stats, uuid))


class Archives(Resource):
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "get_archive")
        path = archives.checked_path(req.get_param("path"))
        found = await self._means.run(self._means.streams.get_archive, uuid, path)
        resp.content_type = "application/x-tar"
        resp.set_header(STAT_HEADER, base64.b64encode(json.dumps(found.stat).encode()).decode())
        resp.data = found.content

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "put_archive")
        path = archives.checked_path(req.get_param("path"))
        if req.content_length is None or req.content_length > archives.MAX_BYTES:
            raise errors.Invalid(f"An archive has a length, of at most {archives.MAX_BYTES} bytes.")
        content = await req.stream.read()
        await self._means.run(self._means.streams.put_archive, uuid, path, content)
        resp.status = falcon.HTTP_204


class Resize(Resource):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "resize")
        height, width = _size(await _body(req))
        await self._means.run(self._means.streams.resize, uuid, height, width)
        resp.status = falcon.HTTP_204


class Execs(Resource):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str) -> None:
        self._means.allow(req, uuid, "create_exec")
        body = await _body(req)
        command, terminal = body.get("command"), body.get("terminal", True)
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise errors.Invalid("command is a list of at least one text.")
        if any("\0" in word for word in command) or not isinstance(terminal, bool):
            raise errors.Invalid("A command cannot hold a zero byte, and terminal is true or false.")
        resp.media = {"exec_id": await self._means.run(self._means.streams.create_exec, uuid, command, terminal)}
        resp.status = falcon.HTTP_201


class ExecResize(Resource):
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, uuid: str, exec_id: str) -> None:
        self._means.allow(req, uuid, "execute_resize")
        height, width = _size(await _body(req))
        await self._means.run(self._means.streams.resize_exec, uuid, exec_id, height, width)
        resp.status = falcon.HTTP_204


class Attach(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str) -> None:
        try:
            self._means.allow(req, uuid, "attach")
            duplex = await opened(self._means, self._means.streams.attach(uuid))
        except errors.ZunError as error:
            await refuse(ws, uuid, error)
            return
        await carry(self._means, ws, duplex, pump)


class ExecStream(Resource):
    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str, exec_id: str) -> None:
        await run_exec(self._means, req, ws, uuid, exec_id, pump)


async def run_exec(
    means: Means, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, uuid: str, exec_id: str, carrying: Carry
) -> None:
    """Start a command and carry its streams; it is hung up on if its client left first."""
    try:
        if means.allow(req, uuid, "execute").get("exec_id") != exec_id:
            raise errors.Forbidden("The grant is for another command.")
    except errors.ZunError as error:
        await refuse(ws, uuid, error)
        return
    execs, streams = means.execs, means.streams
    execs.note(exec_id, uuid)
    try:
        duplex = await opened(means, streams.start_exec(uuid, exec_id))
    except errors.ZunError as error:
        execs.forget(exec_id)
        await refuse(ws, uuid, error)
        return
    if await carry(means, ws, duplex, carrying):
        execs.forget(exec_id)
    else:
        await means.run(execs.hang_up, [(exec_id, uuid)], streams)


async def opened(means: Means, opening: Any) -> Duplex:
    if means.open >= MAX_STREAMS:
        opening.close()
        raise errors.TooMany("The host holds too many streams already.")
    return await opening


async def carry(means: Means, ws: falcon.asgi.WebSocket, duplex: Duplex, carrying: Carry) -> bool:
    """Accept and carry to the end; whether it was the process that ended."""
    means.open += 1
    try:
        try:
            await ws.accept()
        except (falcon.WebSocketDisconnected, OSError):
            await duplex.close()
            return False
        return await carrying(ws, duplex)
    finally:
        means.open -= 1


async def refuse(ws: falcon.asgi.WebSocket, uuid: str, error: errors.ZunError) -> None:
    """Accepted first, so that the reason gets through."""
    LOG.info("workload %s: a stream was refused: %s", uuid, error.message)
    try:
        if ws.unaccepted:
            await ws.accept()
        await ws.close(channels.CLOSE_BASE + error.status, error.message.encode()[:120].decode(errors="ignore"))
    except (falcon.WebSocketDisconnected, OSError):
        return


async def _body(req: falcon.asgi.Request) -> dict[str, Any]:
    if req.content_length is None or req.content_length > MAX_BODY_BYTES:
        raise errors.Invalid(f"A request's body has a length, of at most {MAX_BODY_BYTES} bytes.")
    body = await req.get_media()
    if not isinstance(body, dict):
        raise errors.Invalid("The body is a JSON object.")
    return body


def _size(body: dict[str, Any]) -> tuple[int, int]:
    height, width = body.get("height"), body.get("width")
    for value in (height, width):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MOST_CELLS:
            raise errors.Invalid(f"height and width are numbers from 1 to {MOST_CELLS}.")
    assert isinstance(height, int) and isinstance(width, int)
    return height, width
