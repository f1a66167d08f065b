# SPDX-License-Identifier: Apache-2.0
"""Traffic that goes on while a test breaks things: numbers there and back by TCP, and pings, all of them counted."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time

from zun_lite.netd import namespaces

_PACE_SECONDS = 0.01
_PORT = 5099


class Pings:
    """From a process's network namespace to an address, twenty a second, until end() or close() is said."""

    def __init__(self, from_pid: int, address: str) -> None:
        words = ["nsenter", f"--net=/proc/{from_pid}/ns/net", "busybox", "ping", "-q", "-i", "0.05", address]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self) -> tuple[int, int]:
        """(sent, answered)."""
        os.kill(self._process.pid, signal.SIGINT)
        said, _ = self._process.communicate(timeout=10)
        found = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", said)
        assert found is not None, said
        return int(found[1]), int(found[2])

    def close(self) -> None:
        """Fine to say after end(), and twice."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


class Traffic:
    """From one process's network namespace to another's; `with` has it begin, and end() says how it went."""

    def __init__(self, from_pid: int, to_pid: int, address: str) -> None:
        self._from_pid, self._to_pid, self._address = from_pid, to_pid, address
        self._stop = threading.Event()
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._pings: Pings | None = None
        self.answered = 0
        self.longest_gap_seconds = 0.0
        self.broken = ""

    def __enter__(self) -> Traffic:
        server = _in(self._to_pid, lambda: socket.create_server((self._address, _PORT)))
        client = _in(self._from_pid, lambda: socket.create_connection((self._address, _PORT), 10))
        client.settimeout(30)
        accepted, _ = server.accept()
        self._sockets = [server, client, accepted]
        for work in (self._echo, self._talk):
            self._threads.append(threading.Thread(target=work, daemon=True))
            self._threads[-1].start()
        self._pings = Pings(self._from_pid, self._address)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads[1:]:
            thread.join(35)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if self._pings is not None:
            self._pings.close()

    def lost_pings(self) -> tuple[int, int]:
        """(sent, lost), at its end."""
        assert self._pings is not None
        sent, received = self._pings.end()
        # the last one may still have been on its way
        return sent, max(0, sent - received - 1)

    def _echo(self) -> None:
        with contextlib.suppress(OSError):
            while octets := self._sockets[2].recv(4096):
                self._sockets[2].sendall(octets)

    def _talk(self) -> None:
        client, last = self._sockets[1], time.monotonic()
        try:
            while not self._stop.is_set():
                number = self.answered.to_bytes(8, "big")
                client.sendall(number)
                got = b""
                while len(got) < 8:
                    part = client.recv(8 - len(got))
                    if not part:
                        raise ConnectionResetError("the stream ended")
                    got += part
                if got != number:
                    raise ConnectionError(f"{got!r} came back for {number!r}")
                self.answered += 1
                now = time.monotonic()
                self.longest_gap_seconds = max(self.longest_gap_seconds, now - last)
                last = now
                self._stop.wait(_PACE_SECONDS)
        except OSError as error:
            self.broken = f"after {self.answered}: {error}"


def _in(pid: int, work):
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespaces.inside(descriptor, work)
    finally:
        os.close(descriptor)
