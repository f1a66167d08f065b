# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/container_actions: who asked for what, and what came of it."""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.container import views
from zun_lite.api.container.containers import find
from zun_lite.api.media import answer
from zun_lite.control import actions
from zun_lite.control.means import Means
from zun_lite.domain import errors


class History:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload = find(self._means, req.context.caller, ident, "actions", {})
        answer(resp, {"containerActions": [views.action(row) for row in actions.history(self._means, workload)]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, request_id: str) -> None:
        workload = find(self._means, req.context.caller, ident, "actions", {})
        for row in actions.history(self._means, workload):
            if row.request_id == request_id:
                traceback = policy.allows(req.context.caller, "container:action:events")
                answer(resp, {**views.action(row), "events": views.action_events(row, traceback=traceback)})
                return
        raise errors.NotFound(f"Container {workload.uuid} has no action with the request id {request_id}.")
