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
ON, OFF = "on", "off"


@dataclass(frozen=True)
class Goal:
    """What should be true now.

    run and build are commands made into levels: each start or reboot raises run, each rebuild
    raises build, and the agent's journal holds the numbers that it has carried out.
    """

    presence: str = PRESENT
    power: str = OFF
    run: int = 0
    build: int = 1
    stop_timeout_seconds: int = 10

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
    error: why the last plan failed; final: it will not be tried again before the goal changes.
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
    started_at: str | None = None
    finished_at: str | None = None
    error: str | None = None
    final: bool = False
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[int, ...] = ()
    formatted: tuple[str, ...] = ()
    members: tuple[tuple[str, Observed], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any] | None) -> Observed | None:
        if body is None:
            return None
        found = known(cls, body)
        for key in ("command", "entrypoint", "ports", "formatted"):
            if found.get(key) is not None:
                found[key] = tuple(found[key])
        members = ((uuid, cls.from_json(member)) for uuid, member in found.get("members", ()))
        found["members"] = tuple((uuid, member) for uuid, member in members if member is not None)
        return cls(**found)


@dataclass(frozen=True)
class Status:
    """The wire's view: status, task_state (None when idle) and the reason of an Error."""

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
    if observed is None or observed.build == 0:
        if observed is not None and observed.error and observed.final and observed.generation == generation:
            return Status("Error", None, observed.error)
        return Status("Creating", "container_creating")
    if observed.error and observed.final and observed.generation == generation:
        return Status("Error", None, observed.error)
    if observed.build < goal.build:
        return Status("Rebuilding", "container_rebuilding")
    return _status_of_made(goal, observed)


def _status_of_made(goal: Goal, observed: Observed) -> Status:
    starting = goal.power == ON and observed.run < goal.run
    if observed.state == "running":
        if starting:
            return Status("Restarting", "container_rebooting")
        return Status("Running", "container_stopping" if goal.power == OFF else None)
    if observed.state == "missing":
        return Status("Error", None, observed.error or "The container is gone from its host.")
    shown = {"created": "Created", "exited": "Stopped", "paused": "Paused", "restarting": "Restarting", "dead": "Dead"}
    return Status(shown.get(observed.state, "Unknown"), "container_starting" if starting else None)


@dataclass(frozen=True)
class Action:
    """A verb of the API: in which statuses it is allowed, and the goal that it makes.

    policy: the rule that must allow it. done: whether observed shows that it was carried out,
    once the agent has acted on its generation.
    """

    name: str
    allowed: frozenset[str]
    change: Callable[[Goal], Goal]


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
            lambda goal: replace(goal, power=ON, run=goal.run + 1),
        ),
        Action("stop", _statuses("Running"), lambda goal: replace(goal, power=OFF)),
        Action(
            "delete",
            _statuses("Created", "Stopped", "Error", "Dead", "Deleted", "Deleting"),
            lambda goal: replace(goal, presence=ABSENT, power=OFF),
        ),
        Action(
            "delete_stop",
            _statuses("Created", "Running", "Stopped", "Error", "Dead", "Deleted", "Deleting"),
            lambda goal: replace(goal, presence=ABSENT, power=OFF),
        ),
        Action(
            "delete_force",
            EVERY_STATUS - {"Paused"},
            lambda goal: replace(goal, presence=ABSENT, power=OFF, stop_timeout_seconds=0),
        ),
    )
}

# Verbs that change no goal: they pass through to the agent while the status allows it.
PASS_THROUGH: dict[str, frozenset[str]] = {
    "execute": _statuses("Running"),
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
    if goal.power == ON:
        return observed.run >= goal.run
    return observed.state != "running"


def failed(generation: int, observed: Observed) -> bool:
    """Whether the agent has given up on this goal."""
    return observed.generation >= generation and observed.final and observed.error is not None
