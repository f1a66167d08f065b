# SPDX-License-Identifier: Apache-2.0
"""Files and TCP connections into and out of containers."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from zun_lite.cli.command import Command
from zun_lite.cli.containers import ident_option, path
from zun_lite.cli.failures import Failure
from zun_lite.cli.screen import Line, bytes_of, harmless
from zun_lite.cli.session import Session
from zun_lite.cli.wire import PART_BYTES, BrokenOff, FilePart, Response

PIECE_BYTES = 1024 * 1024
NOT_WHOLE = "The copy broke off and is not whole."


def _port_options(parser: ArgumentParser) -> None:
    ident_option(parser)
    parser.add_argument("ports", metavar="[LOCAL:]PORT", help="a port of the container, and one here where it differs")
    parser.add_argument("--address", metavar="ADDRESS", default="127.0.0.1", help="where to listen; 127.0.0.1")


def _port_forward(session: Session, args: Namespace) -> int:
    here, _, there = args.ports.rpartition(":")
    if not there.isdigit() or (here and not here.isdigit()):
        raise Failure(f"{args.ports!r}: write PORT or LOCAL:PORT.")
    session.ask("GET", path(args.container))
    session.streams_url()
    try:
        listener = socket.create_server((args.address, int(here or there)))
    except OSError as error:
        raise Failure(f"Nobody can listen at {args.address}:{here or there}: {error}.") from error
    with listener:
        bound = listener.getsockname()
        print(f"Forwarding {bound[0]}:{bound[1]} to port {there} of {args.container}; Ctrl-C ends it.", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_forward, args=(session, args.container, there, connection), daemon=True).start()


def _forward(session: Session, container: str, port: str, connection: socket.socket) -> None:
    from websockets.exceptions import ConnectionClosed

    try:
        with connection, session.dial(path(container, "port-forward"), {"port": port}) as stream:
            threading.Thread(target=_upload, args=(connection, stream), daemon=True).start()
            try:
                while content := stream.recv():
                    connection.sendall(content)
            except ConnectionClosed as error:
                if error.rcvd and error.rcvd.code != 1000:
                    print(harmless(error.rcvd.reason), file=sys.stderr, flush=True)
            finally:
                # closing alone would not end it, as the other thread reads it
                connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    except Failure as error:
        print(error, file=sys.stderr, flush=True)


def _upload(connection: socket.socket, stream: Any) -> None:
    from websockets.exceptions import ConnectionClosed

    with contextlib.suppress(OSError, ConnectionClosed):
        while content := connection.recv(64 * 1024):
            stream.send(content)
        stream.send(b"")


def _cp_options(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="a path here, or CONTAINER:PATH; - is a tar at stdin")
    parser.add_argument("destination", metavar="DESTINATION", help="likewise; - is a tar to stdout")


def _cp(session: Session, args: Namespace) -> int:
    source, destination = _container_path(args.source), _container_path(args.destination)
    if bool(source) == bool(destination):
        raise Failure("Copy from a container or to one: one of the two is written CONTAINER:PATH.")
    if source:
        _copy_out(session, *source, args.destination)
    elif destination:
        _copy_in(session, args.source, *destination)
    return 0


def _container_path(text: str) -> tuple[str, str] | None:
    """CONTAINER:PATH; a path of this machine has its slash or dot before any colon."""
    container, colon, inner = text.partition(":")
    if not colon or "/" in container or container.startswith(".") or not container:
        return None
    return container, inner if inner.startswith("/") else f"/{inner}"


def _copy_out(session: Session, container: str, inner: str, destination: str) -> None:
    from zun_lite.cli.copying import unpack

    with contextlib.closing(session.stream("GET", path(container, "archive"), {"path": inner})) as answer:
        stream = _Counted(answer)
        if destination == "-":
            while piece := stream.read(PIECE_BYTES):
                sys.stdout.buffer.write(piece)
            return
        target = Path(destination)
        top = os.path.basename(inner.rstrip("/"))
        if target.is_dir():
            unpack(stream, target)
        elif target.parent.is_dir() and top:
            unpack(stream, target.parent, (top, target.name))
        else:
            raise Failure(f"There is no folder {target.parent} to copy to.")
        stream.say_done(f"{container}:{inner}")


def _copy_in(session: Session, source: str, container: str, inner: str) -> None:
    from zun_lite.cli.copying import Progress, pack

    line = Line()

    def pieces() -> Iterator[bytes | FilePart]:
        made: Iterable[bytes | FilePart] = pack(Path(source), name)
        if source == "-":
            made = iter(lambda: sys.stdin.buffer.read(PIECE_BYTES), b"")
        yield from Progress(made, lambda total: line.say(f"sent {bytes_of(total)}", kept=False))

    folder, name = inner, os.path.basename(os.path.abspath(source))
    if source != "-":
        if not os.path.lexists(source):
            raise Failure(f"There is no {source} to copy.")
        if not inner.endswith("/") and not _is_folder(session, container, inner):
            folder, name = os.path.dirname(inner), os.path.basename(inner)
    answer = session.stream("PUT", path(container, "archive"), {"path": folder}, pieces)
    with contextlib.closing(answer):
        answer.read()
    line.over()


def _is_folder(session: Session, container: str, inner: str) -> bool:
    import base64

    try:
        with contextlib.closing(session.stream("GET", path(container, "archive"), {"path": inner})) as answer:
            found = json.loads(base64.b64decode(answer.headers["x-zun-lite-stat"]))
    except Failure as error:
        if error.status == 400:
            return False
        raise
    # Go's bit for a folder
    return bool(found["mode"] & (1 << 31)) or stat.S_ISDIR(found["mode"] & 0o170000)


class _Counted:
    """A body that says how much of it was read; it breaks off as a Failure."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer
        self._line = Line()
        self._total = 0

    def read(self, count: int = -1) -> bytes:
        try:
            piece = self._answer.read(count)
        except OSError as error:
            raise Failure(NOT_WHOLE) from error
        self._say(len(piece))
        return piece

    def copy_to(self, descriptor: int, count: int) -> None:
        """The next bytes, to a file. Failure: there are not as many, or it takes no more."""
        for start in range(0, count, PART_BYTES):
            part = min(PART_BYTES, count - start)
            try:
                if self._answer.copy_to(descriptor, part) < part:
                    raise Failure(NOT_WHOLE)
            except BrokenOff as error:
                raise Failure(NOT_WHOLE) from error
            except OSError as error:
                raise Failure(f"The copy could not be brought to its end: {error}.") from error
            self._say(part)

    def _say(self, more: int) -> None:
        self._total += more
        self._line.say(f"received {bytes_of(self._total)}", kept=False)

    def say_done(self, what: str) -> None:
        while self.read(PIECE_BYTES):
            continue
        self._line.over()


COMMANDS = (
    Command("appcontainer port-forward", "reach a TCP port of a container from here", _port_forward, _port_options),
    Command("appcontainer cp", "copy files into or out of a container", _cp, _cp_options),
)
