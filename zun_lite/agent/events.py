# SPDX-License-Identifier: Apache-2.0
"""Follows the engine's events, so that a container that ends by itself is known at once.

Events are news, never truth: a workload that is named is looked at. After a break the stream is
taken up some time before its end, and everything is compared once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from zun_lite.agent.runtime.base import Event, Runtime
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

OVERLAP_SECONDS = 30.0
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 5.0
_REMEMBERED = 1024


class EngineEvents:
    """happened is called with each event once; connected whenever a stream has been opened anew, with
    whether the engine had been away.

    problem is the reason while the engine does not answer, else None.
    """

    def __init__(
        self, runtime: Runtime, happened: Callable[[Event], None], connected: Callable[[bool], None], clock: Clock
    ) -> None:
        self._runtime = runtime
        self._happened = happened
        self._connected = connected
        self._clock = clock
        self._stopping = threading.Event()
        self._since: float | None = None
        self._heard: dict[Event, None] = {}
        self.problem: str | None = None

    def start(self) -> None:
        threading.Thread(target=self._serve, name="events", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _serve(self) -> None:
        wait = FIRST_RETRY_SECONDS
        while not self._stopping.is_set():
            opened_at = self._clock.monotonic()
            try:
                self._follow()
            except errors.ZunError as error:
                if self.problem is None:
                    LOG.warning("%s", error.message)
                self.problem = error.message
            except Exception:
                LOG.exception("the engine's events cannot be followed")
                self.problem = "The host's Docker Engine cannot be followed."
            held = self._clock.monotonic() - opened_at > MAX_RETRY_SECONDS
            wait = FIRST_RETRY_SECONDS if held else min(MAX_RETRY_SECONDS, wait * 2)
            self._stopping.wait(wait)

    def _follow(self) -> None:
        # a call that answers at once tells a dead engine from one where nothing happens
        self._runtime.inventory()
        since = self._since if self._since is not None else self._clock.now()
        stream = self._runtime.events(since - OVERLAP_SECONDS if self._since is not None else since)
        self._since = since
        was_away, self.problem = self.problem is not None, None
        if was_away:
            LOG.info("the engine answers again")
        self._connected(was_away)
        for event in stream:
            if self._stopping.is_set():
                return
            self._since = max(self._since, event.at_seconds)
            if event in self._heard:
                continue
            self._remember(event)
            self._happened(event)

    def _remember(self, event: Event) -> None:
        self._heard[event] = None
        while len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
