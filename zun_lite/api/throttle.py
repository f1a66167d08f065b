# SPDX-License-Identifier: Apache-2.0
"""How many requests an address or a host, and how many changes a project, may send: a bucket of tokens for each.

A bucket fills at a steady rate up to BURST_SECONDS' worth; a request takes a token, and without one is told
when to come again. Each worker process counts for itself. The machine's own addresses are not counted, nor
are those of hosts: hosts are known by their keys, and count as such.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from functools import lru_cache, partial

import falcon

from zun_lite.api import paths
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

BURST_SECONDS = 5.0
MOST_BUCKETS = 20_000
# what a host's report may be large by for each token; a larger one is let in, and paid for afterwards
BYTES_A_TOKEN = 16 * 1024
READS = frozenset(("GET", "HEAD", "OPTIONS"))


class Buckets:
    """One bucket for each name. Threads share it."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        """per_second: 0 is no limit."""
        self._rate = per_second
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, tokens_wanted: float = 1.0) -> float:
        """0, or the seconds until there is a token again. Who has one may take more, and owes the rest."""
        if not self._rate:
            return 0.0
        now = self._clock.monotonic()
        with self._lock:
            tokens, since = self._buckets.get(name, (self._most, now))
            tokens = min(self._most, tokens + (now - since) * self._rate)
            if tokens < 1.0:
                return (1.0 - tokens) / self._rate
            if len(self._buckets) >= MOST_BUCKETS:
                self._forget_full(now)
            self._buckets[name] = (tokens - tokens_wanted, now)
        return 0.0

    def _forget_full(self, now: float) -> None:
        """A full bucket is like none; if all are in use they begin anew, as memory is worth more than the count."""
        self._buckets = {
            name: (tokens, since)
            for name, (tokens, since) in self._buckets.items()
            if tokens + (now - since) * self._rate < self._most
        }
        if len(self._buckets) >= MOST_BUCKETS:
            self._buckets.clear()


class ThrottleAddresses:
    """Before anything is looked up. TooMany: Retry-After says when to come again."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._buckets = Buckets(per_second, clock)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        address = req.env.get("REMOTE_ADDR") or ""
        if req.env.get(paths.SERVICE_KEY) != paths.NODE and not _is_here(address):
            _refuse(resp, self._buckets.take(_network(address)), "this address")


class ThrottleProjects:
    """After authentication: changes only, as reads are cheap."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._buckets = Buckets(per_second, clock)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        if caller is not None and req.method not in READS:
            name = caller.project_id or caller.user_id
            _refuse(resp, self._buckets.take(name), "changes of this project")


class ThrottleHosts:
    """For paths of hosts: req.context.admit_host is called with the host's uuid once its key has proved it.

    The body is not read by then.
    """

    def __init__(self, per_second: float, clock: Clock) -> None:
        self._buckets = Buckets(per_second, clock)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.env.get(paths.SERVICE_KEY) == paths.NODE:
            req.context.admit_host = partial(self._admit, req, resp)

    def _admit(self, req: falcon.Request, resp: falcon.Response, host_uuid: str) -> None:
        size = 0 if paths.is_upload(req.method, req.path) else req.content_length or 0
        _refuse(resp, self._buckets.take(host_uuid, 1 + size // BYTES_A_TOKEN), "this host")


def _refuse(resp: falcon.Response, seconds: float, what: str) -> None:
    if seconds:
        wait = math.ceil(seconds)
        resp.set_header("Retry-After", str(wait))
        raise errors.TooMany(f"Too many requests: {what}; try again in {wait} s.", kind="OverLimit")


@lru_cache(4096)
def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return not address


@lru_cache(4096)
def _network(address: str) -> str:
    """Who has one IPv6 address has a whole network of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address
