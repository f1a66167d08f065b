# SPDX-License-Identifier: Apache-2.0
"""Whether the bridge of a network's namespace is there, and every link of ours on it: looked at, and mended.

A look is one message to the kernel and costs next to nothing; only what is amiss costs more. Knows links by
name, not what they are for. Callers hold the network's lock.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from pyroute2 import IPRoute

from zun_lite.domain import errors
from zun_lite.netd import devices, links, namespaces
from zun_lite.netd.names import (
    BRIDGE,
    GATEWAY,
    HOST_END,
    INTERFACE_PREFIX,
    LINK_PREFIX,
    OWN_PREFIXES,
    TUNNEL_PREFIX,
)

LOG = logging.getLogger(__name__)
_GET_LINK = 18
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_IFNAME, _MASTER = 3, 10
_IS_UP, _HAS_CARRIER = 0x1, 0x10000
_ON_A_BRIDGE = (LINK_PREFIX, TUNNEL_PREFIX)
_OTHERS_OF_OURS = {"lo", BRIDGE, GATEWAY, HOST_END}
# which some kernels put into every new namespace
_THE_KERNELS = {"tunl0", "gre0", "gretap0", "erspan0", "sit0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0"}


@dataclass(frozen=True)
class Seen:
    """One link. master: the index of the bridge that it is on, 0 for none. has_carrier: its other end is up."""

    index: int
    is_up: bool
    master: int
    has_carrier: bool = False


def look(namespace_fd: int) -> dict[str, Seen]:
    """The links of a namespace by name."""
    return namespaces.inside(namespace_fd, _read)


def mend(switch_fd: int, seen: dict[str, Seen]) -> bool:
    """Have the bridge there and up, and our links on it and up; answers whether something was amiss."""
    bridge = seen.get(BRIDGE)
    loose = [name for name, link in seen.items() if name.startswith(_ON_A_BRIDGE) and not _is_joined(link, bridge)]
    if bridge is not None and bridge.is_up and not loose:
        return False
    LOG.warning("a bridge is mended: %s", "it was gone or down" if not loose else f"{', '.join(sorted(loose))} left it")
    links.ensure_bridge(switch_fd)
    devices.prepare_bridge(switch_fd)

    def join(route: IPRoute) -> None:
        bridge = links.find(route, BRIDGE)
        for name in loose:
            link = links.find(route, name)
            if link is not None and bridge is not None:
                route.link("set", index=link.index, master=bridge.index, state="up")

    links.within(switch_fd, join)
    return True


def remove_strays(switch_fd: int, seen: dict[str, Seen], known: Iterable[str]) -> list[str]:
    """Take away the links that bear our mark, a name of ours in a namespace of ours, and stand for nothing."""
    strays = sorted({name for name in seen if name.startswith(OWN_PREFIXES)}.difference(known))
    for name in strays:
        LOG.warning("link %s has no record and is taken away", name)
        links.remove(switch_fd, name)
    return strays


def foreign(seen: dict[str, Seen]) -> list[str]:
    """The links of a namespace of ours that somebody else made: told of, and let be."""
    others = set(seen) - _OTHERS_OF_OURS - _THE_KERNELS
    return sorted(name for name in others if not name.startswith((*OWN_PREFIXES, INTERFACE_PREFIX)))


def _is_joined(link: Seen, bridge: Seen | None) -> bool:
    return bridge is not None and link.is_up and link.master == bridge.index


def _read() -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(10)
        body = struct.pack("=BBHiII", socket.AF_UNSPEC, 0, 0, 0, 0, 0)
        sock.send(struct.pack("=IHHII", 16 + len(body), _GET_LINK, _REQUEST | _DUMP, 1, 0) + body)
        while True:
            answer = sock.recv(1 << 16)
            place = 0
            while place < len(answer):
                length, kind, _, _, _ = struct.unpack_from("=IHHII", answer, place)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", answer, place + 16)[0]
                    raise errors.Failed(f"the kernel does not show its links: {os.strerror(code)}")
                index, flags = struct.unpack_from("=iI", answer, place + 20)
                name, master = _named(answer, place + 32, place + length)
                found[name] = Seen(index, bool(flags & _IS_UP), master, bool(flags & _HAS_CARRIER))
                place += (length + 3) & ~3


def _named(answer: bytes, place: int, end: int) -> tuple[str, int]:
    """(name, master's index) out of a link's attributes."""
    name, master = "", 0
    while place + 4 <= end:
        length, kind = struct.unpack_from("=HH", answer, place)
        if kind == _IFNAME:
            name = answer[place + 4 : place + length].split(b"\0")[0].decode(errors="replace")
        elif kind == _MASTER:
            master = struct.unpack_from("=I", answer, place + 4)[0]
        place += max((length + 3) & ~3, 4)
    return name, master
