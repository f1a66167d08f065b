# SPDX-License-Identifier: Apache-2.0
""" "Look now" between programs of one machine: empty datagrams on a unix socket.

A lost one costs an interval, never a change: whoever is woken reads SQL.
"""

from __future__ import annotations

import os
import select
import socket


class Waker:
    """The sending side. Never blocks, never fails."""

    def __init__(self, path: str) -> None:
        self._path = path

    def wake(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.sendto(b"!", self._path)
            except OSError:
                return


class Sleeper:
    """The receiving side: one a path; the last to bind it gets the datagrams."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        staged = f"{path}.{os.getpid()}"
        if os.path.exists(staged):
            os.unlink(staged)
        self._sock.bind(staged)
        os.chmod(staged, 0o600)
        os.rename(staged, path)

    def sleep(self, seconds: float) -> bool:
        """Wait until woken or for so long; whether woken. Wakings that came together count once."""
        ready, _, _ = select.select([self._sock], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            while True:
                self._sock.recv(16)
        except BlockingIOError:
            return True
