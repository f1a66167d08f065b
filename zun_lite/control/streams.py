# SPDX-License-Identifier: Apache-2.0
"""Verbs that pass through to a workload's agent: they read or run, and change no goal."""

from __future__ import annotations

from zun_lite.control.actions import check_pass_through
from zun_lite.control.means import Means
from zun_lite.db.workloads import Workload
from zun_lite.domain.caller import Caller


def execute(means: Means, caller: Caller, workload: Workload, command: list[str]) -> tuple[str, int]:
    """Run a command in a running container: its output and exit code. WrongState, Conflict, Unavailable."""
    host = check_pass_through(means, workload, "execute")
    return means.agents.execute(
        host.uuid, host.address, workload.uuid, caller.request_id, command, means.execute_timeout_seconds
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
        caller.request_id,
        {key: value for key, value in query.items() if value is not None},
    )
