# SPDX-License-Identifier: Apache-2.0
"""What gateways call, under /node/v1/streams. A gateway proves itself with a token signed by the gateways' key.

Opening and checking look at the user's token, roles and rules anew, past every cache, so that a stream
ends with the right to it.
"""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media, policy
from zun_lite.api.middleware import make_caller
from zun_lite.api.policy import Policy
from zun_lite.api.services import Services
from zun_lite.client.streams import SCHEME, SUBJECT
from zun_lite.common import grants
from zun_lite.control import stream_grants
from zun_lite.control.actions import check_pass_through
from zun_lite.control.means import Means
from zun_lite.control.stream_grants import Opened
from zun_lite.db import workloads
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity.base import Token

MOST_AT_ONCE = 200
MAX_SECRET = 64


def resources(services: Services, rules: Policy) -> list[tuple[str, Any, str | None]]:
    """(path template, resource, suffix) of every route of this service."""
    streams = Streams(services, rules)
    return [(f"/node/v1/streams/{verb}", streams, verb) for verb in ("open", "check", "release")]


class Streams:
    def __init__(self, services: Services, rules: Policy) -> None:
        self._means: Means = services.means
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
            req.context.caller = self._check_right(opened, token, req.context.request_id)
            self._check_state(opened)
            target = stream_grants.target(self._means, opened.grant, req.context.request_id)
        except errors.ZunError:
            stream_grants.release(self._means, [secret])
            raise
        media.answer(resp, {"address": target.address, "grant": target.host_grant})

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
                self._check_right(opened, self._validated(opened.user_token, tokens), req.context.request_id)
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

    def _check_right(self, opened: Opened, token: Token, request_id: str) -> Caller:
        """The token's user. Forbidden unless he may still do this to the stream's container."""
        caller: Caller = make_caller(token, request_id, None, self._rules)
        if not caller.is_admin and caller.project_id != opened.grant.project_id:
            raise errors.Forbidden("The container is another project's.")
        policy.enforce(caller, f"container:{opened.grant.verb}", opened.grant.project_id, self._owner_of(opened))
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


def _secret(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SECRET:
        raise errors.Unauthorized("There is no such stream.")
    return value


def _secrets(body: dict[str, Any]) -> list[str]:
    given = body.get("tokens")
    if not isinstance(given, list) or len(given) > MOST_AT_ONCE:
        raise errors.Invalid(f"tokens is a list of at most {MOST_AT_ONCE}.")
    return [_secret(item) for item in given]
