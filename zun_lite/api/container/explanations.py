# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/explanation: why a container is as it is. A path of our own, besides the reference's.

A tenant is told how many hosts each filter left; which ones they are, and what is wrong with them, only an
administrator.
"""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.container.containers import find
from zun_lite.api.media import answer
from zun_lite.api.waits import Waits
from zun_lite.control.explain import Explained, explain
from zun_lite.control.means import Means
from zun_lite.db.workloads import Workload
from zun_lite.domain.explanation import Sifted, sentence, stages


class Explanations:
    def __init__(self, means: Means, waits: Waits) -> None:
        self._means = means
        self._waits = waits

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        workload = find(self._means, caller, ident, "explain", {})
        with self._waits.one():
            explained = explain(self._means, caller, workload)
        answer(resp, _shown(workload, explained, hosts=policy.allows(caller, "container:explain:hosts")))


def _shown(workload: Workload, explained: Explained, *, hosts: bool) -> dict[str, Any]:
    facts = explained.facts
    layers = facts.work.layers if facts.work is not None else ()
    body = {
        "uuid": workload.uuid,
        "name": workload.name,
        "status": workload.status,
        "task_state": workload.task_state,
        "status_reason": workload.status_reason,
        "sentence": sentence(facts),
        "stages": [{"name": stage.name, "state": stage.state, "detail": stage.detail} for stage in stages(facts)],
        "layers": [
            {"id": layer.ident, "state": layer.state, "done_bytes": layer.done_bytes, "total_bytes": layer.total_bytes}
            for layer in layers
        ],
        "filters": [_sifted(each, hosts=hosts) for each in facts.sifted],
    }
    if hosts:
        body["host_problem"] = explained.host_problem
    return body


def _sifted(each: Sifted, *, hosts: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": each.name, "left": each.left}
    if hosts:
        shown["refused"] = [{"host": host, "reason": reason} for host, reason in each.refused]
    return shown
