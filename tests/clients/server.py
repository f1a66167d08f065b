# SPDX-License-Identifier: Apache-2.0
"""Runs the stock clients' commands, one fork each, in a process that has them imported already.

Started by the interpreter of the clients' own virtual environment, so it knows nothing of zun_lite and
imports nothing of it. The clients are unmodified; what is spared is the second and a half that each
command would take to import them. Requests and answers are lines of JSON on stdin and stdout.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from typing import Any, NoReturn

COMMAND_GROUPS = (
    "openstack.cli",
    "openstack.common",
    "openstack.identity.v3",
    "openstack.image.v2",
    "openstack.network.v2",
    "openstack.volume.v3",
    "openstack.container.v1",
)
PLUGIN_GROUPS = ("openstack.cli.base", "openstack.cli.extension")
# Some of these need libraries that nobody asked for; who wants one of those finds out on use.
AUTH_GROUP = "keystoneauth1.plugin"


def main() -> None:
    # The shell takes its name from here when it is imported.
    sys.argv = ["openstack"]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    began = time.monotonic()
    loaded, missing = preload()
    answer(out, {"loaded": loaded, "missing": missing, "seconds": time.monotonic() - began})
    for line in sys.stdin:
        answer(out, run(json.loads(line)))


def answer(out: Any, record: dict[str, Any]) -> None:
    out.write(json.dumps(record) + "\n")
    out.flush()


def preload() -> tuple[int, list[str]]:
    """Import every command of the services in question; what could not be imported is named."""
    import openstack.connection  # noqa: F401
    import openstackclient.shell  # noqa: F401
    import zunclient.client  # noqa: F401
    from openstackclient.common import clientmanager  # noqa: F401
    from stevedore import extension

    loaded, missing = 0, []
    for group in (*COMMAND_GROUPS, *PLUGIN_GROUPS):
        # Also fills the cache of entry points from which the shell finds its commands.
        extension.ExtensionManager(group, invoke_on_load=False, on_load_failure_callback=lambda *_: None)
        for point in importlib.metadata.entry_points(group=group):
            try:
                point.load()
                loaded += 1
            except ImportError as error:
                missing.append(f"{group} {point.name}: {error}")
    extension.ExtensionManager(AUTH_GROUP, invoke_on_load=False, on_load_failure_callback=lambda *_: None)
    if threading.active_count() > 1:
        raise SystemExit("a client started a thread when it was imported; a fork would lose it")
    return loaded, missing


def run(asked: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            child(asked, stdout.fileno(), stderr.fileno())
        code = wait(pid, asked["timeout_seconds"])
        return {"code": code, "stdout": contents(stdout), "stderr": contents(stderr)}


def contents(stream: Any) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def wait(pid: int, timeout_seconds: float) -> int:
    """The exit status, or minus the signal that ended it."""
    previous = signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def child(asked: dict[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Never returns; no exit handler of the parent runs."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        sys.stdin, sys.stdout, sys.stderr = (
            open(0, encoding="utf-8"),
            open(1, "w", encoding="utf-8"),
            open(2, "w", encoding="utf-8", buffering=1),
        )
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        code = perform(asked)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def perform(asked: dict[str, Any]) -> int:
    if asked["kind"] == "python":
        exec(compile(asked["code"], "<test>", "exec"), {"__name__": "__main__"})
        return 0
    if asked["kind"] == "several":
        print(json.dumps([captured(words) for words in asked["commands"]]))
        return 0
    from openstackclient import shell

    return shell.main(asked["words"]) or 0


def captured(words: list[str]) -> dict[str, Any]:
    """How a command ended and what it said, of several that one process runs."""
    from openstackclient import shell

    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            code = shell.main(words) or 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return {"code": code, "stdout": out.getvalue(), "stderr": error.getvalue()}


if __name__ == "__main__":
    main()
