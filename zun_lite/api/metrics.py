# SPDX-License-Identifier: Apache-2.0
"""GET /metrics: what the API does and what the cloud holds, in numbers, in Prometheus' form.

Numbers of all tenants together: no name, id or address of anybody is in it. Asked from the
machine itself only, and from networks that the operator names; for all others there is nothing here.
"""

from __future__ import annotations

import bisect
import ipaddress
import itertools
import mmap
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import falcon
import sqlalchemy as sa
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from zun_lite.api import paths
from zun_lite.api.cloud_metrics import Cloud
from zun_lite.domain import errors

SERVICES = (paths.CONTAINER, paths.IDENTITY, paths.NETWORK, paths.VOLUME, paths.IMAGE, paths.NODE)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other")
CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BOUNDS_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0)
# of servers, each with a row of its own, so that no lock is shared with one that may be killed
MOST_WORKERS = 64
_COUNTS = len(SERVICES) * len(METHODS) * len(CLASSES)
_BUCKETS = len(SERVICES) * (len(BOUNDS_SECONDS) + 1)
_ROW = _COUNTS + _BUCKETS + len(SERVICES)
_DOUBLE = struct.Struct("=d")


class Counts:
    """Requests by service, method and status, and how long they took; of all workers that were forked from here."""

    def __init__(self) -> None:
        self._cells = mmap.mmap(-1, MOST_WORKERS * _ROW * _DOUBLE.size)
        self._row = 0
        self._lock = threading.Lock()

    def claim(self, worker: int) -> None:
        """Count in a row of one's own; called once in each worker, with its number."""
        self._row = worker % MOST_WORKERS

    def add(self, service: str, method: str, status: int, seconds: float) -> None:
        which = SERVICES.index(service) if service in SERVICES else 0
        how = METHODS.index(method) if method in METHODS else len(METHODS) - 1
        count = (which * len(METHODS) + how) * len(CLASSES) + min(max(status // 100, 1), 5) - 1
        bucket = _COUNTS + which * (len(BOUNDS_SECONDS) + 1) + bisect.bisect_left(BOUNDS_SECONDS, seconds)
        with self._lock:
            for cell, more in ((count, 1.0), (bucket, 1.0), (_COUNTS + _BUCKETS + which, seconds)):
                place = (self._row * _ROW + cell) * _DOUBLE.size
                _DOUBLE.pack_into(self._cells, place, _DOUBLE.unpack_from(self._cells, place)[0] + more)

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks."""
        rows = struct.unpack_from(f"={MOST_WORKERS * _ROW}d", self._cells)
        sums = [sum(rows[cell::_ROW]) for cell in range(_ROW)]
        requests = CounterMetricFamily(
            "zun_lite_api_requests", "Requests that were answered.", labels=["service", "method", "status"]
        )
        spans = HistogramMetricFamily(
            "zun_lite_api_request_seconds", "How long answers took to begin.", labels=["service"]
        )
        for which, service in enumerate(SERVICES):
            for how, method in enumerate(METHODS):
                for kind, status in enumerate(CLASSES):
                    count = sums[(which * len(METHODS) + how) * len(CLASSES) + kind]
                    if count:
                        requests.add_metric([service, method, status], count)
            begin = _COUNTS + which * (len(BOUNDS_SECONDS) + 1)
            totals = itertools.accumulate(sums[begin : begin + len(BOUNDS_SECONDS) + 1])
            buckets = [(str(bound), total) for bound, total in zip((*BOUNDS_SECONDS, "+Inf"), totals, strict=True)]
            spans.add_metric([service], buckets, sums[_COUNTS + _BUCKETS + which])
        yield requests
        yield spans


class CountRequests:
    """Falcon middleware, the outermost."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.begun_at = time.perf_counter()

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        status = falcon.http_status_to_code(resp.status)
        seconds = time.perf_counter() - req.context.begun_at
        self._counts.add(req.env.get(paths.SERVICE_KEY, paths.CONTAINER), req.method, status, seconds)


class Metrics:
    """networks: who may ask, besides the machine itself. Invalid: one is none."""

    def __init__(self, counts: Counts, cloud: Cloud, networks: Iterable[str]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (counts, cloud):
            self._registry.register(collector)  # type: ignore[arg-type]
        try:
            self._networks = [ipaddress.ip_network(text, strict=False) for text in networks]
        except ValueError as error:
            raise errors.Invalid(f"[api] metrics_networks must be addresses or networks: {error}.") from error

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not self._may_ask(req.env.get("REMOTE_ADDR", "")):
            raise falcon.HTTPNotFound
        try:
            resp.data = generate_latest(self._registry)
        except sa.exc.SQLAlchemyError as error:
            raise errors.Unavailable("The database does not answer.") from error
        resp.content_type = CONTENT_TYPE_LATEST

    def _may_ask(self, text: str) -> bool:
        try:
            address: Any = ipaddress.ip_address(text)
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in self._networks)
