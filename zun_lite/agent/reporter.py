# SPDX-License-Identifier: Apache-2.0
"""Tells the API what was observed: at once when it is quiet, in batches when it is not.

Keeps what could not be delivered until it can. Only the newest word of a workload matters, so
nothing grows while the API is away.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Protocol

from zun_lite.common import crash
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.desired import ImageNews, Inventory, Report, VolumeNews
from zun_lite.domain.lifecycle import Observed

LOG = logging.getLogger(__name__)

COALESCE_SECONDS = 0.02
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 30.0

Orders = list[tuple[str, int]]


class ReportTaker(Protocol):
    def report(self, report: Report) -> Orders: ...


class Reporter:
    """One host's reports. ordered is called with the API's orders to remove."""

    def __init__(self, api: ReportTaker, boot_id: str, ordered: Callable[[Orders], None], clock: Clock) -> None:
        self._api = api
        self._boot_id = boot_id
        self._ordered = ordered
        self._clock = clock
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._latest: dict[str, Observed] = {}
        self._told: dict[str, Observed] = {}
        self._due: dict[str, float] = {}
        self._removed: set[str] = set()
        self._images: dict[str, ImageNews] = {}
        self._volumes: dict[tuple[str, str], VolumeNews] = {}
        self._inventory: Inventory | None = None
        self._full = False
        self._stopping = False
        self._sent_at = float("-inf")

    def changed(self, uuid: str, observed: Observed, hold_seconds: float = 0.0) -> None:
        """A workload's newest word. hold_seconds: it is worth a report only if no other comes so soon."""
        due = self._clock.monotonic() + hold_seconds
        with self._changed:
            self._latest[uuid] = observed
            if self._told.get(uuid) == observed:
                self._due.pop(uuid, None)
                return
            self._due[uuid] = due
            self._changed.notify()

    def forget(self, uuid: str) -> None:
        """The workload is not this host's any more."""
        with self._changed:
            for known in (self._latest, self._told, self._due):
                known.pop(uuid, None)  # type: ignore[attr-defined]

    def removed_volume(self, volume_id: str) -> None:
        with self._changed:
            self._removed.add(volume_id)
            self._changed.notify()

    def image(self, news: ImageNews) -> None:
        with self._changed:
            self._images[news.uuid] = news
            self._changed.notify()

    def volume(self, news: VolumeNews) -> None:
        with self._changed:
            self._volumes[news.kind, news.uuid] = news
            self._changed.notify()

    def report_all(self, inventory: Inventory) -> None:
        """Send everything that is known, soon."""
        with self._changed:
            self._inventory, self._full = inventory, True
            self._changed.notify()

    def register(self, inventory: Inventory, observed: dict[str, Observed]) -> None:
        """The first report of this process, sent before anything else; raises when it was not taken."""
        with self._changed:
            self._latest.update(observed)
            self._due.clear()
        self._ordered(self._send(self._whole(inventory)))

    def start(self) -> None:
        threading.Thread(target=self._serve, name="reporter", daemon=True).start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def flush(self) -> bool:
        """Send what is due now; whether there is nothing more. For whoever runs without the thread."""
        report = self._take()
        if report is None:
            return True
        self._deliver(report)
        return False

    def _serve(self) -> None:
        failures = 0
        while self._wait():
            report = self._take()
            if report is None:
                continue
            try:
                self._deliver(report)
                failures = 0
            except errors.ZunError as error:
                failures += 1
                if failures == 1:
                    LOG.warning("a report was not taken and is kept: %s", error.message)
                self._pause(failures)
            except Exception:
                failures += 1
                LOG.exception("a report broke")
                self._pause(failures)

    def _wait(self) -> bool:
        """Until something is due, and what comes close together has come; False when it is time to end."""
        with self._changed:
            while not self._stopping:
                wait = self._seconds_to_next()
                if wait is not None and wait <= 0:
                    return True
                self._changed.wait(wait)
            return False

    def _seconds_to_next(self) -> float | None:
        now = self._clock.monotonic()
        quiet_for = self._sent_at + COALESCE_SECONDS - now
        if self._full or self._removed or self._images or self._volumes:
            return quiet_for
        return max(min(self._due.values()) - now, quiet_for) if self._due else None

    def _take(self) -> Report | None:
        now = self._clock.monotonic()
        with self._changed:
            if self._full and self._inventory is not None:
                self._full = False
                self._due.clear()
                return self._whole(self._inventory)
            ready = [uuid for uuid, due in self._due.items() if due <= now]
            for uuid in ready:
                del self._due[uuid]
            if not ready and not self._removed and not self._images and not self._volumes:
                return None
            pairs = tuple((uuid, self._latest[uuid]) for uuid in ready)
            return Report(self._boot_id, None, False, pairs, *self._besides())

    def _whole(self, inventory: Inventory) -> Report:
        with self._changed:
            pairs = tuple(self._latest.items())
            return Report(self._boot_id, inventory, True, pairs, *self._besides())

    def _besides(self) -> tuple[tuple[str, ...], tuple[ImageNews, ...], tuple[VolumeNews, ...]]:
        """What is told of volumes and images."""
        return tuple(sorted(self._removed)), tuple(self._images.values()), tuple(self._volumes.values())

    def _deliver(self, report: Report) -> None:
        try:
            orders = self._send(report)
        except errors.Invalid as error:
            orders = self._deliver_singly(report, error)
        except Exception:
            # also what was not foreseen, such as an answer of somebody in between
            self._put_back(report)
            raise
        self._ordered(orders)

    def _deliver_singly(self, report: Report, error: errors.ZunError) -> Orders:
        """One bad word must not keep all others from being heard."""
        said = len(report.workloads) + len(report.removed_volumes) + len(report.images) + len(report.volumes)
        if said <= 1:
            LOG.error("the API refuses a report for good, it is dropped: %s: %s", report.workloads, error.message)
            self._removed.difference_update(report.removed_volumes)
            self._forget_images(report.images)
            self._forget_volumes(report.volumes)
            return []
        orders: Orders = []
        for pair in report.workloads:
            single = Report(self._boot_id, None, False, (pair,))
            try:
                orders += self._send(single)
            except errors.Invalid as refused:
                LOG.error("the API refuses what is said of workload %s: %s", pair[0], refused.message)
            except errors.ZunError:
                self._put_back(single)
        for volume_id in report.removed_volumes:
            try:
                orders += self._send(Report(self._boot_id, None, False, (), (volume_id,)))
            except errors.Invalid as refused:
                LOG.error("the API refuses that volume %s is removed: %s", volume_id, refused.message)
                self._removed.discard(volume_id)
        for news in report.images:
            try:
                orders += self._send(Report(self._boot_id, None, False, (), (), (news,)))
            except errors.Invalid as refused:
                LOG.error("the API refuses what is said of image %s: %s", news.uuid, refused.message)
                self._forget_images((news,))
        for said_of in report.volumes:
            try:
                orders += self._send(Report(self._boot_id, None, False, (), volumes=(said_of,)))
            except errors.Invalid as refused:
                LOG.error("the API refuses what is said of %s %s: %s", said_of.kind, said_of.uuid, refused.message)
                self._forget_volumes((said_of,))
        return orders

    def _send(self, report: Report) -> Orders:
        with self._sending:
            crash.point("agent.report.before")
            self._sent_at = self._clock.monotonic()
            orders = self._api.report(report)
            crash.point("agent.report.after")
        with self._changed:
            self._told.update({uuid: observed for uuid, observed in report.workloads if uuid in self._latest})
            self._removed.difference_update(report.removed_volumes)
            self._forget_images(report.images)
            self._forget_volumes(report.volumes)
        return orders

    def _forget_images(self, images: tuple[ImageNews, ...]) -> None:
        """They were told; newer news of the same image stay."""
        for news in images:
            if self._images.get(news.uuid) == news:
                del self._images[news.uuid]

    def _forget_volumes(self, volumes: tuple[VolumeNews, ...]) -> None:
        for news in volumes:
            if self._volumes.get((news.kind, news.uuid)) == news:
                del self._volumes[news.kind, news.uuid]

    def _put_back(self, report: Report) -> None:
        now = self._clock.monotonic()
        with self._changed:
            self._full = self._full or report.full
            for uuid, _ in report.workloads:
                if uuid in self._latest:
                    self._due.setdefault(uuid, now)

    def _pause(self, failures: int) -> None:
        limit = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 10))
        deadline = self._clock.monotonic() + random.uniform(limit / 2, limit)
        with self._changed:
            while not self._stopping and (left := deadline - self._clock.monotonic()) > 0:
                self._changed.wait(left)
