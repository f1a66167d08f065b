# SPDX-License-Identifier: Apache-2.0
"""What this host should do for tenants' networks: fetched from the API, handed to netd, and followed.

A container's ports are told to netd before the container is connected, so that it is never up without
its rules. While the API is silent, netd goes by the last plane that it was given and keeps what it does
not know shut.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from zun_lite.domain import errors
from zun_lite.domain.plane import HostPlane

LOG = logging.getLogger(__name__)
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.2, 10.0


class PlaneApi(Protocol):
    """What is asked of the API."""

    def fetch_plane(self, known_revision: int | None) -> HostPlane | None: ...


class PlaneNetd(Protocol):
    """What is asked of netd."""

    def plane(self, plane: HostPlane) -> dict[str, Any]: ...

    def has_plane(self, revision: int | None) -> bool: ...


class Planes:
    """connected: whether the API was heard of lately. Fetching and handing on is done by one thread at a time."""

    def __init__(self, api: PlaneApi, netd: PlaneNetd, connected: Callable[[], bool], interval_seconds: float) -> None:
        self._api = api
        self._netd = netd
        self._connected = connected
        self._interval_seconds = interval_seconds
        self._working = threading.Lock()
        self._look_now = threading.Event()
        self._stopping = threading.Event()
        self._revision: int | None = None
        self._ports: frozenset[str] = frozenset()
        self._problems: frozenset[str] = frozenset()

    def follow(self) -> None:
        """Keep netd at the API's last plane until stop() is said."""
        failures = 0
        while not self._stopping.is_set():
            self._look_now.clear()
            try:
                self._bring()
                failures = 0
                self._look_now.wait(self._interval_seconds)
                continue
            except errors.ZunError as error:
                failures += 1
                if failures == 1:
                    LOG.warning("networks stay as they are for now: %s", error.message)
            except Exception:
                failures += 1
                LOG.exception("networks stay as they are, for their plane cannot be used")
            limit = min(MAX_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 10))
            self._look_now.wait(random.uniform(limit / 2, limit))

    def stop(self) -> None:
        self._stopping.set()
        self._look_now.set()

    def look(self) -> None:
        """The API may have another plane."""
        self._look_now.set()

    def heard(self, revision: int | None) -> None:
        """The API said which plane it has."""
        if revision is not None and revision != self._revision:
            self._look_now.set()

    def require(self, port_ids: Iterable[str]) -> None:
        """Return once netd knows these ports. Raises what is in the way, but for an API that is silent for long."""
        wanted = frozenset(port_ids)
        if wanted <= self._ports:
            return
        try:
            self._bring(wanted)
        except errors.Unavailable:
            if self._connected():
                raise
        if not wanted <= self._ports and self._connected():
            raise errors.Unavailable("The API does not tell yet what is to be let through to the container's ports.")

    def _bring(self, unless_known: frozenset[str] | None = None) -> None:
        with self._working:
            if unless_known is not None and unless_known <= self._ports:
                return
            plane = self._api.fetch_plane(self._revision)
            if plane is None and not self._netd.has_plane(self._revision):
                LOG.warning("networks: netd lost their plane and is given it again")
                plane = self._api.fetch_plane(None)
            if plane is None:
                return
            answer = self._netd.plane(plane)
            self._ports = frozenset(port.port_id for network in plane.networks for port in network.ports if port.local)
            self._revision = plane.revision
        self._tell(answer.get("problems", ()))

    def _tell(self, problems: Iterable[str]) -> None:
        found = frozenset(problems)
        for problem in sorted(found - self._problems):
            LOG.warning("networks: %s", problem)
        self._problems = found
