# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: status changes of the caller's workloads, resumable by their numbers.

    GET /v1/events        Last-Event-ID: the number after which to go on (or ?since=)

One question a second to the API serves all listeners of all projects. A listener that does not read is not
asked for: SQL keeps what it missed. Numbers are those of one project; what is older than a day is forgotten,
and a listener that comes back later gets an event `gap` first, which says: read the list anew.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from typing import Any, Protocol

import falcon.asgi

from zun_lite.domain import errors
from zun_lite.gateway.bodies import Body
from zun_lite.gateway.openings import Openings

LOG = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
PING_SECONDS = 15.0
MOST_WAITING = 200
PROJECTS_AT_ONCE = 500
LAST_EVENT_ID = "Last-Event-ID"


class Api(Protocol):
    def changes(self, since: dict[str, int | None]) -> dict[str, Any]: ...


class Listener:
    """One client. seen: the number up to which all is in waiting, or was sent."""

    def __init__(self, project_id: str, seen: int) -> None:
        self.project_id = project_id
        self.seen = seen
        self.waiting: deque[bytes] = deque()
        self.more = asyncio.Event()

    def greet(self) -> None:
        self.waiting.append(b"retry: 2000\n" + _event("ready", {"project_id": self.project_id}, self.seen))

    def take(self, found: dict[str, Any], *, resumed: bool = False) -> None:
        """What was found after its number, or after that of another listener of the project."""
        is_gap = resumed and not found["complete"]
        if is_gap:
            self.waiting.append(_event("gap", {"since": self.seen}, found["revision"]))
        self.waiting.extend(_event("status", item, item["id"]) for item in found["events"] if item["id"] > self.seen)
        self.seen = found["revision"] if is_gap else max(self.seen, found["revision"])
        if self.waiting:
            self.more.set()

    async def next(self) -> bytes:
        """What waits, or a comment when nothing has come for a while, by which a lost client is noticed."""
        if not self.waiting:
            self.more.clear()
            try:
                async with asyncio.timeout(PING_SECONDS):
                    await self.more.wait()
            except TimeoutError:
                return b": still here\n\n"
        content = b"".join(self.waiting)
        self.waiting.clear()
        return content


class Feed:
    def __init__(self, api: Api, openings: Openings, every_seconds: float = EVERY_SECONDS) -> None:
        self._api = api
        self._openings = openings
        self._every_seconds = every_seconds
        self._listeners: set[Listener] = set()
        self._some = asyncio.Event()

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        since = _since(req)
        opening = await self._openings.begin(req.get_header("X-Auth-Token") or "", "events", "", {})
        try:
            found = (await self._openings.ask(self._api.changes, {opening.subject: since})).get(opening.subject)
        except BaseException:
            self._openings.over(opening)
            raise
        listener = Listener(opening.subject, found["revision"] if since is None else since)
        listener.greet()
        if since is not None and found is not None:
            listener.take(found, resumed=True)
        self._listeners.add(listener)
        self._some.set()

        async def end() -> None:
            self._listeners.discard(listener)

        def last_words(reason: str) -> bytes:
            return _event("end", {"reason": reason}, None)

        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.stream = Body(req, self._openings, opening, listener.next, end, last_words)

    async def keep_asking(self) -> None:
        """For as long as the server runs."""
        while True:
            if not self._listeners:
                self._some.clear()
                await self._some.wait()
            try:
                await self._ask_once()
            except errors.ZunError as error:
                LOG.debug("events come later: %s", error.message)
            await asyncio.sleep(self._every_seconds)

    async def _ask_once(self) -> None:
        wanted: dict[str, int | None] = {}
        ready = [listener for listener in self._listeners if len(listener.waiting) < MOST_WAITING]
        for listener in ready:
            known = wanted.get(listener.project_id)
            wanted[listener.project_id] = listener.seen if known is None else min(known, listener.seen)
        projects = list(wanted.items())
        for start in range(0, len(projects), PROJECTS_AT_ONCE):
            some = dict(projects[start : start + PROJECTS_AT_ONCE])
            found = await self._openings.tend(self._api.changes, some)
            for listener in ready:
                if listener.project_id in found:
                    listener.take(found[listener.project_id])


def _event(name: str, content: dict[str, Any], number: int | None) -> bytes:
    numbered = f"id: {number}\n" if number is not None else ""
    return f"{numbered}event: {name}\ndata: {json.dumps(content)}\n\n".encode()


def _since(req: falcon.asgi.Request) -> int | None:
    text = req.get_header(LAST_EVENT_ID) or req.get_param("since") or ""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise errors.Invalid(f"{LAST_EVENT_ID} is the number of an event that was seen.")
    return int(text)
