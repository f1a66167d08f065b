# SPDX-License-Identifier: Apache-2.0
"""Which hosts may take a workload, and why the others may not.

A filter is a function of a candidate and a request that answers None, or the reason against it in
a few words. Pure: candidates are values, the caller reads them from SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from zun_lite.domain.explanation import Sifted
from zun_lite.domain.resources import Ratios, Resources


@dataclass(frozen=True)
class Candidate:
    """A host as the scheduler sees it. used: claimed by the workloads placed there.

    runtimes: those that a user may ask for. labels: like disk=fast, its operator's own.
    """

    uuid: str
    name: str
    state: str
    disabled: bool
    problem: str | None
    capacity: Resources
    used: Resources
    forced_down: bool = False
    zone: str = ""
    runtimes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What is to be placed. pinned: the uuid of the only host where its volumes are.

    host: the uuid of the only host that its user wants. labels: what the host must be labelled with.
    """

    claim: Resources
    pinned: str | None = None
    host: str | None = None
    zone: str | None = None
    runtime: str | None = None
    labels: tuple[str, ...] = ()


Filter = Callable[[Candidate, Request, Ratios], str | None]


def is_ready(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return None if candidate.state == "ready" else f"its state is {candidate.state}"


def is_enabled(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return "it is disabled" if candidate.disabled else None


def is_not_forced_down(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return "an operator said that it is down" if candidate.forced_down else None


def has_no_problem(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return f"it has a problem: {candidate.problem}" if candidate.problem else None


def is_where_volumes_are(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return None if request.pinned in (None, candidate.uuid) else "the volume is on another host"


def is_the_host_asked_for(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return None if request.host in (None, candidate.uuid) else "another host was asked for"


def is_in_the_zone(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    return None if request.zone in (None, candidate.zone) else f"its zone is {candidate.zone}"


def has_the_runtime(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    known = request.runtime is None or request.runtime in candidate.runtimes
    return None if known else f"it has no runtime {request.runtime}"


def has_the_labels(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    lacking = [label for label in request.labels if label not in candidate.labels]
    return f"it is not labelled {lacking[0]}" if lacking else None


def has_room(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    lacking = ratios.promised(candidate.capacity).lacking_for(request.claim, candidate.used)
    if not lacking and request.claim.memory_mib > candidate.capacity.memory_mib:
        lacking = ["memory"]
    return f"it lacks {', '.join(lacking)}" if lacking else None


FILTERS: tuple[Filter, ...] = (
    is_ready,
    is_enabled,
    is_not_forced_down,
    has_no_problem,
    is_where_volumes_are,
    is_the_host_asked_for,
    is_in_the_zone,
    has_the_runtime,
    has_the_labels,
    has_room,
)


def check(candidate: Candidate, request: Request, ratios: Ratios) -> str | None:
    """The first reason against this host, or None."""
    for filter_ in FILTERS:
        reason = filter_(candidate, request, ratios)
        if reason:
            return reason
    return None


def sift(candidates: Sequence[Candidate], request: Request, ratios: Ratios) -> tuple[Sifted, ...]:
    """Filter by filter, up to the first that leaves no host."""
    found, left = [], list(candidates)
    for filter_ in FILTERS:
        said = [(candidate, filter_(candidate, request, ratios)) for candidate in left]
        left = [candidate for candidate, reason in said if reason is None]
        refused = tuple((candidate.name, reason) for candidate, reason in said if reason is not None)
        found.append(Sifted(filter_.__name__.replace("_", " "), len(left), refused))
        if not left:
            break
    return tuple(found)
