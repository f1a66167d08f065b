# SPDX-License-Identifier: Apache-2.0
"""The socket at which Docker asks a driver: JSON over HTTP, a thread a connection, an answer within a time.

Knows the form of questions and answers, and which process asks, not their meaning. Docker itself waits for ever for
a driver that took its question, and holds locks meanwhile: what is not done in time is answered as a failure, and
whoever does it must put up with that.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from zun_lite.domain import errors
from zun_lite.netd import listening
from zun_lite.netd.libnetwork.calls import IPAM_PREFIX

LOG = logging.getLogger(__name__)
ANSWER_SECONDS = 7.0
_MOST_BYTES = 1024 * 1024
_TYPE = "application/vnd.docker.plugins.v1.1+json"
_CREDENTIALS = struct.Struct("iII")


class Answers(Protocol):
    """See calls.py."""

    def knows(self, path: str) -> bool: ...

    def answer(self, path: str, body: dict[str, Any], docker_pid: int) -> dict[str, Any]: ...


class PluginServer:
    """Listens at a path where Docker looks for drivers, alone there: a second one is refused."""

    def __init__(self, path: str, answers: Answers, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._path = path
        self._answers = answers
        self._answer_seconds = answer_seconds
        self._listener: socket.socket | None = None
        self._lock_fd: int | None = None
        self._stopping = threading.Event()

    def start(self) -> None:
        """Answer from now on. Conflict, OSError: it cannot."""
        self._lock_fd = listening.claim(self._path)
        listener = self._listener = listening.listen(self._path)
        threading.Thread(target=self._accept, args=(listener,), name="docker-accept", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()
        if self._listener is not None:
            listening.close(self._listener, self._path)
            self._listener = None
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    # out of descriptors or memory for the moment
                    LOG.error("a question of Docker's could not be taken: %s", error)
                    self._stopping.wait(0.1)
                continue
            threading.Thread(target=self._converse, args=(connection,), name="docker", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            _Conversation(connection, self._answers, self._answer_seconds)


class _Conversation(BaseHTTPRequestHandler):
    """Several questions of one connection; it is over when this is made."""

    protocol_version = "HTTP/1.1"

    def __init__(self, connection: socket.socket, answers: Answers, answer_seconds: float) -> None:
        self._answers = answers
        self._answer_seconds = answer_seconds
        self._docker_pid = _peer(connection)
        super().__init__(connection, "docker", None)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        try:
            body = self._body()
        except ValueError as error:
            self.close_connection = True
            self._send(400, {_error_key(self.path): f"The question is no JSON object of a known length: {error}"[:200]})
            return
        if not self._answers.knows(self.path):
            self._send(404, {_error_key(self.path): f"This driver does not know {self.path[:80]}."})
            return
        self._send(200, _in_time(self._answers, self.path, body, self._docker_pid, self._answer_seconds))

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _MOST_BYTES or self.headers.get("Transfer-Encoding"):
            raise ValueError(f"of at most {_MOST_BYTES} bytes")
        body = json.loads(self.rfile.read(length) or b"{}")
        if body is None:
            return {}
        if not isinstance(body, dict):
            raise ValueError("it is something else")
        return body

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", _TYPE)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "docker"

    def log_message(self, format: str, *args: Any) -> None:
        """Each question is told of by _in_time()."""


def _in_time(answers: Answers, path: str, body: dict[str, Any], docker_pid: int, seconds: float) -> dict[str, Any]:
    """The answer, or what went wrong in the words that Docker looks for."""
    began, said = time.monotonic(), queue.Queue[dict[str, Any]]()
    key = _error_key(path)

    def work() -> None:
        try:
            said.put(answers.answer(path, body, docker_pid))
        except errors.ZunError as error:
            LOG.warning("%s is refused: %s", path, error.message)
            said.put({key: error.message})
        except Exception as error:
            LOG.exception("%s failed in a way that was not foreseen", path)
            said.put({key: f"{type(error).__name__}: {error}"})
        LOG.debug("%s took %.1f ms", path, (time.monotonic() - began) * 1000)

    threading.Thread(target=work, name="docker-work", daemon=True).start()
    try:
        return said.get(timeout=seconds)
    except queue.Empty:
        LOG.error("%s is not done after %g s", path, seconds)
        return {key: f"zun_lite did not manage {path[1:]} within {seconds:g} s; its log on this host may say why."}


def _error_key(path: str) -> str:
    return "Error" if path.startswith(IPAM_PREFIX) else "Err"


def _peer(connection: socket.socket) -> int:
    """The process at the other end."""
    return _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
