# SPDX-License-Identifier: Apache-2.0
"""Verbs that pass through to a workload's agent: they read or run, and change no goal."""

from __future__ import annotations

from typing import Any

from zun_lite.control.actions import check_pass_through
from zun_lite.control.means import Means
from zun_lite.control.stream_grants import Limits, check_room
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller


def execute(means: Means, caller: Caller, workload: Workload, command: list[str]) -> tuple[str, int]:
    """Run a command in a running container: its output and exit code. WrongState, Conflict, Unavailable."""
    host = check_pass_through(means, workload, "execute")
    return means.agents.execute(
        host.uuid, host.address, workload.uuid, caller.global_id, command, means.execute_timeout_seconds
    )


def logs(
    means: Means,
    caller: Caller,
    workload: Workload,
    *,
    stdout: bool = True,
    stderr: bool = True,
    timestamps: bool = False,
    tail: int | str = "all",
    since: int | None = None,
) -> str:
    """A container's log, stdout and stderr interleaved. since: seconds since 1970."""
    host = check_pass_through(means, workload, "logs")
    query = {"stdout": stdout, "stderr": stderr, "timestamps": timestamps, "tail": tail, "since": since}
    return means.agents.logs(
        host.uuid,
        host.address,
        workload.uuid,
        caller.global_id,
        {key: value for key, value in query.items() if value is not None},
    )


def top(means: Means, caller: Caller, workload: Workload, ps_args: str | None) -> dict[str, Any]:
    """What runs in a running container: {"titles": [str], "rows": [[str]]}."""
    host = check_pass_through(means, workload, "top")
    return means.agents.top(host.uuid, host.address, workload.uuid, caller.global_id, ps_args)


def stats(means: Means, caller: Caller, workload: Workload) -> dict[str, Any]:
    """What a running container uses: the numbers of the agent's Usage."""
    host = check_pass_through(means, workload, "stats")
    return means.agents.stats(host.uuid, host.address, workload.uuid, caller.global_id)


def get_archive(means: Means, caller: Caller, workload: Workload, path: str) -> tuple[bytes, dict[str, Any]]:
    """A plain tar of a path in a container, and what is known of that path. Invalid: nothing there, or too much."""
    host = check_pass_through(means, workload, "get_archive")
    return means.agents.get_archive(host.uuid, host.address, workload.uuid, caller.global_id, path)


def put_archive(means: Means, caller: Caller, workload: Workload, path: str, content: bytes) -> None:
    """Unpack a plain tar in a folder of a container. Invalid: no such folder, or not such an archive."""
    host = check_pass_through(means, workload, "put_archive")
    means.agents.put_archive(host.uuid, host.address, workload.uuid, caller.global_id, path, content)


def resize(means: Means, caller: Caller, workload: Workload, height: int, width: int) -> None:
    """Set the size of the main process's terminal. Invalid: it has none."""
    host = check_pass_through(means, workload, "resize")
    means.agents.resize(host.uuid, host.address, workload.uuid, caller.global_id, height, width)


def resize_exec(means: Means, caller: Caller, workload: Workload, exec_id: str, height: int, width: int) -> None:
    """Set the size of a command's terminal. Invalid: no such command runs in this container."""
    host = check_pass_through(means, workload, "execute_resize")
    means.agents.resize_exec(host.uuid, host.address, workload.uuid, caller.global_id, exec_id, height, width)


def create_exec(
    means: Means, caller: Caller, workload: Workload, command: list[str], limits: Limits, *, terminal: bool
) -> str:
    """The id of a command that waits for somebody to open its stream. TooMany: there are enough."""
    host = check_pass_through(means, workload, "execute")
    with means.db.read() as tx:
        check_room(tx, workload, limits)
    return means.agents.create_exec(
        host.uuid, host.address, workload.uuid, caller.global_id, command, terminal=terminal
    )


def check_attach(means: Means, workload: Workload) -> None:
    """WrongState unless it runs; Invalid unless it was made to be attached to."""
    check_pass_through(means, workload, "attach")
    if not workload.spec.interactive:
        raise errors.Invalid(
            f"Container {workload.uuid} is not interactive, so there is nothing to attach to; create it with "
            "interactive set.",
            kind="NotInteractive",
        )
