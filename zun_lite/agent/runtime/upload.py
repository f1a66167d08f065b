# SPDX-License-Identifier: Apache-2.0
"""One PUT to the Docker Engine whose body is sent in pieces, and not before Docker begins to read it.

By `Expect: 100-continue`, Docker says that it has looked at the request, found the path, and now reads:
the caller knows what is over and what is not. Blocking; one thread has one of them.
"""

from __future__ import annotations

import contextlib
import json
import socket
from http.client import HTTPException, HTTPResponse

from zun_lite.agent.runtime import words
from zun_lite.domain import errors

_AWAY = "The host's Docker Engine does not answer."


class Upload:
    """Raises Unavailable when Docker does not answer. answer: (status, what it said), once it has said it."""

    def __init__(self, socket_path: str, path: str, seconds: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        self._broken = False
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nExpect: 100-continue\r\n"
            "Content-Type: application/x-tar\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        try:
            self._socket.connect(socket_path)
            self._socket.sendall(head.encode())
        except OSError as error:
            self.close()
            raise errors.Unavailable(_AWAY) from error

    def wait_ready(self) -> bool:
        """Whether Docker now reads; if not, it has answered already."""
        # the head of a 100 is all of it, and nothing follows it before we send
        try:
            said = self._socket.recv(1024, socket.MSG_PEEK)
            if not said.startswith(b"HTTP/1.1 100"):
                return False
            while not said.endswith(b"\r\n\r\n"):
                said = self._socket.recv(1024, socket.MSG_PEEK)
            self._socket.recv(len(said))
        except OSError as error:
            raise errors.Unavailable(_AWAY) from error
        return True

    def send(self, piece: bytes) -> bool:
        """Whether Docker took it; if not, it has answered."""
        if piece and not self._broken:
            try:
                self._socket.sendall(b"%x\r\n" % len(piece))
                self._socket.sendall(piece)
                self._socket.sendall(b"\r\n")
            except OSError:
                self._broken = True
        return not self._broken

    def finish(self) -> tuple[int, str]:
        """The body is whole; status and message of Docker's answer."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"0\r\n\r\n")
        return self.answer()

    def answer(self) -> tuple[int, str]:
        try:
            response = HTTPResponse(self._socket, method="PUT")
            response.begin()
            said = response.read(64 * 1024)
        except (OSError, HTTPException) as error:
            raise errors.Unavailable(_AWAY) from error
        try:
            return response.status, words.reason(str(json.loads(said)["message"]))
        except (ValueError, KeyError, TypeError):
            return response.status, ""

    def close(self) -> None:
        self._socket.close()
