# SPDX-License-Identifier: Apache-2.0
"""The API's orders to remove what a host lost to a newer epoch, behind a brake.

Many such orders at once are rather the sign of a fault elsewhere, a database restored from an old
copy for one, than of a true loss; they are not followed until the operator says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from zun_lite.common.clock import Clock

LOG = logging.getLogger(__name__)

AT_LEAST, SHARE = 3, 0.2
WINDOW_SECONDS = 60.0


def most_at_once(hosted: int) -> int:
    """How many of a host's workloads one pass may remove."""
    return max(AT_LEAST, int(SHARE * hosted))


class Removals:
    """Orders not yet carried out. allowed_once: whether the operator lets the next batch through."""

    def __init__(self, clock: Clock, allowed_once: Callable[[], bool]) -> None:
        self._clock = clock
        self._allowed_once = allowed_once
        self._lock = threading.Lock()
        self._pending: dict[str, int] = {}
        self._lately: dict[str, float] = {}
        self._refused: frozenset[str] = frozenset()

    def order(self, orders: list[tuple[str, int]], hosted: int) -> list[str]:
        """Take orders; answers the workloads to remove, none when the brake holds."""
        if not orders:
            return []
        now = self._clock.monotonic()
        with self._lock:
            self._lately = {uuid: at for uuid, at in self._lately.items() if at > now - WINDOW_SECONDS}
            wanted = frozenset(self._lately) | {uuid for uuid, _ in orders}
            if len(wanted) > most_at_once(hosted) and not self._allowed_once():
                self._refuse(wanted, hosted)
                return []
            self._refused = frozenset()
            for uuid, epoch in orders:
                self._pending[uuid] = max(epoch, self._pending.get(uuid, 0))
                self._lately[uuid] = now
        return [uuid for uuid, _ in orders]

    def pending(self, uuid: str) -> int | None:
        """Up to which epoch a workload's container is to go, if it is."""
        return self._pending.get(uuid)

    def done(self, uuid: str) -> None:
        with self._lock:
            self._pending.pop(uuid, None)

    def _refuse(self, wanted: frozenset[str], hosted: int) -> None:
        if wanted == self._refused:
            return
        self._refused = wanted
        LOG.error(
            "orders to remove %s of %s containers at once are not followed; if they are right, make the empty file "
            "allow-removals in the agent's journal folder",
            len(wanted),
            hosted,
        )
