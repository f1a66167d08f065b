# SPDX-License-Identifier: Apache-2.0
"""The one door to nftables: a script in nft's own language, carried out whole or not at all.

libnftables is called in this process, in a thread that has entered the namespace: its socket is
opened there with its context, and both are gone at the end of the call. That is ten and more times
quicker than the nft command, which stands in where the library is missing. One call at a time, as the
library's parser shares what it has learnt between contexts.
"""

from __future__ import annotations

import ctypes
import shutil
import socket
import struct
import subprocess
import threading
from functools import lru_cache
from typing import Any

from zun_lite.domain import errors
from zun_lite.netd import namespaces

_LIBRARY = "libnftables.so.1"
_COMMAND_SECONDS = 60
_guard = threading.Lock()

_NETLINK_NETFILTER = 12
_GET_GENERATION = (10 << 8) | 16
_REQUEST = 1
_GENERATION_ID = 1


def run(namespace_fd: int, script: str) -> None:
    """Carry out a script in a namespace as one transaction; Failed, and nothing changed, when it is refused."""
    if script:
        library = _library()
        work = _run_command if library is None else _run_library
        problem = namespaces.inside(namespace_fd, lambda: work(library, script))
        if problem:
            raise errors.Failed(f"the kernel refused packet rules, and the former ones stay: {_first_line(problem)}")


def generation(namespace_fd: int) -> int:
    """A number that changes with each change of the namespace's rules, whoever makes it."""
    return namespaces.inside(namespace_fd, _ask_generation)


def _run_library(library: Any, script: str) -> str:
    with _guard:
        context = library.nft_ctx_new(0)
        if not context:
            return "libnftables has no memory for a context"
        try:
            library.nft_ctx_buffer_error(context)
            library.nft_ctx_buffer_output(context)
            if library.nft_run_cmd_from_buffer(context, script.encode()) == 0:
                return ""
            return library.nft_ctx_get_error_buffer(context).decode(errors="replace") or "no reason was given"
        finally:
            library.nft_ctx_free(context)


def _run_command(_: Any, script: str) -> str:
    program = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return "neither libnftables nor nft is here; install the package nftables"
    done = subprocess.run(
        [program, "-f", "-"], input=script, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
    )
    return "" if done.returncode == 0 else done.stderr or "no reason was given"


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
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as sock:
        sock.settimeout(5)
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
