# SPDX-License-Identifier: Apache-2.0
"""The `create` of the OCI runtime wrapper: the real runtime's create, between prepare and wire.

Runs in a Python without site-packages, once a container start, so it imports little, json only
while the real runtime works, and nothing of ours but crash points when a test armed them.
The container's process does not run before the runtime's later `start`: it never runs without its
volumes and network. Whatever fails, nothing half-made is left, and the reason is where Docker
reads it: in the runtime's log file.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable

CONNECT_SECONDS = 10.0
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
    """words: the real runtime, netd's socket, the state folder, seconds for an answer, then the runtime's own."""
    real_runtime, netd_socket, state_dir, answer_seconds, *argv = words
    netd = Netd(netd_socket, float(answer_seconds))
    arguments = Arguments(argv)
    crash_point = _crash_points(state_dir)
    made = False
    try:
        prepared = netd.ask("prepare", arguments.container_id)
        crash_point("runtime.create.before")
        real = _spawn(real_runtime, argv)
        made = True
        try:
            bundle = Bundle(arguments.bundle)
        finally:
            code = _exit_code(real)
        if code:
            return code
        crash_point("runtime.create.after")
        bundle.check_binds(prepared)
        if bundle.joins is None:
            netd.ask("wire", arguments.container_id, _read_pid(arguments.pid_file))
        elif os.path.samefile(bundle.joins, "/proc/self/ns/net"):
            raise Refused("a container may not be in the host's own network namespace")
    except (Refused, OSError, ValueError) as error:
        if made:
            _exit_code(_spawn(real_runtime, [*arguments.globals, "delete", "--force", arguments.container_id]))
        _tell(arguments.log, f"zun_lite: {error}")
        return 1
    return 0


class Bundle:
    """What matters of a container's config.json.

    joins: the network namespace of another container, which is wired already, or None where the
    container gets one of its own. A container given none at all is in the host's; netd refuses that.
    """

    def __init__(self, folder: str) -> None:
        import json

        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        spaces = (config.get("linux") or {}).get("namespaces") or ()
        self.joins = next((space.get("path") or None for space in spaces if space.get("type") == "network"), None)
        self.binds = [mount.get("source") or "" for mount in config.get("mounts") or ()]

    def check_binds(self, prepared: bytes) -> None:
        """Nothing under the folder of mounted volumes is bound but the volumes that netd just prepared."""
        import json

        result = json.loads(prepared)["result"]
        sources = tuple(result["sources"].values())
        for bind in self.binds:
            if bind.startswith(result["mount_dir"] + "/") and bind not in sources:
                raise Refused(f"{bind} is no volume that is recorded for the container")


class Netd:
    """This host's netd, as far as it is asked here. One that hangs is waited for so long a question and no longer."""

    def __init__(self, path: str, answer_seconds: float) -> None:
        self._path = path
        self._answer_seconds = answer_seconds

    def ask(self, operation: str, container_id: str, pid: int | None = None) -> bytes:
        """Have netd do it; answers its line, not yet parsed.

        A netd that is away, or goes away before it answers, is given time to come back.
        """
        if not container_id.isalnum():
            raise Refused(f"{container_id!r} is not an id that Docker gives to a container")
        process = "" if pid is None else f', "pid": {pid}'
        request = f'{{"op": "{operation}", "container_id": "{container_id}"{process}}}\n'.encode()
        deadline = time.monotonic() + CONNECT_SECONDS
        pause_seconds = 0.01
        while True:
            try:
                line = self._exchange(request)
                break
            except TimeoutError:
                raise Refused(
                    f"netd at {self._path} did not answer {operation} in {self._answer_seconds:g} s; it hangs"
                ) from None
            except OSError as error:
                if time.monotonic() + pause_seconds > deadline:
                    raise Refused(
                        f"netd does not answer at {self._path} ({error.strerror or error}), so that the container "
                        "cannot be connected; start zun-lite-netd and try again"
                    ) from None
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, 0.2)
        if not line.startswith(b'{"ok": true,'):
            import json

            raise Refused(json.loads(line)["error"]["message"])
        return line

    def _exchange(self, line: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(self._answer_seconds)
            sock.connect(self._path)
            sock.sendall(line)
            received = b""
            while not received.endswith(b"\n"):
                part = sock.recv(65536)
                if not part:
                    raise ConnectionResetError("it hung up")
                received += part
        return received


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


def _spawn(program: str, argv: list[str]) -> int:
    """Start a program with our own streams; answers its pid."""
    return os.posix_spawn(program, [program, *argv], os.environ)


def _exit_code(pid: int) -> int:
    """Wait for a program; its exit code, or 128 and the signal's number."""
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _read_pid(path: str | None) -> int:
    if path is None:
        raise Refused("the runtime was asked to create a container without --pid-file; it cannot be wired")
    with open(path) as file:
        return int(file.read())


def _tell(log: str | None, message: str) -> None:
    """Say why, in the form and at the place where the caller of an OCI runtime looks for it."""
    import json

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


def _crash_points(state_dir: str) -> Callable[[str], None]:
    if not os.environ.get("ZUN_LITE_CRASH_POINTS"):
        return lambda name: None
    from zun_lite.common import crash

    crash.arm(state_dir)
    return crash.point
