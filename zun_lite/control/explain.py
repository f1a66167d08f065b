# SPDX-License-Identifier: Apache-2.0
"""Collect what is known of why a container is as it is: of SQL, and of its host where something is under way there.

Nothing is written, and a host is asked only while it has something to do: its answer comes from the agent's memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from zun_lite.control.create import pinned_host_of, request_of
from zun_lite.control.means import Means
from zun_lite.control.place import sift_hosts
from zun_lite.db import actions, hosts
from zun_lite.db.actions import Action
from zun_lite.db.hosts import Host
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.explanation import Facts
from zun_lite.domain.host_work import HostWork


@dataclass(frozen=True)
class Explained:
    """host_problem: what the container's host says is wrong with it, for administrators."""

    facts: Facts
    host_problem: str | None


def explain(means: Means, caller: Caller, workload: Workload) -> Explained:
    """As of now."""
    with means.db.read() as tx:
        host = hosts.get(tx, workload.host) if workload.host else None
        history = actions.of_workload(tx, workload.uuid)
    stopped = next((action for action in history if action.stage), None)
    if workload.ready or (stopped is not None and stopped.finished_at is not None and not workload.failure):
        stopped = None
    sifted = next((action.sifted for action in history if action.sifted), ()) if host is None else ()
    facts = Facts(
        spec=workload.spec,
        goal=workload.goal,
        status=workload.status,
        reason=workload.status_reason,
        placed=workload.host is not None,
        ready=workload.ready,
        wiring=workload.wiring,
        observed=workload.observed,
        failure=workload.failure,
        stage=stopped.stage if stopped else None,
        stage_reason=stopped.reason if stopped else None,
        sifted=sifted,
        fits_now=bool(sifted) and _fits_now(means, caller, workload),
        work=_work(means, caller, workload, host),
        last_action=_last_done(history),
    )
    return Explained(facts, host.problem if host else None)


def _work(means: Means, caller: Caller, workload: Workload, host: Host | None) -> HostWork | None:
    if host is None or host.state == hosts.UNKNOWN or not workload.ready or workload.task_state is None:
        return None
    try:
        return means.agents.work(host.uuid, host.address, workload.uuid, caller.global_id)
    except errors.ZunError:
        # what it last reported is known all the same
        return None


def _fits_now(means: Means, caller: Caller, workload: Workload) -> bool:
    try:
        request = request_of(workload.spec, pinned_host_of(means, caller, workload.spec))
    except errors.ZunError:
        # its volumes are gone, or lie apart
        return False
    with means.db.read() as tx:
        return sift_hosts(tx, request, means.ratios)[-1].left > 0


def _last_done(history: list[Action]) -> str:
    """The newest that was carried out."""
    return next((action.action for action in history if action.finished_at and not action.message), "")
