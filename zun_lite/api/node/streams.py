# SPDX-License-Identifier: Apache-2.0
"""What gateways call, under /node/v1/streams. A gateway proves itself with a token signed by the gateways' key.

A stream is opened with a secret out of an address (open), or begun with the user's own token (begin).
Opening and checking look at the user's token, roles and rules anew, past every cache, so that a stream
ends with the right to it. changes is what event streams are fed by.
"""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import access_rules, media, paths, policy
from zun_lite.api.container.containers import find
from zun_lite.api.middleware import make_caller
from zun_lite.api.policy import Policy
from zun_lite.api.services import Services
from zun_lite.api.waits import Waits
from zun_lite.client.streams import SCHEME, SUBJECT
from zun_lite.common import grants, request_ids
from zun_lite.control import events, stream_grants, streams
from zun_lite.control.actions import check_pass_through
from zun_lite.control.means import Means
from zun_lite.control.stream_grants import EVENTS, Limits, Opened
from zun_lite.db import workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity.base import Token

MOST_AT_ONCE = 200
MAX_SECRET = 64
MAX_TOKEN = 16 * 1024
MAX_PROJECTS = 1000
# what is begun, and the request of the container API whose access rules it falls under
BEGUN = {
    "execute": ("POST", "/execute"),
    "attach": ("GET", "/attach"),
    "logs": ("GET", "/logs"),
    "get_archive": ("GET", "/get_archive"),
    "put_archive": ("POST", "/put_archive"),
    "port_forward": ("GET", "/port-forward"),
}
# who may listen is who may list
_RULES = {EVENTS: "get_all"}


def resources(services: Services, rules: Policy, waits: Waits) -> list[tuple[str, Any, str | None]]:
    """(path template, resource, suffix) of every route of this service."""
    found = Streams(services, rules, waits)
    return [(f"/node/v1/streams/{verb}", found, verb) for verb in ("open", "begin", "check", "release", "changes")]


class Streams:
    def __init__(self, services: Services, rules: Policy, waits: Waits) -> None:
        self._means: Means = services.means
        self._waits = waits
        conf = services.conf.gateway
        self._limits = Limits(conf.streams_per_workload, conf.streams_per_project)
        self._tokens = services.tokens
        self._rules = rules
        self._key_text = services.gateway_public_key

    def on_post_open(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Spend a secret; answers where to get the stream, and with what grant."""
        self._authenticate(req)
        body = media.read_object(req)
        exec_id = body.get("exec_id")
        secret, uuid = _secret(body.get("token")), body.get("uuid")
        if not isinstance(uuid, str) or not (exec_id is None or isinstance(exec_id, str)):
            raise errors.Invalid("A stream is opened with token, uuid and, for a command, exec_id.")
        opened = stream_grants.spend(self._means, secret, uuid, exec_id)
        req.context.audited_id = opened.grant.workload_uuid
        try:
            token = self._tokens.validate(opened.user_token)
            # whose stream it is, for the audit
            req.context.caller = self._check_right(opened, token)
            self._check_state(opened)
            target = stream_grants.target(self._means, opened.grant, request_ids.current().passed_on)
        except errors.ZunError:
            stream_grants.release(self._means, [secret])
            raise
        media.answer(resp, {"address": target.address, "grant": target.host_grant})

    def on_post_begin(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Open a stream with a user's own token; answers what it is checked by, and where to get it."""
        self._authenticate(req)
        body = media.read_object(req)
        user_token, verb, ident = (body.get(key) for key in ("user_token", "verb", "ident"))
        if not isinstance(user_token, str) or not 0 < len(user_token) <= MAX_TOKEN:
            raise errors.Unauthorized("The request carries no token.")
        token = self._tokens.validate(user_token)
        caller = make_caller(token, request_ids.current(), self._rules)
        # whose stream it is, for the audit
        req.context.caller = caller
        if verb == EVENTS:
            _check_access_rules(token, "GET", "/v1/containers")
            media.answer(resp, self._begin_events(caller, user_token))
            return
        if verb not in BEGUN or not isinstance(ident, str):
            raise errors.Invalid(f"A stream is begun with ident and verb, which is one of {', '.join(BEGUN)}.")
        method, below = BEGUN[verb]
        _check_access_rules(token, method, f"/v1/containers/{ident}{below}")
        workload = find(self._means, caller, ident, verb, {})
        req.context.audited_id = workload.uuid
        exec_id = None
        if verb == "attach":
            streams.check_attach(self._means, workload)
        elif verb == "execute":
            exec_id = self._create_exec(caller, workload, body)
        else:
            check_pass_through(self._means, workload, verb)
        secret, grant = stream_grants.begin(self._means, workload, verb, user_token, self._limits, exec_id)
        target = stream_grants.target(self._means, grant, request_ids.current().passed_on)
        media.answer(
            resp,
            {
                "token": secret,
                "uuid": workload.uuid,
                "exec_id": exec_id,
                "address": target.address,
                "grant": target.host_grant,
            },
        )

    def _begin_events(self, caller: Caller, user_token: str) -> dict[str, Any]:
        if caller.project_id is None:
            raise errors.Forbidden("Events are a project's; use a token that is scoped to one.")
        policy.enforce(caller, f"container:{_RULES[EVENTS]}", caller.project_id)
        secret = stream_grants.begin_events(self._means, caller.project_id, user_token, self._limits)
        return {"token": secret, "project_id": caller.project_id}

    def _create_exec(self, caller: Caller, workload: Workload, body: dict[str, Any]) -> str:
        command, terminal = body.get("command"), body.get("terminal", False)
        if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
            raise errors.Invalid("command must be given: a list of at least one text.")
        if not isinstance(terminal, bool):
            raise errors.Invalid("terminal is true or false.")
        with self._waits.one():
            return streams.create_exec(self._means, caller, workload, command, self._limits, terminal=terminal)

    def on_post_changes(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Status changes of projects since the revisions that were seen of them."""
        self._authenticate(req)
        found = events.changes(self._means, _since(media.read_object(req)))
        media.answer(resp, {"projects": {project_id: _changes(item) for project_id, item in found.items()}})

    def on_post_check(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Of some open streams, those that must end, by their position in the list."""
        self._authenticate(req)
        secrets = _secrets(media.read_object(req))
        known = stream_grants.look_up(self._means, secrets)
        tokens: dict[str, Token | errors.ZunError] = {}
        ended: list[dict[str, Any]] = []
        for position, secret in enumerate(secrets):
            opened = known.get(secret)
            try:
                if opened is None:
                    raise errors.Conflict("The container or the stream is gone.")
                self._check_right(opened, self._validated(opened.user_token, tokens))
            except errors.ZunError as error:
                if error.status >= 500:
                    raise
                ended.append({"position": position, "reason": error.message})
        over = {secrets[item["position"]] for item in ended}
        stream_grants.go_on(self._means, [secret for secret in secrets if secret not in over])
        media.answer(resp, {"ended": ended})

    def on_post_release(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._authenticate(req)
        stream_grants.release(self._means, _secrets(media.read_object(req)))
        resp.status = 204

    def _authenticate(self, req: falcon.Request) -> None:
        scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
        if scheme != SCHEME or not token or not self._key_text:
            raise errors.Unauthorized("This path is for gateways only.")
        claims = grants.read(grants.public_key(self._key_text), grants.API_AUDIENCE, token, self._means.clock)
        if claims.get("sub") != SUBJECT:
            raise errors.Unauthorized("This path is for gateways only.")

    def _validated(self, user_token: str, seen: dict[str, Token | errors.ZunError]) -> Token:
        """As the provider says; each token is looked at once a request."""
        if user_token not in seen:
            try:
                seen[user_token] = self._tokens.validate(user_token)
            except errors.Unauthorized as error:
                seen[user_token] = error
        found = seen[user_token]
        if isinstance(found, errors.ZunError):
            raise found
        return found

    def _check_right(self, opened: Opened, token: Token) -> Caller:
        """The token's user. Forbidden unless he may still do this to the stream's container."""
        caller: Caller = make_caller(token, request_ids.current(), self._rules)
        if not caller.is_admin and caller.project_id != opened.grant.project_id:
            raise errors.Forbidden("The container is another project's.")
        verb = _RULES.get(opened.grant.verb, opened.grant.verb)
        policy.enforce(caller, f"container:{verb}", opened.grant.project_id, self._owner_of(opened))
        return caller

    def _owner_of(self, opened: Opened) -> str | None:
        """Who made the container."""
        with self._means.db.read() as tx:
            workload = workloads.get(tx, opened.grant.workload_uuid)
        return workload.user_id if workload is not None else None

    def _check_state(self, opened: Opened) -> None:
        with self._means.db.read() as tx:
            workload = workloads.get(tx, opened.grant.workload_uuid)
        if workload is None:
            raise errors.Conflict("The container is gone.")
        check_pass_through(self._means, workload, opened.grant.verb)


def _check_access_rules(token: Token, method: str, path: str) -> None:
    """Forbidden: the user's token is bound to access rules, and this request of the container API is not among them."""
    rules = token.delegation.rules if token.delegation is not None else None
    if rules is not None:
        access_rules.check(rules, paths.CONTAINER, method, path)


def _since(body: dict[str, Any]) -> dict[str, int | None]:
    given = body.get("projects")
    if not isinstance(given, dict) or len(given) > MAX_PROJECTS:
        raise errors.Invalid(f"projects are at most {MAX_PROJECTS}, each with the revision that was seen or null.")
    for seen in given.values():
        if seen is not None and (isinstance(seen, bool) or not isinstance(seen, int)):
            raise errors.Invalid("A revision is a whole number, or null where none was seen.")
    return given


def _changes(found: events.Changes) -> dict[str, Any]:
    return {
        "revision": found.revision,
        "complete": found.complete,
        "events": [
            {
                "id": event.revision,
                "uuid": event.workload_uuid,
                "kind": event.kind,
                "name": event.name,
                "status": event.status,
                "task_state": event.task_state,
                "status_reason": event.status_reason,
                "at": event.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            }
            for event in found.events
        ],
    }


def _secret(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SECRET:
        raise errors.Unauthorized("There is no such stream.")
    return value


def _secrets(body: dict[str, Any]) -> list[str]:
    given = body.get("tokens")
    if not isinstance(given, list) or len(given) > MOST_AT_ONCE:
        raise errors.Invalid(f"tokens is a list of at most {MOST_AT_ONCE}.")
    return [_secret(item) for item in given]
