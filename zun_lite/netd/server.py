# SPDX-License-Identifier: Apache-2.0
"""netd's socket: one JSON object a line, several a connection, a thread a connection.

Knows the form of requests and answers (see client/netd.py), not their meaning. Whatever comes in,
the connection lives on and the answer says what was wrong.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from zun_lite.domain import errors
from zun_lite.netd import listening

LOG = logging.getLogger(__name__)
Perform = Callable[[Any], dict[str, Any]]
# a plane with ten thousand ports is a few MiB
MAX_LINE_BYTES = 64 * 1024 * 1024
# in a result, a file descriptor that goes along with the answer and not in it
DESCRIPTOR = "(descriptor)"
_KINDS: tuple[tuple[type[errors.ZunError], str], ...] = (
    (errors.Invalid, "invalid"),
    (errors.NotFound, "not-found"),
    (errors.Conflict, "conflict"),
)


class Server:
    """Listens at a path, alone there: a second server on it is refused."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener: socket.socket | None = None
        self._lock_fd: int | None = None
        self._stopping = threading.Event()
        self._busy = 0
        self._calm = threading.Condition()

    def claim(self) -> None:
        """Become the one server at the path; before anything else is touched."""
        self._lock_fd = listening.claim(self._path)

    def start(self, perform: Perform) -> None:
        """Answer from now on; the socket appears under its name only when it is listening."""
        listener = self._listener = listening.listen(self._path)
        threading.Thread(target=self._accept, args=(listener, perform), name="accept", daemon=True).start()

    def stop(self, timeout_seconds: float) -> None:
        """Take no more requests and let those under way end."""
        self._stopping.set()
        if self._listener is not None:
            listening.close(self._listener, self._path)
        with self._calm:
            self._calm.wait_for(lambda: self._busy == 0, timeout_seconds)

    def _accept(self, listener: socket.socket, perform: Perform) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    # out of descriptors or memory for the moment
                    LOG.error("a connection could not be taken: %s", error)
                    self._stopping.wait(0.1)
                continue
            threading.Thread(target=self._converse, args=(connection, perform), name="connection", daemon=True).start()

    def _converse(self, connection: socket.socket, perform: Perform) -> None:
        with connection, contextlib.suppress(OSError), connection.makefile("rb") as lines:
            while (line := _read_line(lines)) is not None:
                with self._calm:
                    self._busy += 1
                try:
                    if _has_left(connection):
                        # nobody would hear of it, and who gave up asks again, perhaps for something newer
                        return
                    _send(connection, _answer(line, perform))
                finally:
                    with self._calm:
                        self._busy -= 1
                        self._calm.notify_all()


def _has_left(connection: socket.socket) -> bool:
    """Whether the one who asked has gone, as it does when this program was held up for long."""
    poll = select.poll()
    poll.register(connection, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    descriptor = answer.get("result", {}).pop(DESCRIPTOR, None)
    content = json.dumps(answer).encode() + b"\n"
    if descriptor is None:
        connection.sendall(content)
        return
    try:
        sent = socket.send_fds(connection, [content], [descriptor])
        connection.sendall(content[sent:])
    finally:
        os.close(descriptor)


def _answer(line: bytes, perform: Perform) -> dict[str, Any]:
    began = time.monotonic()
    try:
        request = _parse(line)
        result = perform(request)
    except errors.ZunError as error:
        kind = next((kind for cls, kind in _KINDS if isinstance(error, cls)), "failed")
        return {"ok": False, "error": {"kind": kind, "message": error.message}}
    except Exception as error:
        LOG.exception("a request failed in a way that was not foreseen")
        return {"ok": False, "error": {"kind": "failed", "message": f"{type(error).__name__}: {error}"}}
    LOG.debug("%s took %.1f ms", request["op"], (time.monotonic() - began) * 1000)
    return {"ok": True, "result": result}


def _read_line(lines: BinaryIO) -> bytes | None:
    """The next line, or None at the end; of one that is too long, nothing is kept but its first bytes."""
    line = lines.readline(MAX_LINE_BYTES + 1)
    if not line:
        return None
    rest = line
    while len(line) > MAX_LINE_BYTES and rest and not rest.endswith(b"\n"):
        rest = lines.readline(65536)
    return line


def _parse(line: bytes) -> Any:
    if len(line) > MAX_LINE_BYTES:
        raise errors.Invalid(f"a request may have {MAX_LINE_BYTES} bytes, no more")
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.Invalid(f"a request is one line of JSON: {error}"[:200]) from None
