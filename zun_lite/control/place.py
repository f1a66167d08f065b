# SPDX-License-Identifier: Apache-2.0
"""Give a workload its host, inside the transaction that accepts it.

Hosts are weighed by a first reading; the chosen host's revision is then raised, which holds it,
and it is read and its use is counted again, so that two transactions cannot both take the last room
and a host that was disabled or removed meanwhile gets nothing.
"""

from __future__ import annotations

import logging
import random
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.db import hosts, revisions, workloads
from zun_lite.domain.desired import Inventory
from zun_lite.domain.explanation import Sifted
from zun_lite.domain.resources import Ratios, Resources
from zun_lite.scheduler.choose import choose
from zun_lite.scheduler.filters import Candidate, Request, check, sift

LOG = logging.getLogger(__name__)
NO_HOST = "There are not enough hosts available."
SAMPLE = 20
MOST_REASONS = 10


def place(tx: sa.Connection, request: Request, ratios: Ratios) -> str | tuple[Sifted, ...]:
    """The uuid of a host that has room, claimed by the caller's insert in this transaction; else why there is none."""
    known = hosts.every(tx)
    possible = [host for host in known if check(_candidate(host, Resources()), request, ratios) is None]
    sampled = random.sample(possible, SAMPLE) if len(possible) > SAMPLE else []
    found = (sampled and _claim(tx, sampled, request, ratios)) or _claim(tx, possible, request, ratios)
    if found is not None:
        return found
    sifted = sift_hosts(tx, request, ratios)
    _tell_operator([refusal for each in sifted for refusal in each.refused])
    return tuple(replace(each, refused=each.refused[:MOST_REASONS]) for each in sifted)


def sift_hosts(tx: sa.Connection, request: Request, ratios: Ratios) -> tuple[Sifted, ...]:
    """What each filter leaves of the hosts as they are now. Names and reasons are for administrators alone."""
    known = hosts.every(tx)
    used = workloads.usage_of_hosts(tx, [host.uuid for host in known])
    return sift([_candidate(host, used.get(host.uuid, Resources())) for host in known], request, ratios)


def _tell_operator(refusals: list[tuple[str, str]]) -> None:
    shown = "; ".join(f"{name}: {reason}" for name, reason in refusals[:MOST_REASONS])
    rest = f"; and {len(refusals) - MOST_REASONS} more" if len(refusals) > MOST_REASONS else ""
    LOG.info("no host has room: %s%s", shown or "there is none", rest)


def _claim(tx: sa.Connection, known: list[hosts.Host], request: Request, ratios: Ratios) -> str | None:
    used = workloads.usage_of_hosts(tx, [host.uuid for host in known])
    candidates = [_candidate(host, used.get(host.uuid, Resources())) for host in known]
    for candidate in choose(candidates, request, ratios):
        revisions.raise_one(tx, revisions.host(candidate.uuid))
        held = hosts.get(tx, candidate.uuid)
        if held and check(_candidate(held, workloads.usage_of_host(tx, held.uuid)), request, ratios) is None:
            return held.uuid
    return None


def _candidate(host: hosts.Host, used: Resources) -> Candidate:
    inventory = host.inventory or Inventory(Resources())
    return Candidate(
        host.uuid,
        host.name,
        host.state,
        host.disabled,
        host.problem,
        inventory.capacity,
        used,
        host.forced_down,
        host.availability_zone,
        inventory.runtimes,
        inventory.labels,
    )
