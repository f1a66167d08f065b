# SPDX-License-Identifier: Apache-2.0
"""The connections that the kernel remembers in networks' namespaces: those of ports that went are forgotten.

They would be by themselves, an open TCP connection after days. What may pass is judged without them (see
rulebook.py), so that it need not be at once: the kernel looks through all connections of the machine for it.
Of a network that has very many they are left to time out, as to read them would hold up everybody else.
Callers hold the network's lock.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

from pyroute2 import NFCTSocket
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple

from zun_lite.netd import namespaces

_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_MOST_READ = 5000


class Connections:
    """Which addresses went from each network since its connections were looked at."""

    def __init__(self) -> None:
        self._gone: dict[str, set[str]] = {}

    def left(self, network_id: str, addresses: Iterable[str]) -> None:
        """Nobody has these addresses now."""
        self._gone.setdefault(network_id, set()).update(addresses)

    def taken(self, network_id: str, addresses: Iterable[str]) -> None:
        """Somebody has them again, whose connections are not to be forgotten."""
        self._gone.get(network_id, set()).difference_update(addresses)

    def network_gone(self, network_id: str) -> None:
        """And its namespace with all that was remembered there."""
        self._gone.pop(network_id, None)

    def tidy(self, network_id: str, namespace_fd: int) -> None:
        """Forget what the addresses that went began, or was begun with them."""
        gone = self._gone.pop(network_id, None)
        if gone:
            namespaces.inside(namespace_fd, lambda: _forget(gone))


def _forget(addresses: set[str]) -> None:
    # where the kernel cannot tell, they time out
    with contextlib.suppress(OSError, NetlinkError):
        if int(_COUNT.read_text()) > _MOST_READ:
            return
        for family, connections in _found(addresses).items():
            with NFCTSocket(nfgen_family=family) as tracked:
                for connection in connections:
                    # it may have ended by itself
                    with contextlib.suppress(NetlinkError):
                        tracked.entry("del", tuple_orig=connection)


def _found(addresses: set[str]) -> dict[int, list[NFCTAttrTuple]]:
    """The connections of these addresses, by family."""
    found: dict[int, list[NFCTAttrTuple]] = {}
    with NFCTSocket(nfgen_family=socket.AF_UNSPEC) as tracked:
        for message in tracked.dump():
            family = message["nfgen_family"]
            connection = NFCTAttrTuple.from_netlink(family, message.get_attr("CTA_TUPLE_ORIG"))
            if addresses & {connection.saddr, connection.daddr}:
                found.setdefault(family, []).append(connection)
    return found
