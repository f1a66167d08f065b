# SPDX-License-Identifier: Apache-2.0
"""Who did what to which object, from where, and how it ended: one record a request, in CADF's terms.

Every change, everything that was denied, and every stream that was asked for or opened; what is merely read
is not. Records hold ids, the route and the outcome. Nothing of a body, a query or a header gets in, and of the
path only what a route names as an id, for clients write secrets in all of them.
"""

from __future__ import annotations

import datetime
import logging
import uuid
from typing import Any

import falcon
import orjson
from falcon.routing import CompiledRouter

from zun_lite.api import paths
from zun_lite.common.clock import Clock
from zun_lite.domain import names
from zun_lite.domain.caller import Caller

LOGGER = "zun_lite.audit"
EVENT = "http://schemas.dmtf.org/cloud/audit/1.0/event"
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_ACTIONS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_TOKENS = "/identity/v3/auth/tokens"
_TOKEN_ACTIONS = {"POST": "authenticate/login", "DELETE": "authenticate/logout"}
# reads that give a way into a container, and the one request of gateways that does
_STREAMS = ("/attach", "/streams/open", "/streams/begin")
_DENIED = (401, 403)
_DOCKER_PORTS = "/node/v1/docker/ports"


class Audit:
    """Falcon middleware. It looks at the finished answer, so it stands before all others.

    router: the application's. What was refused before it was routed is still to be named.
    """

    def __init__(self, clock: Clock, router: CompiledRouter) -> None:
        self._clock = clock
        self._router = router
        self._log = logging.getLogger(LOGGER)

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        status = falcon.http_status_to_code(resp.status)
        if status in _DENIED or req.method not in _READS or req.path.endswith(_STREAMS):
            found = self._router.find(req.path)
            template, values = (found[3] or "", found[2]) if found else ("", {})
            if _is_recorded(req, template, status):
                record = self._record(req, resp, status, template, [str(value) for value in values.values()])
                self._log.info("%s", orjson.dumps(record).decode())

    def _record(
        self, req: falcon.Request, resp: falcon.Response, status: int, template: str, named: list[str]
    ) -> dict[str, Any]:
        moment = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC)
        body = _body(resp) if status < 400 else {}
        return {
            "typeURI": EVENT,
            "id": str(uuid.uuid4()),
            "eventType": "activity",
            "eventTime": moment.isoformat(timespec="milliseconds"),
            "action": _action(req.method, template),
            "outcome": "pending" if status == 202 else "success" if status < 400 else "failure",
            "reason": {"reasonType": "HTTP", "reasonCode": str(status)},
            "initiator": _initiator(req, template, body),
            "target": {"typeURI": template or "unknown", "id": _target(req, template, named, body)},
            "observer": {"typeURI": f"service/{_service(req)}", "id": "zun-lite-api"},
            "requestId": getattr(req.context, "request_id", ""),
        }


def _service(req: falcon.Request) -> str:
    return str(req.env.get(paths.SERVICE_KEY, paths.CONTAINER))


def _is_recorded(req: falcon.Request, template: str, status: int) -> bool:
    if status in _DENIED or template.endswith(_STREAMS):
        return True
    # what hosts and gateways report is their work, not anybody's act; but this is some user's of a host's own Docker
    return req.method not in _READS and (_service(req) != paths.NODE or template == _DOCKER_PORTS)


def _action(method: str, template: str) -> str:
    if template == _TOKENS and method in _TOKEN_ACTIONS:
        return _TOKEN_ACTIONS[method]
    before, _, last = template.rpartition("/")
    if method in _READS:
        return f"read/{last}" if template.endswith(_STREAMS) else "read"
    # a word behind an id is what is done to it
    if before.endswith("}") and not last.startswith("{") and method != "DELETE":
        return f"update/{last}"
    return _ACTIONS.get(method, "unknown")


def _initiator(req: falcon.Request, template: str, body: dict[str, Any]) -> dict[str, Any]:
    address = req.env.get("REMOTE_ADDR") or ""
    found: dict[str, Any] = {"typeURI": "service/security/account/user", "id": "unknown", "host": {"address": address}}
    caller: Caller | None = getattr(req.context, "caller", None)
    if caller is not None:
        found |= {"id": caller.user_id, "project_id": caller.project_id, "roles": sorted(caller.roles)}
        if caller.global_request_id:
            found["globalRequestId"] = caller.global_request_id
    elif (host_uuid := getattr(req.context, "host_uuid", None)) is not None:
        found |= {"typeURI": "service/compute/node", "id": host_uuid}
    elif template == _TOKENS and body:
        # who logs in is nobody before
        found["id"] = str(((body.get("token") or {}).get("user") or {}).get("id"))
    return found


def _target(req: falcon.Request, template: str, named: list[str], body: dict[str, Any]) -> str:
    """The id of what was acted on, or of what was made; "unknown" where there is none, or it was called by a name.

    A name is a tenant's own text and may be anything; the answer may tell the id.
    """
    marked = getattr(req.context, "audited_id", None)
    if marked is not None:
        return str(marked)
    if ids := [text for text in named if names.is_id(text)]:
        return ids[-1]
    inner = next(iter(body.values())) if len(body) == 1 else None
    for one in (body, inner) if template != _TOKENS else ():
        found = one.get("uuid") or one.get("id") if isinstance(one, dict) else None
        if isinstance(found, str) and names.is_id(found):
            return found
    return "unknown"


def _body(resp: falcon.Response) -> dict[str, Any]:
    try:
        found = orjson.loads(resp.data or resp.text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
