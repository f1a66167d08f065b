# SPDX-License-Identifier: Apache-2.0
"""A way to a server on this machine that a test can shut: a listener that passes bytes on, or is not there."""

from __future__ import annotations

import contextlib
import socket
import threading


class Door:
    """127.0.0.1:port leads to 127.0.0.1:to while it is open; shut() ends what goes through, too."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._through: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.port = 0
        self.open()

    def open(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            # close() alone leaves whoever waits in accept() waiting
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for passing in list(self._through):
            with contextlib.suppress(OSError):
                passing.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to)) as server:
            ends = (client, server)
            self._through.update(ends)
            try:
                other = threading.Thread(target=_copy, args=(server, client), daemon=True)
                other.start()
                _copy(client, server)
                other.join()
            finally:
                self._through.difference_update(ends)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := source.recv(65536):
            target.sendall(block)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
