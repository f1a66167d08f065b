# SPDX-License-Identifier: Apache-2.0
"""Which address is at which MAC, and which MAC is behind which host: written many at a time.

A network may have thousands of ports elsewhere, so that the messages are put together here and sent
by the hundred, where a general library takes a round trip for each. Works in the namespace of the
thread that calls.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zun_lite.domain import errors

_NEW, _DELETE, _GET = 28, 29, 30
_REQUEST, _ACK, _REPLACE, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x400, 0x300
_AF_BRIDGE = 7
_STATE_REACHABLE, _STATE_NOARP, _STATE_PERMANENT = 0x02, 0x40, 0x80
_SELF, _MASTER = 0x02, 0x04
_DST, _LLADDR = 1, 2
_ERROR, _DONE = 2, 3
_A_TIME = 100


@dataclass(frozen=True)
class Far:
    """A MAC that is behind another host's underlay address."""

    mac: str
    vtep: str


@dataclass(frozen=True)
class Near:
    """An address and its MAC, to be answered on the spot."""

    ip: str
    mac: str


Entry = Far | Near


def read(tunnel: str | None, bridge: str) -> frozenset[Entry]:
    """What a tunnel, if there is one, and a bridge have of such entries, whoever put them there."""
    tunnel_index, bridge_index = _index(tunnel), _index(bridge)
    found: set[Entry] = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(10)
        for family in (_AF_BRIDGE, socket.AF_INET, socket.AF_INET6):
            for index, state, flags, known in _dump(sock, family):
                ip, mac = known.get(_DST), known.get(_LLADDR)
                if ip is None or mac is None:
                    continue
                if family == _AF_BRIDGE and index == tunnel_index and flags & _SELF:
                    found.add(Far(mac.hex(":"), _text(ip)))
                if family != _AF_BRIDGE and index == bridge_index and state & _STATE_PERMANENT:
                    found.add(Near(_text(ip), mac.hex(":")))
    return frozenset(found)


def write(tunnel: str | None, bridge: str, gone: Iterable[Entry], new: Iterable[Entry]) -> None:
    """Take entries away and put others in; what is there already, or gone already, is fine."""
    tunnel_index, bridge_index = _index(tunnel), _index(bridge)

    def message(kind: int, entry: Entry) -> bytes:
        if isinstance(entry, Far):
            body = _entry(_AF_BRIDGE, tunnel_index, _STATE_NOARP | _STATE_REACHABLE, _SELF | _MASTER)
            return body + _attribute(_DST, _packed(entry.vtep)) + _attribute(_LLADDR, _mac(entry.mac))
        family = socket.AF_INET6 if ":" in entry.ip else socket.AF_INET
        body = _entry(family, bridge_index, _STATE_PERMANENT, 0)
        return body + _attribute(_DST, _packed(entry.ip)) + _attribute(_LLADDR, _mac(entry.mac))

    messages = [(_DELETE, message(_DELETE, entry)) for entry in gone]
    messages += [(_NEW, message(_NEW, entry)) for entry in new]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(10)
        for first in range(0, len(messages), _A_TIME):
            _exchange(sock, messages[first : first + _A_TIME])


def _dump(sock: socket.socket, family: int) -> Iterator[tuple[int, int, int, dict[int, bytes]]]:
    """(link index, state, flags, attributes) of each entry of a family."""
    body = _entry(family, 0, 0, 0)
    sock.send(struct.pack("=IHHII", 16 + len(body), _GET, _REQUEST | _DUMP, family, 0) + body)
    while True:
        answer = sock.recv(65536)
        place = 0
        while place < len(answer):
            length, kind, _, _, _ = struct.unpack_from("=IHHII", answer, place)
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", answer, place + 16)[0]
                raise errors.Failed(f"the kernel does not show its forwarding entries: {os.strerror(code)}")
            index, state, flags = struct.unpack_from("=iHB", answer, place + 20)
            yield index, state, flags, _attributes(answer[place + 28 : place + length])
            place += (length + 3) & ~3


def _attributes(octets: bytes) -> dict[int, bytes]:
    found, place = {}, 0
    while place + 4 <= len(octets):
        length, kind = struct.unpack_from("=HH", octets, place)
        found[kind] = octets[place + 4 : place + length]
        place += max((length + 3) & ~3, 4)
    return found


def _exchange(sock: socket.socket, messages: list[tuple[int, bytes]]) -> None:
    out = bytearray()
    for number, (kind, body) in enumerate(messages):
        flags = _REQUEST | _ACK | (_CREATE | _REPLACE if kind == _NEW else 0)
        out += struct.pack("=IHHII", 16 + len(body), kind, flags, number, 0) + body
    sock.send(out)
    answered = 0
    while answered < len(messages):
        answer = sock.recv(65536)
        place = 0
        while place < len(answer):
            length, kind, _, number, _ = struct.unpack_from("=IHHII", answer, place)
            if kind == _ERROR:
                answered += 1
                _judge(-struct.unpack_from("=i", answer, place + 16)[0], messages[number][0])
            place += (length + 3) & ~3


def _judge(code: int, kind: int) -> None:
    if code and not (kind == _DELETE and code in (errno.ENOENT, errno.ENODEV)):
        raise errors.Failed(f"the kernel did not take a forwarding entry: {os.strerror(code)}")


def _entry(family: int, index: int, state: int, flags: int) -> bytes:
    return struct.pack("=BBHiHBB", family, 0, 0, index, state, flags, 0)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _index(link: str | None) -> int:
    """Of a link; 0, which none has, of no link."""
    return 0 if link is None else socket.if_nametoindex(link)


def _text(packed: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET6 if len(packed) == 16 else socket.AF_INET, packed)


def _packed(ip: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in ip else socket.AF_INET, ip)


def _mac(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
