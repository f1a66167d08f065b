# SPDX-License-Identifier: Apache-2.0
"""The gateway's ASGI application: a websocket at /, as the stock client dials it.

Knows nothing of users or containers: the API says where a stream is and how long it may last, and the
host gives it. The order at a start is the client's interest: only once the process is there is the
upgrade answered, since the client then sets the size of the terminal at once. A stream that cannot be
opened is closed after the upgrade, with the reason.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import falcon
import falcon.asgi
import falcon.media

from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway.openings import Openings
from zun_lite.gateway.relay import relay
from zun_lite.gateway.target import connect

LOG = logging.getLogger(__name__)

SUBPROTOCOL = "binary"
REFUSED, UNAVAILABLE, TRY_AGAIN = 1008, 1011, 1013
CLOSE_SECONDS = 5.0
MAX_REASON_BYTES = 120


def make_app(openings: Openings, origins: Origins) -> falcon.asgi.App:
    app: falcon.asgi.App = falcon.asgi.App(middleware=Background(openings))
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = AsBytes()
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = AsBytes()
    app.add_route("/", Streams(openings, origins))
    app.add_route("/healthz", Health())
    return app


class Health:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.media = {"ok": True}


class Background:
    """Keeps what runs beside the streams running as long as the server does."""

    def __init__(self, openings: Openings) -> None:
        self._openings = openings

    async def process_startup(self, scope: Any, event: Any) -> None:
        self._openings.start()

    async def process_shutdown(self, scope: Any, event: Any) -> None:
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
        await _close(ws, code, reason)


async def _refuse(ws: falcon.asgi.WebSocket, subprotocol: str | None, error: errors.ZunError) -> None:
    LOG.info("a stream was refused: %s", error.message)
    code = TRY_AGAIN if isinstance(error, errors.TooMany) else REFUSED if error.status < 500 else UNAVAILABLE
    try:
        if ws.unaccepted:
            await ws.accept(subprotocol=subprotocol)
    except (falcon.WebSocketDisconnected, OSError):
        return
    await _close(ws, code, error.message)


async def _close(ws: falcon.asgi.WebSocket, code: int, reason: str) -> None:
    """Say goodbye, to who may not listen any more."""
    if ws.closed:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await ws.close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))
    except (falcon.WebSocketDisconnected, OSError):
        return
