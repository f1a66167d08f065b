# SPDX-License-Identifier: Apache-2.0
"""What the cloud holds and what ails it, in numbers: the part of /metrics that is read from SQL, now and then.

A few queries, however many containers there are. Hosts are counted and not named, as page and alarms may go to
more people than the operator's commands, which tell the names.
"""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric

from zun_lite.common import tls
from zun_lite.common.clock import Clock
from zun_lite.db import hosts, workloads
from zun_lite.db.engine import Database
from zun_lite.db.hosts import Host

COUNT_EVERY_SECONDS = 10.0
_DAY_SECONDS = 86400


class Cloud:
    """As prometheus-client asks: what was counted last, or counts anew.

    certificates: program → file of its certificate, for those that have one. host_key_days: how long a host's key
    lasts that is not exchanged.
    """

    def __init__(self, db: Database, clock: Clock, certificates: Mapping[str, str], host_key_days: float) -> None:
        self._db = db
        self._clock = clock
        self._certificates = dict(certificates)
        self._host_key_days = host_key_days
        self._lock = threading.Lock()
        self._counted_at = -COUNT_EVERY_SECONDS
        self._found: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            now = self._clock.monotonic()
            if now - self._counted_at >= COUNT_EVERY_SECONDS:
                self._found, self._counted_at = list(self._count()), now
            return self._found

    def _count(self) -> Iterator[Metric]:
        with self._db.read() as tx:
            now = self._db.now(tx)
            statuses = workloads.count_by_status(tx)
            known = hosts.every(tx)
        counts = {status: found.workloads for status, found in statuses.items()}
        yield _gauge("workloads", "Containers and capsules.", "status", counts)
        changing = sum(found.changing for found in statuses.values())
        yield _gauge("workloads_changing", "Those of them that a change is under way for.", None, {"": changing})
        news = [found.quiet_since for found in statuses.values() if found.quiet_since]
        quiet = max((now - min(news)).total_seconds(), 0.0) if news else 0.0
        yield _gauge("change_quiet_seconds", "How long the quietest of these changes had no news.", None, {"": quiet})
        yield _gauge("hosts", "Hosts.", "state", Counter(host.state for host in known))
        yield from self._of_hosts([host for host in known if not host.disabled])
        yield _gauge(
            "certificate_end_timestamp_seconds",
            "When a program's certificate ends.",
            "program",
            {name: end for name, path in self._certificates.items() if (end := tls.ends_at(path)) is not None},
        )

    def _of_hosts(self, used: list[Host]) -> Iterator[Metric]:
        """Of hosts that are not taken out of use."""
        ailing = {
            "silent": sum(host.state == hosts.UNKNOWN for host in used),
            "problem": sum(bool(host.problem) and host.state != hosts.UNKNOWN for host in used),
        }
        yield _gauge("hosts_ailing", "Hosts in use that are not heard of, or have a problem.", "why", ailing)
        ends = [_unix(host.key_made_at) + self._host_key_days * _DAY_SECONDS for host in used if host.public_key]
        yield _gauge(
            "host_key_end_timestamp_seconds",
            "When the first key of a host in use ends, if it is not exchanged.",
            None,
            {"": min(ends)} if ends else {},
        )
        free = [
            host.inventory.pool_free_gib / host.inventory.capacity.disk_gib
            for host in used
            if host.inventory and host.inventory.capacity.disk_gib
        ]
        yield _gauge(
            "volume_pool_least_free_ratio",
            "What is free of the fullest volume pool, 0 to 1.",
            None,
            {"": min(free)} if free else {},
        )


def _gauge(name: str, text: str, label: str | None, values: Mapping[str, float]) -> Metric:
    """values: by the label's value; of a metric without a label there is one at the most."""
    metric = GaugeMetricFamily(f"zun_lite_{name}", text, labels=[label] if label else [])
    for value, number in sorted(values.items()):
        metric.add_metric([value] if label else [], number)
    return metric


def _unix(moment: datetime.datetime) -> float:
    return moment.replace(tzinfo=datetime.UTC).timestamp()
