# SPDX-License-Identifier: Apache-2.0
"""The gateway's ASGI application: a websocket at /, as the stock client dials it, and paths of its own at /v1.

Knows nothing of users or containers: the API says where a stream is and how long it may last, and the
host gives it. At / the order at a start is the stock client's interest: only once the process is there is
the upgrade answered, since that client then sets the size of the terminal at once. A stream that cannot be
opened is closed after the upgrade, with the reason.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import falcon
import falcon.asgi
import falcon.media

from zun_lite.client.streams import Place
from zun_lite.common import request_ids
from zun_lite.common.request_ids import RequestIds
from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway import refusals
from zun_lite.gateway.bodies import LEFT, RECEIVE
from zun_lite.gateway.channelled import Channelled
from zun_lite.gateway.feed import Feed
from zun_lite.gateway.flows import Flows
from zun_lite.gateway.openings import Openings
from zun_lite.gateway.refusals import Broken
from zun_lite.gateway.relay import relay
from zun_lite.gateway.target import Connect, Target, connect

LOG = logging.getLogger(__name__)

SUBPROTOCOL = "binary"
REFUSED, UNAVAILABLE, TRY_AGAIN = 1008, 1011, 1013
PATHS = {
    "logs": "/v1/containers/{container}/logs",
    "archive": "/v1/containers/{container}/archive",
    "exec": "/v1/containers/{container}/exec",
    "attach": "/v1/containers/{container}/attach",
    "port-forward": "/v1/containers/{container}/port-forward",
    "events": "/v1/events",
}


def make_app(openings: Openings, origins: Origins, feed: Feed) -> Edge:
    app: falcon.asgi.App = falcon.asgi.App(middleware=[Background(openings, feed), NoteRequest()])
    app.req_options.strip_url_path_trailing_slash = True
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = AsBytes()
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = AsBytes()
    app.add_route("/", Streams(openings, origins))
    app.add_route("/healthz", Health())

    async def dial(place: Place) -> Target:
        return await connect(place)

    one = "/v1/containers/{ident}"
    flows = Flows(openings, dial)
    app.add_route("/v1", Document())
    app.add_route("/v1/events", feed)
    app.add_route(f"{one}/logs", flows, suffix="logs")
    app.add_route(f"{one}/archive", flows, suffix="archive")
    app.add_route(f"{one}/exec", Commands(openings, origins, dial, flows))
    app.add_route(f"{one}/attach", Channelled(openings, origins, dial, "attach", in_channels=True))
    app.add_route(f"{one}/port-forward", Channelled(openings, origins, dial, "port_forward", in_channels=False))
    app.add_error_handler(falcon.HTTPError, refusals.answer_http_error)
    app.add_error_handler(errors.ZunError, refusals.answer_error)
    return Edge(app)


class Edge:
    """The application as the server sees it: it lets bodies hear their clients leave, and break off."""

    def __init__(self, app: falcon.asgi.App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def receive_and_note() -> dict[str, Any]:
            event: dict[str, Any] = await receive()
            if event["type"] == "http.disconnect":
                scope[LEFT] = True
            return event

        scope[RECEIVE] = receive_and_note
        try:
            await self._app(scope, receive_and_note, send)
        except Broken as error:
            LOG.info("an answer was broken off: %s", error)


class Commands(Channelled):
    """With what a client types, by a websocket; without, by a POST."""

    def __init__(self, openings: Openings, origins: Origins, connect: Connect, flows: Flows) -> None:
        super().__init__(openings, origins, connect, "execute", in_channels=True)
        self._flows = flows

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        await self._flows.run_command(req, resp, ident)


class Document:
    """GET /v1: what is here, for who has no token yet."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"id": "v1", "name": "zun_lite streams", "status": "CURRENT", "paths": PATHS}


class Health:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"ok": True}


class NoteRequest:
    """What the API is asked for a request bears the id that came along with it."""

    async def process_request(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        self._note(req)

    async def process_request_ws(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        self._note(req)

    def _note(self, req: falcon.asgi.Request) -> None:
        request_ids.begin(RequestIds(given=request_ids.as_given(req.get_header(request_ids.HEADER))))


class Background:
    """Keeps what runs beside the streams running as long as the server does."""

    def __init__(self, openings: Openings, feed: Feed) -> None:
        self._openings = openings
        self._feed = feed
        self._asking: asyncio.Task[None] | None = None

    async def process_startup(self, scope: Any, event: Any) -> None:
        self._openings.start()
        self._asking = asyncio.create_task(self._feed.keep_asking())

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        if self._asking is not None:
            self._asking.cancel()
        await self._openings.stop()


class AsBytes(falcon.media.TextBaseHandlerWS, falcon.media.BinaryBaseHandlerWS):  # type: ignore[misc]
    """What a client types, whether it sends it as binary or, as some consoles do, as text."""

    def serialize(self, media: object, content_type: str | None = None) -> Any:
        return media

    def deserialize(self, payload: Any, content_type: str | None = None) -> Any:
        return payload.encode() if isinstance(payload, str) else payload


class Streams:
    def __init__(self, openings: Openings, origins: Origins) -> None:
        self._openings = openings
        self._origins = origins

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.status = falcon.HTTP_426
        resp.set_header("Upgrade", "websocket")
        resp.media = {"error": {"code": 426, "message": "Streams are opened with a websocket."}}

    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket) -> None:
        unknown = bool(ws.subprotocols) and SUBPROTOCOL not in ws.subprotocols
        if unknown or not self._origins.allow(req.get_header("Origin")):
            # before the upgrade: a page of a stranger learns nothing but 403
            await ws.close()
            return
        subprotocol = SUBPROTOCOL if ws.subprotocols else None
        secret, uuid, exec_id = (req.get_param(name) or "" for name in ("token", "uuid", "exec_id"))
        try:
            opening = await self._openings.open(secret, uuid, exec_id or None)
        except errors.ZunError as error:
            await _refuse(ws, subprotocol, error)
            return
        code, reason = UNAVAILABLE, "The stream broke."
        try:
            target = await connect(opening.place)
            try:
                await ws.accept(subprotocol=subprotocol)
                LOG.info("workload %s: a stream is open, %d in all", uuid, self._openings.count)
                code, reason = await relay(ws, target, opening.cut)
            finally:
                await target.end()
        except errors.ZunError as error:
            await _refuse(ws, subprotocol, error)
            return
        except (falcon.WebSocketDisconnected, OSError):
            reason = "The client left."
        finally:
            self._openings.over(opening)
        LOG.info("workload %s: a stream ended: %s", uuid, reason)
        await refusals.close(ws, code, reason)


async def _refuse(ws: falcon.asgi.WebSocket, subprotocol: str | None, error: errors.ZunError) -> None:
    LOG.info("a stream was refused: %s", error.message)
    code = TRY_AGAIN if isinstance(error, errors.TooMany) else REFUSED if error.status < 500 else UNAVAILABLE
    try:
        if ws.unaccepted:
            await ws.accept(subprotocol=subprotocol)
    except (falcon.WebSocketDisconnected, OSError):
        return
    await refusals.close(ws, code, error.message)
