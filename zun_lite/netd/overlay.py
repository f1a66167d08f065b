# SPDX-License-Identifier: Apache-2.0
"""A network's tunnel to the other hosts, and what is behind it.

The tunnel is a VXLAN link whose packets leave from the host's own namespace, made in the network's at
once. It learns nothing, floods nothing and answers for the neighbours that it knows: what was not
announced is not reached, and no request for an address ever leaves the host. An address that has
another owner now is announced to the members on this host, whose caches would lead to the former one
for a minute. Callers hold the network's lock.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from zun_lite.domain.plane import NetworkState
from zun_lite.netd import announce, devices, namespaces
from zun_lite.netd.names import BRIDGE, TUNNEL_PREFIX
from zun_lite.netd.neighbours import Entry, Far, Near, read, write

UDP_PORT = 4789


@dataclass(frozen=True)
class Tunnel:
    """What a network's tunnel is like. mtu: bytes that a packet inside it may have."""

    link: str
    vni: int
    vtep: str
    mtu: int


# A namespace's own number, its tunnel, and where that leads.
_Given = tuple[int, Tunnel | None, frozenset[Entry]]


class Overlay:
    """All tunnels of this host."""

    def __init__(self) -> None:
        self._given: dict[str, _Given] = {}

    def sync(
        self,
        network_id: str,
        switch_fd: int,
        tunnel: Tunnel | None,
        entries: frozenset[Entry],
        *,
        looking: bool = False,
    ) -> None:
        """Make a network's tunnel so, or take it away, and have it lead to exactly these entries.

        looking: what the kernel has counts, not what it was given.
        """
        identity = os.fstat(switch_fd).st_ino
        before, made = self._given.pop(network_id, None), False
        if looking and before is not None:
            before = self._look(switch_fd, before)
        if tunnel is None:
            self._take_away(switch_fd, before is None or before[:2] != (identity, None) or bool(before[2]))
        elif before is None or before[:2] != (identity, tunnel):
            devices.prepare_bridge(switch_fd)
            devices.remove_all(switch_fd, TUNNEL_PREFIX, keep=[tunnel.link])
            made = devices.ensure_tunnel(switch_fd, tunnel.link, tunnel.vni, tunnel.vtep, tunnel.mtu, UDP_PORT)
            known = namespaces.inside(switch_fd, lambda: read(tunnel.link, BRIDGE))
            self._lead(switch_fd, tunnel, known, entries, telling=not made)
        else:
            self._lead(switch_fd, tunnel, before[2], entries, telling=True)
        self._given[network_id] = (identity, tunnel, entries if tunnel is not None else frozenset())

    def _look(self, switch_fd: int, before: _Given) -> _Given | None:
        """What was given as the kernel has it now; None: a tunnel is gone."""
        identity, tunnel, _ = before
        link = tunnel.link if tunnel is not None else None
        try:
            return identity, tunnel, namespaces.inside(switch_fd, lambda: read(link, BRIDGE))
        except OSError:
            return None

    def _take_away(self, switch_fd: int, unsure: bool) -> None:
        """The tunnel, and what the bridge knew of neighbours behind it: an address of theirs may be here one day."""
        devices.remove_all(switch_fd, TUNNEL_PREFIX)
        if unsure:
            left = namespaces.inside(switch_fd, lambda: read(None, BRIDGE))
            namespaces.inside(switch_fd, lambda: write(None, BRIDGE, left, ()))

    def _lead(
        self, switch_fd: int, tunnel: Tunnel, known: frozenset[Entry], wanted: frozenset[Entry], *, telling: bool
    ) -> None:
        """telling: members on this host may remember who had a new entry's address before."""
        if known != wanted:
            namespaces.inside(switch_fd, lambda: write(tunnel.link, BRIDGE, known - wanted, wanted - known))
            owners = [(entry.ip, entry.mac) for entry in wanted - known if isinstance(entry, Near)]
            if telling:
                # a courtesy: caches expire all the same
                with contextlib.suppress(OSError):
                    announce.announce_all(switch_fd, BRIDGE, owners)

    def forget(self, network_id: str) -> None:
        self._given.pop(network_id, None)


def entries(network: NetworkState, here: set[str]) -> frozenset[Entry]:
    """What is behind a network's tunnel. here: ports of this host's own, wherever the plane believes them to be."""
    found: set[Entry] = set()
    for port in network.ports:
        if port.vtep is None or port.local or port.port_id in here:
            continue
        found.add(Far(port.mac, port.vtep))
        found.update(Near(address, port.mac) for address in port.addresses)
        for pair in port.allowed_address_pairs:
            if pair.mac is not None and pair.mac != port.mac:
                found.add(Far(pair.mac, port.vtep))
    return frozenset(found)
