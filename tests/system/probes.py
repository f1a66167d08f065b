# SPDX-License-Identifier: Apache-2.0
"""Very many attempts to get through, all under way at once, and who got each of them.

Each bears a number of its own, so that it is known which container it came to, not only that something answered.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.system.fleet_case import Place
from tests.system.netd.talk import inside

TCP, UDP, ICMP = "tcp", "udp", "icmp"
ANSWERED = "answered"
# how long to wait for what should not come, and for what should
QUIET_SECONDS, PATIENT_SECONDS = 1.2, 8.0
_ECHO, _ECHO_ANSWER, _ECHO6, _ECHO6_ANSWER = 8, 0, 128, 129


@dataclass(frozen=True)
class Probe:
    """port: 0 where the kind has none."""

    sender: Place
    kind: str
    address: str
    port: int = 0


class Receivers:
    """Listens at the addresses and ports of places."""

    def __init__(self, places: Iterable[Place], tcp_ports: Iterable[int], udp_ports: Iterable[int]) -> None:
        self.sockets: list[tuple[socket.socket, str, str]] = []
        wanted = [(TCP, port) for port in tcp_ports] + [(UDP, port) for port in udp_ports]
        for place in places:
            self.sockets += [
                (sock, kind, place.name) for sock, kind in inside(place, lambda at=place: _open(at, wanted))
            ]

    def close(self) -> None:
        for sock, _, _ in self.sockets:
            sock.close()


def arrivals(probes: list[Probe], expected: list[bool], receivers: Receivers) -> list[str | None]:
    """For each probe: the name of the place that it came to, ANSWERED for an echo, None for nobody.

    Waits for those that are expected to come, and a while for those that are not.
    """
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as ready:
        return _Round(probes, stack, ready, receivers).run({n for n, comes in enumerate(expected) if comes})


class _Round:
    def __init__(
        self,
        probes: list[Probe],
        stack: contextlib.ExitStack,
        ready: selectors.BaseSelector,
        receivers: Receivers,
    ) -> None:
        self._probes = probes
        self._stack = stack
        self._ready = ready
        self._came: dict[int, str] = {}
        for sock, kind, name in receivers.sockets:
            ready.register(sock, selectors.EVENT_READ, (f"{kind} receiver", name))

    def run(self, expected: set[int]) -> list[str | None]:
        by_sender: dict[Place, list[int]] = {}
        for number, probe in enumerate(self._probes):
            by_sender.setdefault(probe.sender, []).append(number)
        for sender, numbers in by_sender.items():
            self._send(sender, numbers)
        begun = time.monotonic()
        while (spent := time.monotonic() - begun) < PATIENT_SECONDS:
            if spent > QUIET_SECONDS and expected <= self._came.keys():
                break
            for key, _ in self._ready.select(0.1):
                self._heed(key.fileobj, key.data)  # type: ignore[arg-type]
        return [self._came.get(number) for number in range(len(self._probes))]

    def _send(self, sender: Place, numbers: list[int]) -> None:
        sockets = inside(sender, lambda: [_socket(self._probes[number]) for number in numbers])
        for number, sock in zip(numbers, sockets, strict=True):
            self._stack.enter_context(sock)
            sock.setblocking(False)
            probe = self._probes[number]
            with contextlib.suppress(OSError):
                if probe.kind == TCP:
                    sock.connect_ex((probe.address, probe.port))
                    self._ready.register(sock, selectors.EVENT_WRITE, ("connecting", number))
                elif probe.kind == UDP:
                    sock.sendto(struct.pack("!I", number), (probe.address, probe.port))
                else:
                    self._ready.register(sock, selectors.EVENT_READ, ("echo", number))
                    sock.sendto(_echo(probe.address, number), (probe.address, 0))

    def _heed(self, sock: socket.socket, what: tuple[str, int | str]) -> None:
        role, which = what
        try:
            if role == "connecting":
                self._ready.unregister(sock)
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    sock.send(struct.pack("!I", which))
            elif role == "tcp receiver":
                accepted = self._stack.enter_context(sock.accept()[0])
                accepted.setblocking(False)
                self._ready.register(accepted, selectors.EVENT_READ, ("accepted", which))
            elif role == "accepted":
                self._ready.unregister(sock)
                self._note(sock.recv(100), str(which))
            elif role == "udp receiver":
                self._note(sock.recv(100), str(which))
            else:
                message = sock.recv(2000)
                body = message if message[0] == _ECHO6_ANSWER else message[20:]
                if body[:1] in (bytes([_ECHO_ANSWER]), bytes([_ECHO6_ANSWER])) and body[8:] == struct.pack("!I", which):
                    self._came[int(which)] = ANSWERED
        except OSError:
            return

    def _note(self, body: bytes, name: str) -> None:
        if len(body) == 4 and (number := struct.unpack("!I", body)[0]) < len(self._probes):
            self._came[number] = name


def _open(place: Place, wanted: list[tuple[str, int]]) -> Iterator[tuple[socket.socket, str]]:
    found = []
    for address in (place.v4, place.v6):
        for kind, port in wanted:
            sock = socket.socket(_family(address), socket.SOCK_STREAM if kind == TCP else socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            sock.setblocking(False)
            if kind == TCP:
                sock.listen(128)
            found.append((sock, kind))
    return iter(found)


def _socket(probe: Probe) -> socket.socket:
    family = _family(probe.address)
    if probe.kind == ICMP:
        protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
        return socket.socket(family, socket.SOCK_RAW, protocol)
    return socket.socket(family, socket.SOCK_STREAM if probe.kind == TCP else socket.SOCK_DGRAM)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _echo(address: str, number: int) -> bytes:
    """An echo request that bears a number; the kernel adds the checksum of IPv6 by itself."""
    kind = _ECHO6 if ":" in address else _ECHO
    body = struct.pack("!I", number)
    head = struct.pack("!BBHHH", kind, 0, 0, number & 0xFFFF, 1)
    words = struct.unpack(f"!{len(head + body) // 2}H", head + body)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:] + body
