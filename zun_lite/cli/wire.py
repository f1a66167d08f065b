# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 exchange over a connection, whose answer is read as it comes.

The standard library's client would take longer to be read than a command takes to list containers, since it
brings a parser of mails along. Knows nothing of addresses, certificates or tokens.
"""

from __future__ import annotations

import os

from zun_lite.cli.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable
    from typing import BinaryIO

READ_BYTES = 256 * 1024
# of a file that is sent or kept in one go, so that progress is seen
PART_BYTES = 8 * 1024 * 1024
# of a line with the length of a piece, and a little of what follows
_LINE_BYTES = 4096
MOST_HEAD_BYTES = 64 * 1024
_HEXADECIMAL = b"0123456789abcdefABCDEF"


class FilePart:
    """Bytes of a file, which need not be read in order to be sent."""

    def __init__(self, file: BinaryIO, start: int, count: int) -> None:
        self.file = file
        self.start = start
        self.count = count

    def __len__(self) -> int:
        return self.count


class BrokenOff(OSError):
    """The answer is none, or it is not whole."""


class Response:
    """status, headers by their names in lower case, and the body. Whoever reads it closes it."""

    def __init__(self, connection: socket.socket, held: bytes, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers
        self._connection = connection
        self._held = held
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        # of the body, or of the chunk under way; -1: until the connection ends
        self._left = 0 if self._chunked else _length(status, headers)
        self._over = not self._chunked and self._left == 0
        self._began = False

    def some(self, most: int = READ_BYTES) -> bytes:
        """What is there of the next most bytes, once there is any; none at the end. BrokenOff, OSError."""
        if self._chunked and not self._over and self._left == 0:
            self._next_chunk()
        if self._over:
            return b""
        if self._left < 0:
            piece = self._take(most)
            self._over = not piece
            return piece
        piece = self._take(min(most, self._left))
        if not piece:
            raise BrokenOff("the answer ended in the middle")
        self._left -= len(piece)
        self._over = self._left == 0 and not self._chunked
        return piece

    def read(self, count: int = -1) -> bytes:
        """So many bytes, fewer only at the end; all that comes where count is below zero. BrokenOff, OSError."""
        pieces: list[bytes] = []
        left = count
        while left and (piece := self.some(left if left > 0 else READ_BYTES)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def copy_to(self, descriptor: int, count: int) -> int:
        """The next bytes, to a file or pipe; how many, which is fewer only at the end. BrokenOff, OSError."""
        left = count
        while left and (piece := self.some(left)):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
            left -= len(piece)
        return count - left

    def readline(self) -> bytes:
        """With its end; what is left of the body where there is none; none at the end of it."""
        found = b""
        while not found.endswith(b"\n") and (piece := self.some(_LINE_BYTES)):
            line, end, rest = piece.partition(b"\n")
            found += line + end
            if rest:
                self._give_back(rest)
        return found

    def wait_for_ever(self) -> None:
        """However long nothing comes, from now on."""
        self._connection.settimeout(None)

    def close(self) -> None:
        self._connection.close()

    def _next_chunk(self) -> None:
        if self._began and self._line():
            raise BrokenOff("a piece of the answer is longer than it said")
        self._began = True
        length = self._line().split(b";", 1)[0].strip()
        if not length or length.strip(_HEXADECIMAL):
            raise BrokenOff("the answer cannot be read")
        self._left = int(length, 16)
        if self._left == 0:
            while self._line():
                continue
            self._over = True

    def _line(self) -> bytes:
        while b"\r\n" not in self._held:
            piece = self._connection.recv(_LINE_BYTES)
            if not piece or len(self._held) > MOST_HEAD_BYTES:
                raise BrokenOff("the answer ended in the middle")
            self._held += piece
        line, _, self._held = self._held.partition(b"\r\n")
        return line

    def _take(self, most: int) -> bytes:
        if not self._held:
            return self._connection.recv(min(most, READ_BYTES))
        piece, self._held = self._held[:most], self._held[most:]
        return piece

    def _give_back(self, rest: bytes) -> None:
        self._held = rest + self._held
        if self._left >= 0:
            self._left += len(rest)
        self._over = False


def exchange(
    connection: socket.socket,
    method: str,
    host: str,
    target: str,
    headers: dict[str, str],
    body: bytes | Iterable[bytes | FilePart] | None = None,
) -> Response:
    """Send a request; its answer, once its head is there. body: pieces of it are sent in chunks, as they are made.

    Failure: a file became shorter while it was sent.
    """
    told = {"Host": host, "Connection": "close", "Accept-Encoding": "identity", **headers}
    if isinstance(body, bytes):
        told["Content-Length"] = str(len(body))
    elif body is not None:
        told["Transfer-Encoding"] = "chunked"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header holds the end of a line")
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    try:
        if body is None or isinstance(body, bytes):
            connection.sendall(head + (body or b""))
        else:
            connection.sendall(head)
            for piece in body:
                if piece:
                    connection.sendall(b"%x\r\n" % len(piece))
                    _send(connection, piece)
                    connection.sendall(b"\r\n")
            connection.sendall(b"0\r\n\r\n")
            # what is made of a large body may take long
            connection.settimeout(None)
    except (BrokenPipeError, ConnectionResetError):
        # the server may have said why it takes no more
        pass
    return _answer(connection)


def _send(connection: socket.socket, piece: bytes | FilePart) -> None:
    if isinstance(piece, bytes):
        connection.sendall(piece)
    elif connection.sendfile(piece.file, piece.start, piece.count) < piece.count:
        raise Failure(f"{piece.file.name} became shorter while it was sent; send it again.")


def _answer(connection: socket.socket) -> Response:
    status, held = 100, b""
    while 100 <= status < 200:
        while b"\r\n\r\n" not in held:
            piece = connection.recv(READ_BYTES)
            if not piece:
                raise BrokenOff("it hung up without an answer")
            held += piece
            if len(held) > MOST_HEAD_BYTES and b"\r\n\r\n" not in held[:MOST_HEAD_BYTES]:
                raise BrokenOff("the head of the answer is too long")
        head, _, held = held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise BrokenOff("the answer is not HTTP")
        status = int(words[1])
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Response(connection, held, status, headers)


def _length(status: int, headers: dict[str, str]) -> int:
    if status in (204, 304):
        return 0
    text = headers.get("content-length", "")
    if not text:
        return -1
    if not text.isdigit():
        raise BrokenOff("the answer has no length that is a number")
    return int(text)
