# SPDX-License-Identifier: Apache-2.0
"""The life of a workload: what should be true, what was seen, and what users are told of it.

Goal is written by the control plane only, Observed by the agent only. status_of() is the one
place where the two become the wire's `status` and `task_state`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from zun_lite.domain.stored import known

PRESENT, ABSENT = "present", "absent"
ON, OFF, PAUSED = "on", "off", "paused"
STOP_TIMEOUT_SECONDS = 10
UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Goal:
    """What should be true now.

    run, build and signals are commands made into levels: each start or reboot raises run, each rebuild
    build and each kill signals, and the agent's journal holds the numbers that it has carried out.
    reboot_run: the last run that a reboot asked for. signal: the name of the last signal to be sent.
    """

    presence: str = PRESENT
    power: str = OFF
    run: int = 0
    build: int = 1
    stop_timeout_seconds: int = STOP_TIMEOUT_SECONDS
    reboot_run: int = 0
    signals: int = 0
    signal: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Goal:
        return cls(**known(cls, body))


@dataclass(frozen=True)
class Observed:
    """What the agent last saw, and the generation of the goal that it had acted on.

    state: missing (not made yet, or lost), created, running, paused, restarting, exited, dead, or
    absent (removed as ordered, nothing left on the host).
    error: why the last plan failed, failed_step: at which of its steps; final: it will not be tried again before
    the goal changes; spared: what failed left the container as it was.
    out_of_memory: its last run was ended by the kernel, because it used all the memory that it may.
    health: starting, healthy or unhealthy, where the container has a health check and runs.
    plugged: ids of the ports that its container is connected to; None: unknown, or there is no container.
    members: of a capsule, what was seen of each of its containers, by the container's uuid.
    """

    generation: int = 0
    epoch: int = 0
    run: int = 0
    build: int = 0
    state: str = "missing"
    container_id: str | None = None
    hostname: str | None = None
    exit_code: int | None = None
    out_of_memory: bool = False
    started_at: str | None = None
    finished_at: str | None = None
    error: str | None = None
    failed_step: str = ""
    final: bool = False
    spared: bool = False
    signals: int = 0
    health: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[int, ...] = ()
    formatted: tuple[str, ...] = ()
    plugged: tuple[str, ...] | None = None
    members: tuple[tuple[str, Observed], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any] | None) -> Observed | None:
        if body is None:
            return None
        found = known(cls, body)
        for key in ("command", "entrypoint", "ports", "formatted", "plugged"):
            if found.get(key) is not None:
                found[key] = tuple(found[key])
        members = ((uuid, cls.from_json(member)) for uuid, member in found.get("members", ()))
        found["members"] = tuple((uuid, member) for uuid, member in members if member is not None)
        return cls(**found)


@dataclass(frozen=True)
class Status:
    """The wire's view: status, task_state (None when idle) and the reason where something is amiss."""

    status: str
    task_state: str | None = None
    reason: str | None = None


def status_of(
    goal: Goal,
    generation: int,
    observed: Observed | None,
    *,
    failure: str | None = None,
    host_known: bool = True,
) -> Status:
    """What to tell a user.

    failure: why the control plane could not place or provide for the workload.
    host_known: False when the workload's host has not been heard of.
    """
    if goal.presence == ABSENT:
        return Status("Deleting", "container_deleting", observed.error if observed else None)
    if failure:
        return Status("Error", None, failure)
    if not host_known and observed is not None:
        return Status("Unknown", None, "The host of this container does not answer.")
    given_up = observed is not None and failed(generation, observed)
    if given_up and observed is not None and not observed.spared:
        return Status("Error", None, observed.error)
    # what the host waits for, while it tries again; what it once gave up is not that
    waits_for = observed.error if observed is not None and not observed.final else None
    if observed is None or observed.build < goal.build:
        if goal.build > 1:
            return Status("Rebuilding", "container_rebuilding", waits_for)
        return Status("Creating", "container_creating", waits_for)
    if given_up:
        return replace(_status_of_idle(observed), reason=observed.error)
    made = _status_of_made(goal, observed)
    return made if made.reason else replace(made, reason=waits_for)


_SHOWN = {
    "created": "Created",
    "running": "Running",
    "exited": "Stopped",
    "paused": "Paused",
    "restarting": "Restarting",
    "dead": "Dead",
}


def _status_of_made(goal: Goal, observed: Observed) -> Status:
    starting = goal.power != OFF and observed.run < goal.run
    if starting and (goal.run == goal.reboot_run or observed.state == "running"):
        return Status("Restarting", "container_rebooting")
    idle = _status_of_idle(observed)
    if idle.status == "Error":
        return idle
    return replace(idle, task_state="container_starting" if starting else _task_of_running(goal, observed))


def _status_of_idle(observed: Observed) -> Status:
    if observed.state == "missing":
        return Status("Error", None, observed.error or "The container is gone from its host.")
    status = _SHOWN.get(observed.state, "Unknown")
    ill = status == "Running" and observed.health == UNHEALTHY
    return Status(status, None, "The container runs, but its health check fails." if ill else None)


def _task_of_running(goal: Goal, observed: Observed) -> str | None:
    if goal.power == OFF:
        return "container_stopping" if observed.state in ("running", "paused") else None
    if observed.signals < goal.signals:
        return "container_killing" if observed.state == "running" else None
    if goal.power == PAUSED:
        return "container_pausing" if observed.state == "running" else None
    return "container_unpausing" if observed.state == "paused" else None


@dataclass(frozen=True)
class Action:
    """A verb of the API: in which statuses it is allowed, and the goal that it makes.

    change: from the goal, as settled() has it, and the status at that moment.
    """

    name: str
    allowed: frozenset[str]
    change: Callable[[Goal, str], Goal]


def _statuses(*names: str) -> frozenset[str]:
    return frozenset(names)


EVERY_STATUS = _statuses(
    "Created", "Running", "Stopped", "Paused", "Error", "Unknown", "Dead", "Deleted", "Creating", "Restarting",
    "Rebuilding", "Deleting",
)  # fmt: skip

ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action(
            "start",
            _statuses("Created", "Stopped", "Error"),
            lambda goal, status: replace(goal, power=ON, run=goal.run + 1),
        ),
        Action(
            "stop",
            _statuses("Running"),
            lambda goal, status: replace(goal, power=OFF, stop_timeout_seconds=STOP_TIMEOUT_SECONDS),
        ),
        Action(
            "reboot",
            _statuses("Created", "Running", "Stopped", "Error"),
            lambda goal, status: replace(
                goal,
                power=ON,
                run=goal.run + 1,
                reboot_run=goal.run + 1,
                stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
            ),
        ),
        Action("pause", _statuses("Running"), lambda goal, status: replace(goal, power=PAUSED)),
        Action("unpause", _statuses("Paused"), lambda goal, status: replace(goal, power=ON)),
        Action("kill", _statuses("Running"), lambda goal, status: replace(goal, signals=goal.signals + 1)),
        Action(
            "rebuild",
            _statuses("Created", "Running", "Stopped", "Error"),
            lambda goal, status: replace(
                goal,
                power=goal.power if status == "Running" else OFF,
                build=goal.build + 1,
                reboot_run=0,
                stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
            ),
        ),
        Action("update", _statuses("Created", "Running", "Stopped", "Paused"), lambda goal, status: goal),
        Action("resize_container", _statuses("Created", "Running", "Stopped", "Paused"), lambda goal, status: goal),
        Action(
            "delete",
            _statuses("Created", "Stopped", "Error", "Dead", "Deleted", "Deleting"),
            lambda goal, status: replace(goal, presence=ABSENT, power=OFF),
        ),
        Action(
            "delete_stop",
            _statuses("Created", "Running", "Stopped", "Error", "Dead", "Deleted", "Deleting"),
            lambda goal, status: replace(goal, presence=ABSENT, power=OFF, stop_timeout_seconds=STOP_TIMEOUT_SECONDS),
        ),
        Action(
            "delete_force",
            EVERY_STATUS - {"Paused"},
            lambda goal, status: replace(goal, presence=ABSENT, power=OFF, stop_timeout_seconds=0),
        ),
    )
}

# Verbs that change no goal: they pass through to the agent while the status allows it.
PASS_THROUGH: dict[str, frozenset[str]] = {
    **{verb: _statuses("Running") for verb in ("execute", "execute_resize", "attach", "resize", "top", "stats")},
    "port_forward": _statuses("Running"),
    **{verb: _statuses("Created", "Running", "Stopped", "Paused") for verb in ("get_archive", "put_archive")},
    "commit": _statuses("Running", "Stopped", "Paused"),
    "logs": _statuses("Created", "Running", "Stopped", "Paused", "Error", "Unknown"),
}


def carried_out(goal: Goal, generation: int, observed: Observed) -> bool:
    """Whether the agent has done all that this goal asks, so that its action is finished."""
    if observed.generation < generation:
        return False
    if goal.presence == ABSENT:
        return observed.state == "absent"
    if observed.build < goal.build:
        return False
    if goal.power == OFF:
        return observed.state not in ("running", "paused", "restarting")
    if observed.run < goal.run:
        return False
    return observed.state != ("running" if goal.power == PAUSED else "paused")


def settled(goal: Goal, generation: int, observed: Observed | None) -> Goal:
    """The goal as a next change must take it: a pause or its end that was given up is not tried once more."""
    if observed is None or not (failed(generation, observed) and observed.spared):
        return goal
    if goal.power == PAUSED and observed.state != "paused":
        return replace(goal, power=ON)
    if goal.power == ON and observed.state == "paused":
        return replace(goal, power=PAUSED)
    return goal


def failed(generation: int, observed: Observed) -> bool:
    """Whether the agent has given up on this goal."""
    return observed.generation >= generation and observed.final and observed.error is not None
