# SPDX-License-Identifier: Apache-2.0
"""Websockets with the caller's own token: exec and attach in channels (domain/channels.py), a TCP port bare.

An exec's first message is JSON, {"command": [text], "terminal": bool}. A message without bytes on a port's
websocket ends its way. What goes wrong is told by a status, where there are channels, and by the close code.
A command that is to read nothing needs no websocket: see flows.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import falcon
import falcon.asgi

from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway import refusals
from zun_lite.gateway.openings import Opening, Openings
from zun_lite.gateway.relay import relay
from zun_lite.gateway.target import Connect

LOG = logging.getLogger(__name__)

SUBPROTOCOL = "channels.zun-lite"
FIRST_MESSAGE_SECONDS = 15.0
MAX_FIRST_BYTES = 256 * 1024


class Channelled:
    """verb: of the grant. in_channels: whether its messages have channels."""

    def __init__(self, openings: Openings, origins: Origins, connect: Connect, verb: str, in_channels: bool) -> None:
        self._openings = openings
        self._origins = origins
        self._connect = connect
        self._verb = verb
        self._in_channels = in_channels

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        resp.set_header("Upgrade", "websocket")
        raise falcon.HTTPError(426, description="This stream is opened with a websocket.")

    async def on_websocket(self, req: falcon.asgi.Request, ws: falcon.asgi.WebSocket, ident: str) -> None:
        unknown = bool(ws.subprotocols) and SUBPROTOCOL not in ws.subprotocols
        if unknown or not self._origins.allow(req.get_header("Origin")):
            # before the upgrade: a page of a stranger learns nothing but 403
            await ws.close()
            return
        try:
            token = req.get_header("X-Auth-Token")
            await ws.accept(subprotocol=SUBPROTOCOL if ws.subprotocols else None)
            if not token:
                raise errors.Unauthorized("The request carries no token: X-Auth-Token.")
            more = await _first_message(ws) if self._verb == "execute" else {}
            query = {"port": _port(req)} if self._verb == "port_forward" else {}
            opening = await self._openings.begin(token, self._verb, ident, query, **more)
        except errors.ZunError as error:
            await refusals.end(ws, error, in_channels=self._in_channels)
            return
        except (falcon.WebSocketDisconnected, OSError):
            return
        await self._carry(ws, opening)

    async def _carry(self, ws: falcon.asgi.WebSocket, opening: Opening) -> None:
        code, reason, refusal = 1011, "The stream broke.", None
        try:
            target = await self._connect(opening.place)
            try:
                LOG.info("workload %s: %s is open, %d in all", opening.subject, self._verb, self._openings.count)
                code, reason = await relay(ws, target, opening.cut)
                refusal = errors.Forbidden(reason) if opening.cut.done() else target.refusal
            finally:
                await target.end()
        except errors.ZunError as error:
            refusal = error
        except (falcon.WebSocketDisconnected, OSError):
            reason = "The client left."
        finally:
            self._openings.over(opening)
        LOG.info("workload %s: %s ended: %s", opening.subject, self._verb, reason)
        if refusal is not None:
            await refusals.end(ws, refusal, in_channels=self._in_channels)
        else:
            await refusals.close(ws, code, reason)


async def _first_message(ws: falcon.asgi.WebSocket) -> dict[str, Any]:
    try:
        async with asyncio.timeout(FIRST_MESSAGE_SECONDS):
            content: Any = await ws.receive_media()
    except TimeoutError:
        content = b""
    return order_of(content)


def order_of(content: bytes) -> dict[str, Any]:
    """Command and terminal, of JSON that a client sent. Invalid: it is something else."""
    try:
        if not 0 < len(content) <= MAX_FIRST_BYTES:
            raise ValueError
        body = json.loads(content)
        command, terminal = body["command"], body.get("terminal", False)
        # the API takes a body with a zero character in it for none
        if not isinstance(command, list) or any("\0" in word for word in command):
            raise ValueError
        return {"command": command, "terminal": terminal}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.Invalid('A command is JSON: {"command": [text], "terminal": true or false}.') from error


def _port(req: falcon.asgi.Request) -> int:
    text = req.get_param("port") or ""
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise errors.Invalid("port must be given: a number from 1 to 65535.")
    return int(text)
