# SPDX-License-Identifier: Apache-2.0
"""An HTTP session that is over at a given moment, whatever the other side does.

A timeout of a request is one of each read, so that who sends a byte now and then, of the headers, too, is never
too slow for it. Here the connections are cut. Knows nothing of what is said over them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


@contextmanager
def bounded_session(until: float) -> Iterator[requests.Session]:
    """until: as time.monotonic() counts. After that what is read ends early, and nothing more can be asked."""
    cut = _Cut()
    timer = threading.Timer(max(0.0, until - time.monotonic()), cut.now)
    timer.daemon = True
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(cut))
        timer.start()
        try:
            yield session
        finally:
            timer.cancel()


class _Cut:
    """Connections that are cut at once, those that are made later included."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._opened: list[socket.socket] = []
        self._is_over = False

    def add(self, connected: socket.socket) -> None:
        with self._guard:
            self._opened.append(connected)
            if self._is_over:
                _shut(connected)

    def now(self) -> None:
        with self._guard:
            self._is_over = True
            for connected in self._opened:
                _shut(connected)


class _Adapter(HTTPAdapter):
    def __init__(self, cut: _Cut) -> None:
        self._cut = cut
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _pools(self._cut)


def _pools(cut: _Cut) -> dict[str, type[HTTPConnectionPool]]:
    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            cut.add(self.sock)

    class Secured(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            cut.add(self.sock)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}


def _shut(connected: socket.socket) -> None:
    # not TLS's own, which takes its state away from the thread that is reading
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
