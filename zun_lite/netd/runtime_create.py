# SPDX-License-Identifier: Apache-2.0
"""The `create` of the OCI runtime wrapper: the real runtime's create, between prepare and wire.

Runs in a Python without site-packages, once a container start, so it imports little and nothing
of ours but crash points when a test armed them. The container's process does not run before the
runtime's later `start`: it never runs without its volumes and network. Whatever fails, nothing
half-made is left, and the reason is where Docker reads it: in the runtime's log file.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
_GLOBAL_WITH_VALUE = ("root", "log", "log-format", "criu", "rootless")
_CREATE_WITH_VALUE = ("bundle", "b", "console-socket", "pid-file", "preserve-fds")


class Refused(Exception):
    """The container cannot be started; the text says why."""


class Arguments:
    """The runtime's command line, as far as it matters here. argv is passed on unchanged."""

    def __init__(self, argv: list[str]) -> None:
        self.argv = argv
        verb = _verb_position(argv)
        options = _options(argv[:verb], _GLOBAL_WITH_VALUE)
        options.update(_options(argv[verb + 1 :], _CREATE_WITH_VALUE))
        self.globals = argv[:verb]
        self.container_id = argv[-1]
        self.bundle = options.get("bundle") or options.get("b") or os.getcwd()
        self.pid_file = options.get("pid-file")
        self.log = options.get("log")


def main(words: list[str]) -> int:
    """words: the real runtime, netd's socket, the state folder, then the runtime's own arguments."""
    real_runtime, netd_socket, state_dir, *argv = words
    arguments = Arguments(argv)
    crash_point = _crash_points(state_dir)
    made = False
    try:
        joins = joins_another_network_namespace(arguments.bundle)
        if arguments.pid_file is None and not joins:
            raise Refused("the runtime was asked to create a container without --pid-file; it cannot be wired")
        _ask(netd_socket, {"op": "prepare", "container_id": arguments.container_id})
        crash_point("runtime.create.before")
        code = _run(real_runtime, argv)
        if code:
            return code
        made = True
        crash_point("runtime.create.after")
        if not joins:
            with open(str(arguments.pid_file)) as file:
                pid = int(file.read())
            _ask(netd_socket, {"op": "wire", "container_id": arguments.container_id, "pid": pid})
    except (Refused, OSError, ValueError) as error:
        if made:
            _run(real_runtime, [*arguments.globals, "delete", "--force", arguments.container_id])
        _tell(arguments.log, f"zun_lite: {error}")
        return 1
    return 0


def joins_another_network_namespace(bundle: str) -> bool:
    """Whether the container is put into the network namespace of another, which is wired already."""
    with open(os.path.join(bundle, "config.json")) as file:
        config = json.load(file)
    for namespace in (config.get("linux") or {}).get("namespaces") or ():
        if namespace.get("type") == "network":
            return bool(namespace.get("path"))
    # the host's own; netd refuses to wire that
    return False


def _verb_position(argv: list[str]) -> int:
    position = 0
    while position < len(argv):
        word = argv[position]
        if not word.startswith("-"):
            return position
        position += 2 if word.lstrip("-") in _GLOBAL_WITH_VALUE else 1
    raise Refused("the runtime was called without a command")


def _options(words: list[str], with_value: tuple[str, ...]) -> dict[str, str]:
    """Options with a value, spelt --name VALUE or --name=VALUE."""
    found = {}
    position = 0
    while position < len(words):
        name, equals, value = words[position].partition("=")
        plain = name.lstrip("-")
        position += 1
        if not name.startswith("-") or plain not in with_value:
            continue
        if not equals:
            value = words[position] if position < len(words) else ""
            position += 1
        found[plain] = value
    return found


def _run(program: str, argv: list[str]) -> int:
    """Run a program with our own streams; its exit code, or 128 and the signal's number."""
    pid = os.posix_spawn(program, [program, *argv], os.environ)
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _ask(path: str, request: dict[str, Any]) -> dict[str, Any]:
    """netd's result. A netd that is away, or goes away before it answers, is given time to come back."""
    deadline = time.monotonic() + CONNECT_SECONDS
    pause_seconds = 0.01
    while True:
        try:
            line = _exchange(path, json.dumps(request).encode() + b"\n")
            break
        except TimeoutError:
            raise Refused(f"netd at {path} did not answer {request['op']} in {ANSWER_SECONDS:.0f} s") from None
        except OSError as error:
            if time.monotonic() + pause_seconds > deadline:
                raise Refused(
                    f"netd does not answer at {path} ({error.strerror or error}), so that the container cannot be "
                    "connected; start zun-lite-netd and try again"
                ) from None
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, 0.2)
    answer = json.loads(line)
    if not answer["ok"]:
        raise Refused(answer["error"]["message"])
    return answer["result"]


def _exchange(path: str, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(path)
        sock.sendall(line)
        received = b""
        while not received.endswith(b"\n"):
            part = sock.recv(65536)
            if not part:
                raise ConnectionResetError("it hung up")
            received += part
    return received


def _tell(log: str | None, message: str) -> None:
    """Say why, in the form and at the place where the caller of an OCI runtime looks for it."""
    entry = {
        "level": "error",
        "msg": message,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if log:
        try:
            with open(log, "a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            print(f"cannot write {log}: {error}", file=sys.stderr)
    print(message, file=sys.stderr)


def _crash_points(state_dir: str) -> Any:
    if not os.environ.get("ZUN_LITE_CRASH_POINTS"):
        return lambda name: None
    from zun_lite.common import crash

    crash.arm(state_dir)
    return crash.point
