# SPDX-License-Identifier: Apache-2.0
"""How the gateway's own paths say no: the container API's error body over HTTP, a status and a close code over
websockets. Both bear the id by which the API's log knows the request.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import falcon
import falcon.asgi

from zun_lite.common import request_ids
from zun_lite.domain import channels, errors

CLOSE_SECONDS = 5.0
MAX_REASON_BYTES = 120
_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Broken(Exception):
    """An answer that began cannot be brought to its end; the client is to see that it is not whole."""


async def answer_error(req: Any, resp: falcon.asgi.Response, error: errors.ZunError, params: Any) -> None:
    """Falcon's handler of our errors. A websocket's are told by its own resource."""
    if resp is None:
        return
    item = item_of(error)
    resp.status = item["status"]
    if item["request_id"]:
        resp.set_header(request_ids.HEADER, item["request_id"])
    code = _CAPITALS.sub("-", error.kind).lower() if error.status < 500 else ""
    resp.media = {"errors": [{"code": f"container.{code}", **item, "detail": item["title"], "links": []}]}


async def answer_http_error(req: Any, resp: falcon.asgi.Response, error: falcon.HTTPError, params: Any) -> None:
    if resp is None:
        return
    status = falcon.http_status_to_code(error.status)
    sentence = f"There is nothing at {req.path}." if status == 404 else error.description or error.title or "Refused."
    told = errors.ZunError(sentence, kind="")
    told.status = status
    await answer_error(req, resp, told, params)


def item_of(error: errors.ZunError) -> dict[str, Any]:
    """{"status", "title", "request_id"}."""
    return {"status": error.status, "title": error.message, "request_id": getattr(error, "request_id", "")}


async def end(ws: falcon.asgi.WebSocket, error: errors.ZunError, *, in_channels: bool) -> None:
    """Tell a websocket's client why it ends."""
    try:
        if ws.unaccepted:
            await ws.accept()
        if in_channels and not ws.closed:
            async with asyncio.timeout(CLOSE_SECONDS):
                content = json.dumps({"error": item_of(error)}).encode()
                await ws.send_data(channels.message(channels.STATUS, content))
    except (falcon.WebSocketDisconnected, OSError, TimeoutError):
        return
    await close(ws, channels.CLOSE_BASE + error.status, error.message)


async def close(ws: falcon.asgi.WebSocket, code: int, reason: str) -> None:
    """Say goodbye, to who may not listen any more."""
    if ws.closed:
        return
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await ws.close(code, reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore"))
    except (falcon.WebSocketDisconnected, OSError):
        return
