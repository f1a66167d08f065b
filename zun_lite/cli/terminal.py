# SPDX-License-Identifier: Apache-2.0
"""A stream in channels (domain/channels.py) joined to this program's own stdin, stdout, stderr and terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from zun_lite.cli.endings import BROKEN_OFF, exit_code
from zun_lite.cli.failures import Failure
from zun_lite.domain import channels

PIECE_BYTES = 32 * 1024
# Ctrl-P Ctrl-Q leaves what is attached to as it is, as it does with Docker
DETACH = b"\x10\x11"


def is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def join(socket: Any, *, interactive: bool, terminal: bool, detachable: bool = False) -> int | None:
    """Until the process ends; its exit code, None if it was left running. Failure: it could not begin, or broke off."""
    stopping = threading.Event()
    with _raw() if terminal else contextlib.nullcontext():
        if terminal:
            _send_size(socket)
            signal.signal(signal.SIGWINCH, lambda *_: _send_size(socket))
        if interactive:
            arguments = (socket, stopping, detachable)
            threading.Thread(target=_send_input, args=arguments, name="stdin", daemon=True).start()
        else:
            _send(socket, channels.message(channels.STDIN, b""))
        try:
            return _receive(socket, stopping)
        finally:
            stopping.set()
            if terminal:
                signal.signal(signal.SIGWINCH, signal.SIG_DFL)


def _receive(socket: Any, stopping: threading.Event) -> int | None:
    from websockets.exceptions import ConnectionClosed

    outputs = {channels.STDOUT: sys.stdout.fileno(), channels.STDERR: sys.stderr.fileno()}
    while True:
        try:
            channel, content = channels.split(socket.recv())
        except ConnectionClosed as error:
            if stopping.is_set():
                # it was left by the keys for that
                return None
            reason = error.rcvd.reason if error.rcvd else ""
            raise Failure(reason or BROKEN_OFF) from None
        if channel in outputs:
            _write(outputs[channel], content)
        elif channel == channels.STATUS:
            return exit_code(content)


def _send_input(socket: Any, stopping: threading.Event, detachable: bool) -> None:
    last = b""
    while not stopping.is_set():
        try:
            content = os.read(sys.stdin.fileno(), PIECE_BYTES)
        except OSError:
            content = b""
        if detachable and DETACH in last[-1:] + content:
            stopping.set()
            socket.close()
            return
        last = content
        if not _send(socket, channels.message(channels.STDIN, content)) or not content:
            return


def _send(socket: Any, content: bytes) -> bool:
    from websockets.exceptions import ConnectionClosed

    try:
        socket.send(content)
    except (ConnectionClosed, OSError):
        return False
    return True


def _send_size(socket: Any) -> None:
    size = os.get_terminal_size(sys.stdout.fileno())
    content = json.dumps({"height": size.lines, "width": size.columns}).encode()
    _send(socket, channels.message(channels.SIZE, content))


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the process, Ctrl-C too; the terminal is given back as it was."""
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
