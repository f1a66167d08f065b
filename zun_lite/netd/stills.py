# SPDX-License-Identifier: Apache-2.0
"""Volumes that are held still while somebody copies them, each with a moment at which it goes on by itself.

Whoever asked may have died, and a container must not wait for it for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Stills:
    """What is held, by volume."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[str, tuple[threading.Timer, Callable[[], None]]] = {}

    def begin(self, volume_id: str, seconds: float, let_go: Callable[[], None]) -> None:
        """Note that a volume is held; let_go is called once, by end() or when the time is over."""
        timer = threading.Timer(seconds, self._overdue, (volume_id, seconds))
        timer.daemon = True
        with self._changed:
            self._held[volume_id] = timer, let_go
        timer.start()

    def end(self, volume_id: str) -> bool:
        """Let a volume go on; whether it had been held until now."""
        with self._changed:
            timer, let_go = self._held.get(volume_id, (None, None))
            if timer is None or let_go is None:
                return False
            timer.cancel()
            try:
                let_go()
            finally:
                del self._held[volume_id]
                self._changed.notify_all()
        return True

    def end_all(self) -> None:
        with self._changed:
            volumes = list(self._held)
        for volume_id in volumes:
            self.end(volume_id)

    def wait(self, volume_id: str, timeout_seconds: float) -> bool:
        """Wait until a volume is not held; whether that is so."""
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            return self._changed.wait_for(lambda: volume_id not in self._held, deadline - time.monotonic())

    def _overdue(self, volume_id: str, seconds: float) -> None:
        if self.end(volume_id):
            LOG.warning("volume %s goes on after %.0f s; whoever copies it did not end in time", volume_id, seconds)
