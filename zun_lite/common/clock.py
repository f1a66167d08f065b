# SPDX-License-Identifier: Apache-2.0
"""Time, as something that is passed in."""

from __future__ import annotations

import time


class Clock:
    """The machine's clock. now() counts seconds since 1970, monotonic() since some fixed moment."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class StoppedClock(Clock):
    """A clock that moves only when told, for tests and simulations."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
