# SPDX-License-Identifier: Apache-2.0
"""Conversations between namespaces: sockets opened within one and used from the test."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

from tests.system.netd.host import Container
from zun_lite.netd import namespaces

Answer = TypeVar("Answer")
# how long to wait for what should not come, and for what should
SOON_SECONDS, PATIENT_SECONDS = 0.6, 10.0


def inside(place: Container | str, work: Callable[[], Answer]) -> Answer:
    """Do the work in a container's namespace, or in a registered one."""
    path = f"/run/netns/{place}" if isinstance(place, str) else f"/proc/{place.pid}/ns/net"
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespaces.inside(descriptor, work)
    finally:
        os.close(descriptor)


def socket_in(place: Container | str, address: str, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return inside(place, lambda: socket.socket(family, kind))


@contextlib.contextmanager
def listening(place: Container | str, address: str, port: int) -> Iterator[socket.socket]:
    with socket_in(place, address, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(8)
        yield server


def connects(place: Container | str, address: str, port: int, timeout_seconds: float = PATIENT_SECONDS) -> bool:
    """Whether TCP gets through; something listens there, so that a refusal is silence, or that there is no way."""
    with socket_in(place, address, socket.SOCK_STREAM) as client:
        client.settimeout(timeout_seconds)
        try:
            client.connect((address, port))
            return True
        except OSError as error:
            if error.errno in (None, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
                return False
            raise


def reaches_soon(place: Container | str, address: str, port: int) -> bool:
    """As connects(), where it should not."""
    return connects(place, address, port, SOON_SECONDS)


def caller(server: socket.socket) -> str:
    """Where the connection that waits comes from."""
    server.settimeout(5)
    accepted, address = server.accept()
    accepted.close()
    return address[0]


def arrives(sender: Container, receiver: Container, address: str, port: int) -> bool:
    """Whether a datagram gets through."""
    with (
        socket_in(receiver, address, socket.SOCK_DGRAM) as server,
        socket_in(sender, address, socket.SOCK_DGRAM) as client,
    ):
        server.bind((address, port))
        client.sendto(b"hello", (address, port))
        return bool(select.select([server], [], [], SOON_SECONDS)[0])


class Flow:
    """A conversation that a client began, by TCP or UDP; afterwards either side can send without the other."""

    def __init__(self, client: Container, server: Container, address: str, port: int, kind: socket.SocketKind) -> None:
        self._client, self._server = socket_in(client, address, kind), socket_in(server, address, kind)
        self._listener: socket.socket | None = None
        self._sent = 0
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind((address, port))
        self._client.settimeout(PATIENT_SECONDS)
        self._server.settimeout(PATIENT_SECONDS)
        if kind == socket.SOCK_STREAM:
            self._server.listen(1)
            self._client.connect((address, port))
            self._listener = self._server
            self._server, _ = self._listener.accept()
            return
        self._client.connect((address, port))
        self._client.send(b"hello")
        _, caller_address = self._server.recvfrom(100)
        self._server.connect(caller_address)

    def __enter__(self) -> Flow:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._client, self._server, self._listener):
            if sock is not None:
                sock.close()

    def goes_on(self) -> tuple[bool, bool]:
        """Whether what the server sends arrives, then whether what the client sends does."""
        return self._passes(self._server, self._client), self._passes(self._client, self._server)

    def settle(self) -> None:
        """Have all that TCP sends again arrived, after a time in which nothing passed."""
        for sender, receiver in ((self._client, self._server), (self._server, self._client)):
            while self._listener is not None and not self._passes(sender, receiver, PATIENT_SECONDS):
                pass

    def _passes(self, sender: socket.socket, receiver: socket.socket, seconds: float = SOON_SECONDS) -> bool:
        self._sent += 1
        word = f"<{self._sent}>".encode()
        sender.send(word)
        found = b""
        while select.select([receiver], [], [], seconds)[0]:
            found += receiver.recv(1000)
            if word in found:
                return True
        return False
