# SPDX-License-Identifier: Apache-2.0
"""Volumes and snapshots of this host's pool that are to be made, copied, taken, grown or destroyed by order.

Orders come with the set and are a level: what is ordered is done once, told, and leaves the set. The pool
looks before it does anything, so that an order may be carried out again by the next agent. Two threads
do it, so that a long copy does not hold up everything else; one thing is never in the hands of both.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from zun_lite.agent.pool import AT_THE_NEXT_MOUNT
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.desired import COPY, DESTROY, GROW, MAKE, SNAPSHOT, TAKE, VolumeNews, VolumeOrder

LOG = logging.getLogger(__name__)

THREADS = 2
# How long what has to wait waits, the first time, the second, and so on.
PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0, 15.0)


class VolumePool(Protocol):
    """What is asked of the pool; everything may be asked twice. Failed: it cannot be, for this reason."""

    def make(self, volume_id: str, size_gib: int, fs_type: str) -> None: ...

    def copy(self, volume_id: str, size_gib: int, source: str) -> None:
        """source: the path of the volume or snapshot."""
        ...

    def snapshot(self, snapshot_id: str, volume_id: str) -> None: ...

    def grow(self, volume_id: str, size_gib: int) -> str:
        """now, or at the next mount."""
        ...

    def destroy_snapshot(self, snapshot_id: str) -> None: ...

    def path(self, volume_id: str) -> str: ...

    def snapshot_path(self, snapshot_id: str) -> str: ...


class VolumeKeeping:
    """tell: where news go. Nothing is begun before the first orders come."""

    def __init__(
        self, pool: VolumePool, tell: Callable[[VolumeNews], None], pauses_seconds: Sequence[float] = PAUSES_SECONDS
    ) -> None:
        self._pool = pool
        self._tell = tell
        self._pauses_seconds = pauses_seconds
        self._changed = threading.Condition()
        self._orders: dict[tuple[str, str], VolumeOrder] = {}
        self._due: list[tuple[str, str]] = []
        self._busy: set[tuple[str, str]] = set()
        self._waited: dict[tuple[str, str], int] = {}
        self._threads = 0
        self._stopping = False

    def accept(self, orders: Iterable[VolumeOrder]) -> None:
        """Those of a new set."""
        after = {(order.kind, order.uuid): order for order in orders}
        with self._changed:
            before, self._orders = self._orders, after
            for key, order in after.items():
                if before.get(key) != order and key not in self._due:
                    self._due.append(key)
            while self._due and self._threads < THREADS and not self._stopping:
                self._threads += 1
                threading.Thread(target=self._serve, name=f"volumes-{self._threads}", daemon=True).start()
            self._changed.notify_all()

    def stop(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wait_until_idle(self, timeout_seconds: float) -> bool:
        """Whether nothing is due or under way, within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._due and not self._busy, timeout_seconds)

    def _serve(self) -> None:
        while (order := self._take()) is not None:
            again = False
            try:
                again = self._work(order)
            except Exception:
                LOG.exception("%s %s: its order broke", order.kind, order.uuid)
                self._tell(_news(order, "The host failed; its log says why."))
            self._done(order, again)

    def _take(self) -> VolumeOrder | None:
        with self._changed:
            while not self._stopping:
                for key in self._due:
                    if key not in self._busy:
                        self._due.remove(key)
                        order = self._orders.get(key)
                        if order is None:
                            break
                        self._busy.add(key)
                        return order
                else:
                    self._changed.wait()
                self._changed.notify_all()
            return None

    def _done(self, order: VolumeOrder, again: bool) -> None:
        key = (order.kind, order.uuid)
        with self._changed:
            self._busy.discard(key)
            times = self._waited.pop(key, 0)
            if again:
                self._waited[key] = times + 1
            self._changed.notify_all()
        if again:
            pause_seconds = self._pauses_seconds[min(times, len(self._pauses_seconds) - 1)]
            timer = threading.Timer(pause_seconds, self._retry, (order,))
            timer.daemon = True
            timer.start()

    def _retry(self, order: VolumeOrder) -> None:
        key = (order.kind, order.uuid)
        with self._changed:
            if self._orders.get(key) != order:
                self._waited.pop(key, None)
            elif key not in self._due:
                self._due.append(key)
                self._changed.notify_all()

    def _work(self, order: VolumeOrder) -> bool:
        """Whether it is to be tried again later."""
        crash.point("agent.volume.before")
        try:
            how = self._perform(order)
        except (errors.Unavailable, errors.Busy) as error:
            LOG.warning("%s %s: %s has to wait: %s", order.kind, order.uuid, order.act, error.message)
            return True
        except errors.ZunError as error:
            LOG.warning("%s %s: %s failed: %s", order.kind, order.uuid, order.act, error.message)
            self._tell(_news(order, error.message))
            return order.act == DESTROY
        crash.point("agent.volume.done")
        LOG.info("%s %s: %s is done%s", order.kind, order.uuid, order.act, f", {how}" if how else "")
        self._tell(replace(_news(order), later=how == AT_THE_NEXT_MOUNT))
        return False

    def _perform(self, order: VolumeOrder) -> str:
        """When it takes effect, where that is not the same for all."""
        pool = self._pool
        if order.act == MAKE or (order.act == GROW and not order.made):
            pool.make(order.uuid, order.size_gib, order.fs_type)
        if order.act == GROW:
            return pool.grow(order.uuid, order.size_gib)
        if order.act == COPY:
            from_snapshot = order.source_kind == SNAPSHOT
            source = pool.snapshot_path(order.source_id) if from_snapshot else pool.path(order.source_id)
            pool.copy(order.uuid, order.size_gib, source)
        elif order.act == TAKE:
            pool.snapshot(order.uuid, order.source_id)
        elif order.act == DESTROY:
            pool.destroy_snapshot(order.uuid)
        elif order.act != MAKE:
            raise errors.Failed(f"The host does not know how to {order.act} a {order.kind}; update it.")
        return ""


def _news(order: VolumeOrder, problem: str | None = None) -> VolumeNews:
    return VolumeNews(order.uuid, order.kind, order.attempt, problem)
