# SPDX-License-Identifier: Apache-2.0
"""Logs, archives and commands that read nothing over HTTP, with the caller's own token.

    POST /v1/containers/{ident}/exec             {"command": [text]}: what it says, in frames, and its status
    GET /v1/containers/{ident}/logs?follow=&since=&tail=&timestamps=&stdout=&stderr=&format=text|frames
    GET /v1/containers/{ident}/archive?path=     a tar; X-Zun-Lite-Stat is what is known of the path
    PUT /v1/containers/{ident}/archive?path=     unpacks a plain tar in that folder: 204

An answer that breaks off, or is cut, ends without the end that HTTP has, so that nobody takes it for whole.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi

from zun_lite.domain import archives, channels, errors
from zun_lite.gateway.bodies import LEFT, Body
from zun_lite.gateway.channelled import MAX_FIRST_BYTES, order_of
from zun_lite.gateway.openings import Opening, Openings
from zun_lite.gateway.refusals import Broken, item_of
from zun_lite.gateway.target import Connect, Target

STAT_HEADER = "X-Zun-Lite-Stat"
UPLOAD_BYTES = 256 * 1024
# how long what a client still sends after a refusal is thrown away, so that it hears the refusal
DRAIN_SECONDS = 2.0
_FORMATS = ("text", "frames")


class Flows:
    def __init__(self, openings: Openings, connect: Connect) -> None:
        self._openings = openings
        self._connect = connect

    async def on_get_logs(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        framed = _format(req) == "frames"
        opening, target = await self._open(req, "logs", ident, _log_query(req))

        async def read() -> bytes | None:
            content = await target.receive()
            if content:
                channel, said = channels.split(content)
                return _framed(content) if framed else said
            if content is None:
                # no message without bytes came, which says that the log has ended
                raise Broken(target.reason or "The container's host hung up.")
            return None

        resp.content_type = channels.FRAMES_TYPE if framed else "text/plain; charset=utf-8"
        resp.set_header("Cache-Control", "no-store")
        resp.stream = Body(req, self._openings, opening, read, target.end, _cut_in_frames if framed else None)

    async def run_command(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        """One round trip for what a websocket takes several for."""
        order = order_of(await req.stream.read(MAX_FIRST_BYTES + 1))
        opening, target = await self._open(req, "execute", ident, {}, **order)
        said = _to_its_end(target)

        async def read() -> bytes | None:
            return await anext(said, None)

        resp.content_type = channels.FRAMES_TYPE
        resp.set_header("Cache-Control", "no-store")
        resp.stream = Body(req, self._openings, opening, read, target.end, _cut_in_frames)

    async def on_get_archive(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        query = {"path": archives.checked_path(req.get_param("path"))}
        opening, target = await self._open(req, "get_archive", ident, query)
        try:
            stat = await target.receive()
            if stat is None:
                raise target.refusal or errors.Unavailable("The container's host hung up; try again.")
        except BaseException:
            self._openings.over(opening)
            await target.end()
            raise

        async def read() -> bytes | None:
            content = await target.receive()
            if content is None:
                _check_end(target)
            return content

        resp.content_type = "application/x-tar"
        resp.set_header(STAT_HEADER, base64.b64encode(stat).decode())
        resp.stream = Body(req, self._openings, opening, read, target.end)

    async def on_put_archive(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, ident: str) -> None:
        query = {"path": archives.checked_path(req.get_param("path"))}
        try:
            opening, target = await self._open(req, "put_archive", ident, query)
        except errors.ZunError:
            await _drain(req)
            raise
        # a client that stops sending when it may not go on is not waited for
        opening.cut.add_done_callback(lambda cut: cut.cancelled() or asyncio.ensure_future(target.end()))
        try:
            content = await _piece(req, opening)
            _check_plain(content, req.get_header("Content-Encoding"))
            while content and await target.send(content):
                content = await _piece(req, opening)
            if not content:
                await target.send(b"")
            while await target.receive() is not None:
                continue
            if opening.cut.done():
                raise errors.Forbidden(opening.cut.result())
            if not target.ended_well:
                raise target.refusal or errors.Unavailable("The container's host hung up; try again.")
        except (errors.ZunError, falcon.HTTPError):
            await _drain(req)
            raise
        finally:
            self._openings.over(opening)
            await target.end()
        resp.status = falcon.HTTP_204

    async def _open(
        self, req: falcon.asgi.Request, verb: str, ident: str, query: dict[str, Any], **more: Any
    ) -> tuple[Opening, Target]:
        opening = await self._openings.begin(req.get_header("X-Auth-Token") or "", verb, ident, query, **more)
        try:
            return opening, await self._connect(opening.place)
        except BaseException:
            self._openings.over(opening)
            raise


async def _to_its_end(target: Target) -> AsyncIterator[bytes]:
    """Of a process that is to read nothing, in frames: what it says and how it ended.

    A refusal of its host's is a status, too, as the answer has begun.
    """
    await target.send(channels.message(channels.STDIN, b""))
    while (content := await target.receive()) is not None:
        yield _framed(content)
    if target.refusal is not None:
        yield _framed(channels.status(error=item_of(target.refusal)))
    else:
        _check_end(target)


def _framed(message: bytes) -> bytes:
    channel, said = channels.split(message)
    return channels.FRAME.pack(channel, len(said)) + said


def _cut_in_frames(reason: str) -> bytes:
    return _framed(channels.status(error=item_of(errors.Forbidden(reason))))


def _check_end(target: Target) -> None:
    if not target.ended_well:
        raise Broken(target.reason or "The container's host hung up.")


async def _piece(req: falcon.asgi.Request, opening: Opening) -> bytes:
    """What the client sent next, nothing at the end. Forbidden: the stream was cut. Invalid: the client left before."""
    reading = asyncio.ensure_future(req.stream.read(UPLOAD_BYTES))
    ends: set[asyncio.Future[Any]] = {reading, opening.cut}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    if opening.cut.done():
        raise errors.Forbidden(opening.cut.result())
    content: bytes = reading.result()
    if req.scope.get(LEFT):
        raise errors.Invalid("The archive broke off; send it again.")
    return content


def _check_plain(first: bytes, encoding: str | None) -> None:
    packed = archives.compression(first) or encoding
    if packed and packed != "identity":
        raise falcon.HTTPUnsupportedMediaType(
            description=f"The archive is compressed ({packed}); send a plain tar."
        )


async def _drain(req: falcon.asgi.Request) -> None:
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while await req.stream.read(UPLOAD_BYTES):
                continue
    except TimeoutError:
        return


def _format(req: falcon.asgi.Request) -> str:
    wanted = req.get_param("format") or "text"
    if wanted not in _FORMATS:
        raise errors.Invalid(f"format is one of {', '.join(_FORMATS)}.")
    return wanted


def _log_query(req: falcon.asgi.Request) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for name, default in (("follow", False), ("timestamps", False), ("stdout", True), ("stderr", True)):
        text = (req.get_param(name) or str(default)).lower()
        if text not in ("true", "false", "1", "0"):
            raise errors.Invalid(f"{name} is true or false.")
        query[name] = "true" if text in ("true", "1") else "false"
    tail = req.get_param("tail") or "all"
    if tail != "all":
        if not (tail.isascii() and tail.isdigit() and len(tail) < 10):
            raise errors.Invalid("tail is all, or how many of the last lines to begin with.")
        query["tail"] = tail
    since = req.get_param("since")
    if since:
        try:
            seconds = float(since)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < 1e11:
            raise errors.Invalid("since counts seconds since 1970, and may have a fraction.")
        query["since"] = since
    return query
