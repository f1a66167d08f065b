# SPDX-License-Identifier: Apache-2.0
"""The controller's pass: judge hosts, provide, release, nudge. All from SQL, so it may die at any point.

A pass answers with sentences, one a change; they are the log.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from zun_lite.common import request_ids
from zun_lite.common.wake import Sleeper
from zun_lite.control import routers
from zun_lite.control.means import Means
from zun_lite.control.provision import provision, trim
from zun_lite.control.release import release
from zun_lite.db import hosts, idempotency, planes, revisions, status_events, webhook_marks, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)
BATCH = 100
TIDY_EVERY_SECONDS = 600.0


class Controller:
    """Runs passes. Several controllers may run: everything they do is guarded in SQL or idempotent."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._born = means.clock.monotonic()
        self._nudged: dict[str, int] = {}
        self._planes_seen: tuple[int, int] | None = None
        self._planes: dict[str, int] = {}
        self._tidied = self._born
        self._to_provide = _Rounds(workloads.to_provision)
        self._to_release = _Rounds(workloads.to_release)
        self._more = False

    def run(self, sleeper: Sleeper, interval_seconds: float, stopping: list[bool]) -> None:
        """Pass after pass until stopping is no longer empty; a failed pass is logged and tried again."""
        while not stopping:
            try:
                self.run_once()
            except Exception:
                LOG.exception("the pass failed; the next one tries again")
                self._more = False
            sleeper.sleep(0.0 if self._more else interval_seconds)

    def run_once(self) -> list[str]:
        """One pass over everything that waits; the sentences are logged, those of a workload with its request."""
        sentences = _said(self._judge_hosts())
        with self._means.db.read() as tx:
            waiting = self._to_provide.batch(tx)
            leaving = self._to_release.batch(tx)
            smaller = workloads.to_trim(tx)
        self._more = self._to_provide.under_way or self._to_release.under_way
        for workload in waiting:
            sentences += self._work_on(workload, provision)
            self._nudge()
        for workload in smaller:
            sentences += self._work_on(workload, trim)
        for workload in leaving:
            sentences += self._work_on(workload, release)
        sentences += _said(routers.place(self._means))
        self._nudge()
        self._nudge_for_planes()
        self._tidy()
        return sentences + _said(self._tidy_volumes())

    def _work_on(self, workload: Workload, work: Callable[[Means, Workload], str | None]) -> list[str]:
        """One step for one workload; what is wrong with it holds up no other."""
        with request_ids.working_for(workload.request_id):
            try:
                sentence = work(self._means, workload)
            except Exception:
                LOG.exception("%s: its %s failed and is tried again", workload.uuid, work.__name__)
                return []
            return _said([sentence] if sentence else [])

    def _judge_hosts(self) -> list[str]:
        """Hosts that were not heard of in time become unknown; right after a start nobody is judged."""
        timeout = self._means.host_timeout_seconds
        if self._means.clock.monotonic() - self._born < timeout:
            return []
        with self._means.db.read() as tx:
            edge = self._means.db.now(tx) - datetime.timedelta(seconds=timeout)
            silent = hosts.silent_since(tx, edge)
        lost = [host for host in silent if self._means.db.transact(partial(_lose, host=host, edge=edge))]
        return [f"host {host.name}: not heard of for {timeout:g} s, is unknown now" for host in lost]

    def _tidy(self) -> None:
        """Now and then, forget what is kept for a time only."""
        now = self._means.clock.monotonic()
        if now - self._tidied >= TIDY_EVERY_SECONDS:
            self._tidied = now
            self._means.db.transact(lambda tx: idempotency.forget_old(tx, self._means.db))
            self._means.db.transact(lambda tx: status_events.forget_old(tx, self._means.db))
            self._means.db.transact(webhook_marks.forget_idle)

    def _tidy_volumes(self) -> list[str]:
        """Give back the volumes that nobody came for."""
        try:
            return self._means.volumes.tidy()
        except errors.ZunError as error:
            return [f"volumes that nobody came for wait to be given back: {error.message}"]

    def _nudge_for_planes(self) -> None:
        """Tell the hosts that are to do something else for networks than when they were last told."""
        with self._means.db.read() as tx:
            mark = planes.mark(tx)
            if mark == self._planes_seen:
                return
            known = hosts.every(tx)
            now = {host.uuid: planes.revision(tx, host.uuid) for host in known}
        for host in known:
            if self._planes.get(host.uuid) != now[host.uuid] and host.state != hosts.UNKNOWN:
                self._means.agents.nudge(host.uuid, host.address)
        self._planes, self._planes_seen = now, mark

    def _nudge(self) -> None:
        """Tell the hosts whose set changed since they were last told."""
        with self._means.db.read() as tx:
            changed = [
                (host, revision)
                for host in hosts.every(tx)
                if (revision := revisions.current(tx, revisions.host(host.uuid))) != self._nudged.get(host.uuid)
            ]
        for host, revision in changed:
            self._nudged[host.uuid] = revision
            if host.state != hosts.UNKNOWN:
                self._means.agents.nudge(host.uuid, host.address)


class _Rounds:
    """Batches of the workloads that wait, the oldest first, until each had its turn; then from the oldest again.

    One whose provider is busy or away keeps waiting, and must not keep the others from their turn.
    under_way: the round goes on.
    """

    def __init__(self, waiting: Callable[[sa.Connection, int, int], list[Workload]]) -> None:
        self._waiting = waiting
        self._after = 0

    @property
    def under_way(self) -> bool:
        return self._after > 0

    def batch(self, tx: sa.Connection) -> list[Workload]:
        found = self._waiting(tx, BATCH, self._after)
        self._after = found[-1].id if len(found) == BATCH else 0
        return found


def _said(sentences: list[str]) -> list[str]:
    """The same, once they are in the log."""
    for sentence in sentences:
        LOG.info("%s", sentence)
    return sentences


def _lose(tx: sa.Connection, host: hosts.Host, edge: datetime.datetime) -> bool:
    """False: it was heard of just now."""
    if not hosts.set_state(tx, host.uuid, hosts.UNKNOWN, silent_since=edge):
        return False
    workloads.host_changed(tx, host.uuid, known=False)
    return True
