# SPDX-License-Identifier: Apache-2.0
"""The streams that are open at this gateway: opened with the API's leave, and held to it.

Every check_seconds the API is asked whether each may go on; one that it says no of, and one of which
it said nothing for TRUST_SECONDS, is cut. So a stream ends within 35 seconds after its user's right to
it, and an API that is away for longer than some ten seconds ends them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlencode

from zun_lite.client.streams import Begun, Place
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

NOWHERE = Place("", "")
TRUST_SECONDS = 33.0
RETRY_SECONDS = 2.0
BATCH = 100
THREADS = 4
# one each for checking, releasing and what events are made of
TENDING_THREADS = 3
UNVERIFIED = "Whether the stream may go on cannot be found out now; open it again."


class StreamsApi(Protocol):
    """What is asked of the API; client.streams does it."""

    def open(self, secret: str, workload_uuid: str, exec_id: str | None) -> Place: ...

    def begin(self, user_token: str, verb: str, ident: str, **more: Any) -> Begun: ...

    def check(self, secrets: list[str]) -> dict[str, str]: ...

    def release(self, secrets: list[str]) -> None: ...


@dataclass(eq=False)
class Opening:
    """One open stream. cut: gets the reason when it must end. checked_at: when it was last known to be allowed.

    subject: the workload's uuid, or the project of an event stream, which has no place.
    """

    secret: str
    place: Place
    checked_at: float
    subject: str = ""
    cut: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Openings:
    def __init__(self, api: StreamsApi, most: int, check_seconds: float, trust_seconds: float = TRUST_SECONDS) -> None:
        self._api = api
        self._most = most
        self._check_seconds = check_seconds
        self._trust_seconds = trust_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        self._tending = ThreadPoolExecutor(TENDING_THREADS, thread_name_prefix="tending")
        self._open: set[Opening] = set()
        self._opening = 0
        self._ended: list[str] = []
        self._some_ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def count(self) -> int:
        return len(self._open)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(work()) for work in (self._keep_checking, self._keep_releasing)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        ended, self._ended = [*self._ended, *(opening.secret for opening in self._open)], []
        for start in range(0, len(ended), BATCH):
            try:
                await self.tend(self._api.release, ended[start : start + BATCH])
            except errors.ZunError:
                # they stop counting by themselves, soon
                break

    async def open(self, secret: str, workload_uuid: str, exec_id: str | None) -> Opening:
        """Spend a secret. TooMany: this gateway is full, the secret is as good as before."""
        with self._room():
            began = asyncio.get_running_loop().time()
            place = await self.ask(self._api.open, secret, workload_uuid, exec_id)
            return self._add(Opening(secret, place, began, workload_uuid))

    async def begin(self, user_token: str, verb: str, ident: str, query: dict[str, Any], **more: Any) -> Opening:
        """Open a stream with a user's own token. query: what the host is told, too. Refused: the API says no."""
        if not user_token:
            raise errors.Unauthorized("The request carries no token: X-Auth-Token.")
        with self._room():
            began = asyncio.get_running_loop().time()
            begun = await self.ask(functools.partial(self._api.begin, user_token, verb, ident, **more))
            place = begun.place or NOWHERE
            if query:
                place = replace(place, url=f"{place.url}?{urlencode(query)}")
            return self._add(Opening(begun.secret, place, began, begun.uuid or begun.project_id))

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        if len(self._open) + self._opening >= self._most:
            raise errors.TooMany("The gateway has no room for another stream now; try again later.")
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def _add(self, opening: Opening) -> Opening:
        self._open.add(opening)
        return opening

    def over(self, opening: Opening) -> None:
        """The stream has ended."""
        self._open.discard(opening)
        self._ended.append(opening.secret)
        self._some_ended.set()

    async def _keep_checking(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            while not await self._check():
                await asyncio.sleep(RETRY_SECONDS)

    async def _check(self) -> bool:
        """Look at all that are open; whether the API answered for all of them."""
        loop = asyncio.get_running_loop()
        waiting = list(self._open)
        answered = True
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            began = loop.time()
            try:
                ended = await self.tend(self._api.check, [opening.secret for opening in batch])
            except errors.ZunError as error:
                LOG.warning("%d streams could not be checked: %s", len(batch), error.message)
                answered = False
                break
            for opening in batch:
                opening.checked_at = began
                if opening.secret in ended:
                    _cut(opening, ended[opening.secret])
        for opening in waiting:
            if loop.time() - opening.checked_at > self._trust_seconds:
                _cut(opening, UNVERIFIED)
        return answered

    async def _keep_releasing(self) -> None:
        while True:
            await self._some_ended.wait()
            self._some_ended.clear()
            ended, self._ended = self._ended, []
            for start in range(0, len(ended), BATCH):
                try:
                    await self.tend(self._api.release, ended[start : start + BATCH])
                except errors.ZunError as error:
                    LOG.debug("streams that ended count a while longer: %s", error.message)

    async def ask(self, work: Callable[..., Any], *arguments: Any) -> Any:
        of_this_request = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._threads, of_this_request, work, *arguments)

    async def tend(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """As ask, for what the open streams live by: it never waits for those that are being opened."""
        return await asyncio.get_running_loop().run_in_executor(self._tending, work, *arguments)


def _cut(opening: Opening, reason: str) -> None:
    if not opening.cut.done():
        opening.cut.set_result(reason)
