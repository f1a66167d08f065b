# SPDX-License-Identifier: Apache-2.0
"""What this host is doing about its workloads now, for whoever asks. In memory, one note a workload.

Nothing is sent anywhere: who does not ask costs nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zun_lite.common.clock import Clock
from zun_lite.domain.host_work import HostWork, Layer


@dataclass
class _Note:
    """Moments are the clock's monotonic ones."""

    steps: tuple[str, ...] = ()
    at: int = 0
    since: float = 0.0
    error: str = ""
    again_at: float | None = None


class Progress:
    """layers: of the image that a workload waits for."""

    def __init__(self, clock: Clock, layers: Callable[[str], tuple[Layer, ...]]) -> None:
        self._clock = clock
        self._layers = layers
        self._lock = threading.Lock()
        self._notes: dict[str, _Note] = {}

    def begin(self, uuid: str, steps: Sequence[object]) -> None:
        """A plan is carried out from its first step on. A wait that goes on began when it began."""
        with self._lock:
            before = self._notes.get(uuid)
            told = tuple(str(step) for step in steps)
            if before is not None and before.steps == told and before.at == 0 and not before.error:
                return
            self._notes[uuid] = _Note(told, since=self._clock.monotonic())

    def reach(self, uuid: str, at: int) -> None:
        with self._lock:
            note = self._notes.get(uuid)
            if note is not None and note.at != at:
                note.at, note.since = at, self._clock.monotonic()

    def fail(self, uuid: str, error: str, again_seconds: float | None) -> None:
        """The step that was reached failed, or nothing could be planned. again_seconds: None, it is given up."""
        now = self._clock.monotonic()
        with self._lock:
            note = self._notes.setdefault(uuid, _Note(since=now))
            note.error, note.again_at = error, None if again_seconds is None else now + again_seconds

    def end(self, uuid: str) -> None:
        """All is done, or the workload is not this host's any more."""
        with self._lock:
            self._notes.pop(uuid, None)

    def tell(self, uuid: str) -> HostWork:
        now = self._clock.monotonic()
        with self._lock:
            note = self._notes.get(uuid)
            if note is None:
                return HostWork()
            again = None if note.again_at is None else max(0.0, note.again_at - now)
            work = (note.steps, note.at, now - note.since, note.error, again)
        return HostWork(*work, layers=self._layers(uuid))
