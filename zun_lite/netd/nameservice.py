# SPDX-License-Identifier: Apache-2.0
"""Names for containers: what netd gives to the program that answers (resolver.py).

A message is its length in 4 bytes and JSON: {"network_id", "sockets": how many come along, "table": a
resolver.Table or None to close}. The sockets are bound in the network's namespace, on an address of its
bridge. A socket keeps its namespace alive, so that a network which is gone must be left. One octet comes
back when a message was heeded.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

from zun_lite.domain import errors
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6, NetworkState
from zun_lite.netd import devices, namespaces

LOG = logging.getLogger(__name__)
_PORT = 53
ACKNOWLEDGED = b"+"
_SEND_SECONDS = 3.0


class NameService:
    """Starts the program when it is first needed, and anew when it ended."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._given: dict[str, tuple[int, dict[str, Any]]] = {}

    def start(self) -> None:
        """Have the program ready before it is needed."""
        with self._guard:
            self._ensure_program()

    def serve(self, network: NetworkState, switch_fd: int, also: dict[str, list[str]]) -> None:
        """Answer in a namespace for a network's names. also: see resolver.Table."""
        identity, table = os.fstat(switch_fd).st_ino, table_of(network, also)
        with self._guard:
            self._ensure_program()
            before = self._given.get(network.network_id)
            if before == (identity, table):
                return
            sockets: list[socket.socket] = []
            try:
                if before is None or before[0] != identity:
                    devices.prepare_bridge(switch_fd)
                    sockets = namespaces.inside(switch_fd, _bound)
                self._tell(network.network_id, table, sockets)
            finally:
                for sock in sockets:
                    sock.close()
            self._given[network.network_id] = (identity, table)

    def leave(self, network_id: str) -> None:
        """The network's namespace goes."""
        with self._guard:
            if self._given.pop(network_id, None) is not None and self._is_running():
                # when it cannot be told it is ended, and its sockets with it
                with contextlib.suppress(OSError, errors.Failed):
                    self._tell(network_id, None, [])

    def close(self) -> None:
        with self._guard:
            self._end()

    def _is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _ensure_program(self) -> None:
        if self._is_running():
            return
        if self._process is not None:
            LOG.warning("the program that answers for names ended with %s and is started anew", self._process.poll())
        self._end()
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        own.settimeout(_SEND_SECONDS)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "zun_lite.netd.resolver", str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                close_fds=True,
            )
        self._control = own

    def _end(self) -> None:
        self._given.clear()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _tell(self, network_id: str, table: dict[str, Any] | None, sockets: list[socket.socket]) -> None:
        body = json.dumps({"network_id": network_id, "sockets": len(sockets), "table": table}).encode()
        assert self._control is not None
        try:
            head = struct.pack("!I", len(body))
            if sockets:
                socket.send_fds(self._control, [head], [sock.fileno() for sock in sockets])
            else:
                self._control.sendall(head)
            self._control.sendall(body)
            if self._control.recv(1) != ACKNOWLEDGED:
                raise errors.Failed("the program that answers for names ended; it is started anew soon")
        except (OSError, errors.Failed):
            # it died or hangs; the next look starts it anew
            self._end()
            raise


def table_of(network: NetworkState, also: dict[str, list[str]]) -> dict[str, Any]:
    """A network's resolver.Table as JSON has it. A port without a name is not found by any."""
    names: dict[str, list[str]] = {}
    pointers: dict[str, str] = {}
    for port in network.ports:
        for name in port.names:
            names.setdefault(name, []).extend(address for address in port.addresses)
        if port.names:
            pointers.update((pointer_name(address), port.names[0]) for address in port.addresses)
    forwards = any(subnet.dns for subnet in network.subnets)
    return {"names": names, "pointers": pointers, "also": also, "forwards": forwards}


def pointer_name(address: str) -> str:
    """The name under which an address is asked for its own."""
    return ipaddress.ip_address(address).reverse_pointer


def _bound() -> list[socket.socket]:
    """Sockets for both ways of asking, in the namespace of the thread that calls."""
    sockets = []
    for family, address in ((socket.AF_INET, DNS_ADDRESS), (socket.AF_INET6, DNS_ADDRESS_V6)):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            sock = socket.socket(family, kind)
            sockets.append(sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, _PORT))
            if kind == socket.SOCK_STREAM:
                sock.listen(64)
    return sockets
