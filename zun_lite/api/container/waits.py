# SPDX-License-Identifier: Apache-2.0
"""Requests that wait for a host's answer: not so many at once that no thread is left for short ones.

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
        if not self._places.acquire(timeout=PATIENCE_SECONDS):
            raise errors.Busy("Too many requests wait for hosts at the moment; try again soon.")
        try:
            yield
        finally:
            self._places.release()
