# SPDX-License-Identifier: Apache-2.0
"""What every request goes through before its resource: ids and limits, authentication, microversion.

Who the caller is comes from the token alone; no other header of a client is believed. Hosts
(/node/v1) prove themselves to the resources there.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import replace
from urllib.parse import quote

import falcon

from zun_lite.api import access_rules, paths, versions
from zun_lite.api.policy import Policy, enforce
from zun_lite.api.token_cache import TokenCache
from zun_lite.common import request_ids
from zun_lite.common.request_ids import RequestIds
from zun_lite.common.wake import Waker
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity.base import Token

LOG = logging.getLogger(__name__)
SERVICE_ROLE = "service"
PUBLIC_PATHS = frozenset(
    (
        *("/", "/v1", "/healthcheck", "/metrics", "/identity", "/identity/v3", "/network", "/volume", "/volume/v3"),
        *("/image", "/image/versions", "/image/v2", "/v1/openapi.json"),
    )
)
TOKENS_PATH = "/identity/v3/auth/tokens"
_PASSWORD_PATH = re.compile(r"/identity/v3/users/[^/]+/password")
_EMBEDDED = frozenset((paths.NETWORK, paths.VOLUME, paths.IMAGE))
_READS = frozenset(("GET", "HEAD", "OPTIONS"))


class Receive:
    """Gives the request its ids, refuses what is too large or holds NUL characters, logs each change."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        ids = RequestIds(f"req-{uuid.uuid4()}", request_ids.as_given(req.get_header(request_ids.HEADER)))
        request_ids.begin(ids)
        req.context.request_id = ids.own
        req.context.caller = req.context.token = None
        resp.set_header(request_ids.HEADER, ids.own)
        if req.env.get(paths.TOO_LARGE_KEY):
            raise falcon.HTTPContentTooLarge(description="The body is larger than this server accepts.")
        if "\0" in req.path or "%00" in req.query_string:
            raise errors.Invalid("The path and the query must not hold NUL characters.")

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        if req.method not in _READS and not req.path.startswith("/node/"):
            caller = req.context.caller
            who = f"user {caller.user_id} of project {caller.project_id}" if caller else "nobody"
            status = falcon.http_status_to_code(resp.status)
            # quoted, so that nobody writes lines of his own into the log
            LOG.info("%s %s answered %d to %s", req.method, quote(req.path), status, who)
        request_ids.begin(request_ids.NOBODYS)


class Wake:
    """After a change of networks the controller looks at once, for hosts are to learn of it."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        if succeeded and req.method not in _READS and req.env.get(paths.SERVICE_KEY) == paths.NETWORK:
            self._waker.wake()


class Authenticate:
    """Makes req.context.caller (and .token) out of X-Auth-Token; Unauthorized, except on public paths.

    Forbidden: the token is bound to access rules, and the request is not among them. A service that sends its own
    token along (X-Service-Token) finishes what a user began: the user's token may have expired meanwhile.
    """

    def __init__(self, tokens: TokenCache, policy: Policy) -> None:
        self._tokens = tokens
        self._policy = policy

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if is_public(req.method, req.path) or _is_preflight(req):
            return
        token_id = req.get_header("X-Auth-Token")
        if not token_id:
            raise errors.Unauthorized("The request carries no token.")
        by_service = self._is_by_service(req.get_header("X-Service-Token"))
        token = self._tokens.validate(token_id, allow_expired=by_service)
        rules = token.delegation.rules if token.delegation is not None else None
        if rules is not None and not by_service:
            access_rules.check(rules, req.env[paths.SERVICE_KEY], req.method, req.path)
        req.context.token = token
        asking = make_caller(token, request_ids.current(), self._policy)
        req.context.caller = replace(asking, token=token_id)

    def _is_by_service(self, token_id: str | None) -> bool:
        """Unauthorized: the token of the service is not valid, or not a service's, or bound to access rules itself."""
        if token_id is None:
            return False
        token = self._tokens.validate(token_id)
        is_bound = token.delegation is not None and token.delegation.rules is not None
        if is_bound or SERVICE_ROLE not in token.role_names:
            raise errors.Unauthorized("X-Service-Token is not the token of a service.")
        return True


class Refresh:
    """After a change of users, projects or roles this process looks at every token anew; others do within seconds."""

    def __init__(self, tokens: TokenCache) -> None:
        self._tokens = tokens

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        changed = succeeded and req.method not in _READS and req.env.get(paths.SERVICE_KEY) == paths.IDENTITY
        if changed and req.path != TOKENS_PATH:
            self._tokens.clear()


class KeepReaders:
    """From changing what the embedded networks, volumes and images hold; the container API asks for each verb."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        if caller is not None and req.method not in _READS and req.env.get(paths.SERVICE_KEY) in _EMBEDDED:
            enforce(caller, "embedded:change", caller.project_id)


class Microversions:
    """For /v1: reads the version asked for into req.context.minor and answers which one was used."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not _is_versioned(req.path):
            return
        resp.set_header(versions.MINIMUM_HEADER, f"container {versions.MINIMUM}")
        resp.set_header(versions.MAXIMUM_HEADER, f"container {versions.MAXIMUM}")
        resp.set_header("Vary", versions.HEADER)
        minor = versions.negotiate(req.get_header(versions.HEADER))
        req.context.minor = minor
        resp.set_header(versions.HEADER, f"container 1.{minor}")


def is_public(method: str, path: str) -> bool:
    """Whether no token is asked for here."""
    if method == "POST" and (path == TOKENS_PATH or _PASSWORD_PATH.fullmatch(path)):
        return True
    return path in PUBLIC_PATHS or path.startswith("/node/v1/")


def _is_preflight(req: falcon.Request) -> bool:
    """A browser's question before a request of a page, which can carry no token and learns of methods only."""
    return req.method == "OPTIONS" and req.get_header("Access-Control-Request-Method") is not None


def make_caller(token: Token, ids: RequestIds, policy: Policy) -> Caller:
    asking = Caller(
        user_id=token.user.id,
        project_id=token.project.id if token.project else None,
        roles=token.role_names,
        request_id=ids.own,
        user_name=token.user.name,
        project_name=token.project.name if token.project else "",
        global_request_id=ids.given or None,
        system=token.system,
        domain_id=token.domain.id if token.domain else None,
        project_domain_id=token.project.domain.id if token.project else None,
        judge=policy,
    )
    # One that the rules and the role agree on is not made twice.
    admin = policy.is_admin(asking)
    return asking if admin == asking.is_admin else replace(asking, admin=admin)


def _is_versioned(path: str) -> bool:
    return path == "/v1" or path.startswith("/v1/")
