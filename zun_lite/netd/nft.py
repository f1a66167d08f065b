# SPDX-License-Identifier: Apache-2.0
"""The one door to nftables: a script in nft's own language, carried out whole or not at all.

libnftables is called in this process, in a thread that has entered the namespace: its socket is
opened there with its context, and both are gone at the end of the call. That is ten and more times
quicker than the nft command, which stands in where the library is missing. One call at a time, as the
library's parser shares what it has learnt between contexts.

To close a socket of the namespace takes until no processor can still be at rules that were taken away,
some 10 ms, and other changes wait for it. New rules hold before that. So sockets are closed when that is
surely over, by a thread beside; the library's is held open till then by a second descriptor.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import shutil
import socket
import stat
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from zun_lite.domain import errors
from zun_lite.netd import namespaces

_LIBRARY = "libnftables.so.1"
_COMMAND_SECONDS = 60
_HELD_SECONDS = 0.05
_guard = threading.Lock()
# while the library opens its socket nobody here opens one of the kind
_opening = threading.Lock()
_ANSWER_SECONDS = 5.0

_NETLINK_NETFILTER = 12
_GET_GENERATION = (10 << 8) | 16
_REQUEST = 1
_GENERATION_ID = 1


def run(namespace_fd: int, script: str) -> int:
    """Carry out a script in a namespace as one transaction; answers the generation of the rules then.

    Failed, and nothing changed, when it is refused.
    """
    library = _library()
    work = _run_command if library is None else _run_library
    problem, reached = namespaces.inside(namespace_fd, lambda: work(library, script))
    if problem:
        raise errors.Failed(f"the kernel refused packet rules, and the former ones stay: {_first_line(problem)}")
    return reached


def generation(namespace_fd: int) -> int:
    """A number that changes with each change of the namespace's rules, whoever makes it."""
    return namespaces.inside(namespace_fd, _ask_generation)


@contextmanager
def opened() -> Iterator[socket.socket]:
    """A socket for packet rules, of the calling thread's namespace."""
    with _opening:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        sock.settimeout(_ANSWER_SECONDS)
        yield sock
    finally:
        _close_later([sock])


def _run_library(library: Any, script: str) -> tuple[str, int]:
    """(what is wrong, generation)."""
    with _guard:
        with _opening:
            open_before = _descriptors()
            context = library.nft_ctx_new(0)
            if not context:
                return "libnftables has no memory for a context", 0
            twins = _twins({descriptor for descriptor, _ in _descriptors() - open_before})
        try:
            library.nft_ctx_buffer_error(context)
            library.nft_ctx_buffer_output(context)
            if library.nft_run_cmd_from_buffer(context, script.encode()):
                return library.nft_ctx_get_error_buffer(context).decode(errors="replace") or "no reason was given", 0
            if len(twins) != 1:
                return "", _ask_generation()
            # not earlier: it is the library's socket too, which waits for its answers in its own way
            twins[0].settimeout(_ANSWER_SECONDS)
            return "", ask(twins[0])
        finally:
            library.nft_ctx_free(context)
            _close_later(twins)


def _twins(descriptors: set[int]) -> list[socket.socket]:
    """Those of some descriptors that are sockets of packet rules, once more. Another thread's do no harm."""
    found = []
    for descriptor in descriptors:
        # it may be closed by now
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                twin = socket.socket(fileno=os.dup(descriptor))
                if (twin.family, twin.proto) == (socket.AF_NETLINK, _NETLINK_NETFILTER):
                    found.append(twin)
                else:
                    twin.close()
    return found


def _descriptors() -> set[tuple[int, int]]:
    """Those that are open, with their inodes: a number that was closed and is another's now is a new one."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # such as the one that was read to know it
        with contextlib.suppress(OSError):
            found.add((int(name), os.fstat(int(name)).st_ino))
    return found


def _close_later(sockets: list[socket.socket]) -> None:
    for one in sockets:
        _closer().put((time.monotonic() + _HELD_SECONDS, one))


@lru_cache(maxsize=1)
def _closer() -> queue.SimpleQueue[tuple[float, socket.socket]]:
    """Takes (when, socket) for the thread that closes them."""
    waiting: queue.SimpleQueue[tuple[float, socket.socket]] = queue.SimpleQueue()

    def close_each() -> None:
        while True:
            when, one = waiting.get()
            time.sleep(max(0.0, when - time.monotonic()))
            one.close()

    threading.Thread(target=close_each, name="nft", daemon=True).start()
    return waiting


def _run_command(_: Any, script: str) -> tuple[str, int]:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return "neither libnftables nor nft is here; install the package nftables", 0
    done = subprocess.run(
        [program, "-f", "-"], input=script, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
    )
    return ("", _ask_generation()) if done.returncode == 0 else (done.stderr or "no reason was given", 0)


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
    for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output", "nft_ctx_get_error_buffer", "nft_ctx_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


def _ask_generation() -> int:
    with opened() as sock:
        return ask(sock)


def ask(sock: socket.socket) -> int:
    """The generation of the rules of the namespace that such a socket is of."""
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    sock.send(struct.pack("=IHHII", 16 + len(body), _GET_GENERATION, _REQUEST, 1, 0) + body)
    answer = sock.recv(8192)
    place = 20
    while place + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, place)
        if kind == _GENERATION_ID:
            return struct.unpack_from("!I", answer, place + 4)[0]
        place += max((length + 3) & ~3, 4)
    raise errors.Failed("the kernel does not tell the generation of its packet rules")


def _first_line(problem: str) -> str:
    return " ".join(problem.split())[:300]
