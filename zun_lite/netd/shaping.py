# SPDX-License-Identifier: Apache-2.0
"""How fast each port of this host may be, and what it was held to last. Callers hold the network's lock."""

from __future__ import annotations

from zun_lite.domain.plane import PortState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import devices, links, names

# Limits of what a port gets and sends; and what stands for some that are not known.
Limits = tuple[devices.Rate, devices.Rate]
UNLIMITED: Limits = (devices.Rate(), devices.Rate())
SOME_LIMIT: Limits = (devices.Rate(-1), devices.Rate(-1))


class Shaping:
    """One a host."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._shaped: dict[str, Limits] = {}

    def begin(self, switch_fd: int, endpoint: Endpoint, state: PortState | None) -> None:
        """Of a link that was just made: it has no limits; or of one that was kept, which has those that are known."""
        link = names.link(self._cluster, endpoint.port_id)
        if self._shaped.get(link, UNLIMITED) != UNLIMITED:
            self._shaped[link] = SOME_LIMIT
        self.hold(switch_fd, endpoint, state)

    def hold(self, switch_fd: int, endpoint: Endpoint, state: PortState | None) -> None:
        """Hold a port to the limits that the plane says."""
        link = names.link(self._cluster, endpoint.port_id)
        limits = _limits(state)
        if self._shaped.get(link, UNLIMITED) != limits and link in links.names(switch_fd):
            devices.shape(switch_fd, link, names.shaper(self._cluster, endpoint.port_id), *limits)
            self._shaped[link] = limits

    def learn(self, switch_fd: int, endpoints: list[Endpoint]) -> None:
        """After a start: find the limits that a former plane gave, so that they can be taken off."""
        unseen = {names.link(self._cluster, endpoint.port_id) for endpoint in endpoints}.difference(self._shaped)
        if unseen:
            limited = devices.limited(switch_fd)
            self._shaped.update((link, SOME_LIMIT if link in limited else UNLIMITED) for link in unseen)

    def end(self, switch_fd: int, endpoint: Endpoint) -> None:
        """Of a link that is gone."""
        self._shaped.pop(names.link(self._cluster, endpoint.port_id), None)
        devices.remove_all(switch_fd, names.shaper(self._cluster, endpoint.port_id))


def _limits(state: PortState | None) -> Limits:
    if state is None:
        return UNLIMITED
    return devices.Rate(state.kbps_in, state.burst_kbit_in), devices.Rate(state.kbps_out, state.burst_kbit_out)
