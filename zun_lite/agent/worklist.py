# SPDX-License-Identifier: Apache-2.0
"""Which workloads need a look, and when: many at once, each by one thread at a time.

A workload that is marked while it is worked on is looked at once more afterwards, however often it
was marked, so that the last goal wins. Knows nothing of what the work is.
"""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zun_lite.common.clock import Clock
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

AFTER_A_FAULT_SECONDS = 30.0


class Worklist:
    """work(uuid) answers after how many seconds it wants to look again, or None."""

    def __init__(self, work: Callable[[str], float | None], threads: int, clock: Clock) -> None:
        self._work = work
        self._threads = threads
        self._clock = clock
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        # its own waiters, for one of _changed's may be told alone that there is work
        self._freed = threading.Condition(lock)
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._busy: set[str] = set()
        self._stopping = False

    def start(self) -> None:
        for number in range(self._threads):
            threading.Thread(target=self._serve, name=f"worker-{number}", daemon=True).start()

    def stop(self, timeout_seconds: float) -> bool:
        """Begin nothing more and wait for what is under way; whether all of it ended."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            self._freed.notify_all()
            return self._changed.wait_for(lambda: not self._busy, timeout_seconds)

    def mark(self, uuid: str, after_seconds: float = 0.0) -> None:
        """Look at a workload, now or later; the earliest of several wishes counts."""
        due = self._clock.monotonic() + after_seconds
        with self._changed:
            known = self._due.get(uuid)
            if known is not None and known <= due:
                return
            self._due[uuid] = due
            if uuid not in self._busy:
                heapq.heappush(self._heap, (due, uuid))
                self._changed.notify()

    @contextmanager
    def alone(self, uuid: str) -> Iterator[None]:
        """Nobody works on this workload for the length of the block; who marks it is served afterwards.

        Unavailable: no more work is begun.
        """
        with self._changed:
            self._freed.wait_for(lambda: self._stopping or uuid not in self._busy)
            if self._stopping:
                raise errors.Unavailable("The agent ends.")
            self._busy.add(uuid)
        try:
            yield
        finally:
            self._end(uuid)

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether nothing is under way or due."""
        with self._changed:
            return self._changed.wait_for(self._idle, timeout_seconds)

    def _idle(self) -> bool:
        now = self._clock.monotonic()
        return not self._busy and not any(due <= now for due in self._due.values())

    def _serve(self) -> None:
        while True:
            uuid = self._take()
            if uuid is None:
                return
            again: float | None = None
            try:
                again = self._work(uuid)
            except Exception:
                LOG.exception("workload %s: the look at it broke", uuid)
                again = AFTER_A_FAULT_SECONDS
            self._end(uuid)
            if again is not None:
                self.mark(uuid, again)

    def _take(self) -> str | None:
        with self._changed:
            while not self._stopping:
                wait = self._seconds_to_next()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, uuid = heapq.heappop(self._heap)
                del self._due[uuid]
                self._busy.add(uuid)
                return uuid
            return None

    def _seconds_to_next(self) -> float | None:
        while self._heap:
            due, uuid = self._heap[0]
            if self._due.get(uuid) == due and uuid not in self._busy:
                return due - self._clock.monotonic()
            heapq.heappop(self._heap)
        return None

    def _end(self, uuid: str) -> None:
        with self._changed:
            self._busy.discard(uuid)
            if uuid in self._due:
                heapq.heappush(self._heap, (self._due[uuid], uuid))
            self._changed.notify_all()
            self._freed.notify_all()
