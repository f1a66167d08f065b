# SPDX-License-Identifier: Apache-2.0
"""Requests that take long, for a host answers or bytes come: never so many that no thread is left for short ones.

Hosts' own heartbeats are short ones. Were all threads waiting for commands of users, no heartbeat would be
heard, and every host be taken for lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from zun_lite.domain import errors

LEFT_FREE = 2
PATIENCE_SECONDS = 1.0


class Waits:
    """One a process. threads: that it has for all requests."""

    def __init__(self, threads: int) -> None:
        self._places = threading.BoundedSemaphore(max(1, threads - LEFT_FREE))

    @contextmanager
    def one(self) -> Iterator[None]:
        """For the length of a block. Busy: too many wait already."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def take(self) -> None:
        if not self._places.acquire(timeout=PATIENCE_SECONDS):
            raise errors.Busy("Too many requests that take long are under way at the moment; try again soon.")

    def give_back(self) -> None:
        self._places.release()
