# SPDX-License-Identifier: Apache-2.0
"""Whether an installation runs, as its supervisor, the kernel, the Docker Engine and the API say; and its end."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import time

from zun_lite.cmd import lock, processes, supervisor
from zun_lite.cmd.engine import Engine
from zun_lite.cmd.installation import Installation
from zun_lite.domain import errors

DOWN_TIMEOUT_SECONDS = 30.0
_ROW = "{:<12} {:<10} {:>8} {:<19} {:>8} {:>11}  {}"


def report(here: Installation, now: float) -> tuple[list[str], bool]:
    """A table, and whether everything in it is well; now is seconds since the epoch."""
    pid = lock.holder(here.lock_file)
    state = supervisor.read_state(here.state_file) if pid else None
    lines = [_ROW.format("NAME", "STATE", "PID", "SINCE", "RESTARTS", "MEMORY_MIB", "LAST_EXIT").rstrip()]
    if not pid or not state or state["pid"] != pid:
        word = "starting" if pid else "down"
        lines.append(_ROW.format("supervisor", word, pid or "-", "-", "-", "-", "").rstrip())
        healthy = False
    else:
        lines.append(_row("supervisor", "running", pid, state["since"], 0, _own_memory(pid), None))
        healthy = True
        for name, child in state["children"].items():
            alive = child["pid"] is not None and processes.is_same(child["pid"], child["started_ticks"] or -1)
            word = child["state"] if alive or child["state"] != "running" else "dead"
            healthy = healthy and alive
            memory = _tree_memory(child["pid"]) if alive else 0.0
            lines.append(_row(name, word, child["pid"], child["since"], child["restarts"], memory, child["last_exit"]))
    docker = Engine(here.docker_socket).answers()
    if here.is_joined:
        joined = os.path.exists(here.identity_file)
        lines.append(f"joined       {'yes' if joined else 'not yet'}, {here.api_url}")
        return lines, healthy and docker and joined
    api = api_answers(here)
    lines.append(f"docker       {'answers' if docker else 'no answer'} at {here.docker_socket}")
    lines.append(f"api          {'answers' if api else 'no answer'} at {here.own_api_url}")
    return lines, healthy and docker and api


def api_answers(here: Installation, timeout_seconds: float = 3.0) -> bool:
    connection: http.client.HTTPConnection
    if here.api_scheme == "https":
        # A knock that tells nothing and believes nothing: which name the certificate is for is others' to check.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(*here.api_address, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(*here.api_address, timeout=timeout_seconds)
    try:
        connection.request("GET", "/", headers={"Accept": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def down(here: Installation) -> str:
    """Stop the supervisor and with it every program; answers what was done."""
    pid = lock.holder(here.lock_file)
    if not pid:
        return "already down"
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return "already down"
    except PermissionError as error:
        raise errors.Forbidden(f"The supervisor (pid {pid}) is not yours to stop; use sudo.") from error
    deadline = time.monotonic() + DOWN_TIMEOUT_SECONDS
    while lock.holder(here.lock_file) is not None:
        if time.monotonic() > deadline:
            raise errors.Failed(
                f"The supervisor (pid {pid}) did not end within {DOWN_TIMEOUT_SECONDS:g} s; see {here.path('log')}; "
                "if you kill -9 it, the kernel ends its programs with it."
            )
        time.sleep(0.05)
    return f"down (pid {pid} ended); containers live on"


def _row(
    name: str, state: str, pid: int | None, since: float, restarts: int, memory_mib: float, last: str | None
) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return _ROW.format(name, state, pid or "-", when, restarts, f"{memory_mib:.1f}", last or "").rstrip()


def _own_memory(pid: int) -> float:
    return processes.memory_kib(pid) / 1024


def _tree_memory(pid: int) -> float:
    return sum(processes.memory_kib(member) for member in processes.tree(pid)) / 1024
