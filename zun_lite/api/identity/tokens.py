# SPDX-License-Identifier: Apache-2.0
"""/v3/auth: get, look at and give back tokens, and what one's own token is good for."""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.media import answer
from zun_lite.api.token_cache import TokenCache
from zun_lite.domain import errors
from zun_lite.identity import catalog, requests
from zun_lite.identity.base import Token
from zun_lite.identity.embedded import EmbeddedIdentity

SUBJECT_HEADER = "X-Subject-Token"


class Tokens:
    """/v3/auth/tokens. The subject is always looked up afresh, so that a revoked one is seen at once."""

    def __init__(self, identity: EmbeddedIdentity, cache: TokenCache, public_url: str) -> None:
        self._identity = identity
        self._cache = cache
        self._catalog = catalog.build(public_url)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        issued = self._identity.authenticate(requests.read(req.get_media(default_when_empty={})))
        self._answer(req, resp, issued.id, issued.token, 201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        subject_id, subject = self._subject(req, "identity:validate_token")
        self._answer(req, resp, subject_id, subject, 200)

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.on_get(req, resp)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        subject_id, _ = self._subject(req, "identity:revoke_token")
        self._identity.revoke(subject_id)
        self._cache.forget(subject_id)
        resp.status = 204

    def _subject(self, req: falcon.Request, rule: str) -> tuple[str, Token]:
        subject_id = req.get_header(SUBJECT_HEADER)
        late = rule == "identity:validate_token" and req.get_param("allow_expired") in ("1", "true", "True")
        try:
            if not subject_id:
                raise errors.Unauthorized("No subject token was named.")
            subject = self._identity.validate(subject_id, allow_expired=late)
        except errors.Unauthorized as error:
            raise errors.NotFound(f"Could not find token: name a valid one in {SUBJECT_HEADER}.") from error
        policy.enforce(req.context.caller, rule, subject.user.id)
        return subject_id, subject

    def _answer(self, req: falcon.Request, resp: falcon.Response, id: str, token: Token, status: int) -> None:
        resp.set_header(SUBJECT_HEADER, id)
        resp.set_header("Vary", "X-Auth-Token")
        answer(resp, views.token(token, None if "nocatalog" in req.params else self._catalog), status)


class Mine:
    """What the caller's own token is good for: the catalogue, and the scopes that its user could have."""

    def __init__(self, identity: EmbeddedIdentity, public_url: str) -> None:
        self._identity = identity
        self._url = f"{public_url}/identity/v3"
        self._catalog = catalog.build(public_url)

    def on_get_catalog(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not req.context.token.is_scoped:
            raise errors.Forbidden("An unscoped token has no catalogue; scope it to a project first.")
        answer(resp, {"catalog": self._catalog, "links": {"self": f"{self._url}/auth/catalog"}})

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response) -> None:
        rows = [row for row in self._identity.projects_of(req.context.caller.user_id) if row.enabled]
        items = [views.project(row, self._url) for row in rows]
        answer(resp, views.collection("projects", items, f"{self._url}/auth/projects"))

    def on_get_domains(self, req: falcon.Request, resp: falcon.Response) -> None:
        rows = [row for row in self._identity.domains_of(req.context.caller.user_id) if row.enabled]
        items = [views.domain(row, self._url) for row in rows]
        answer(resp, views.collection("domains", items, f"{self._url}/auth/domains"))

    def on_get_system(self, req: falcon.Request, resp: falcon.Response) -> None:
        system = [{"all": True}] if self._identity.has_system_role(req.context.caller.user_id) else []
        answer(resp, {"system": system, "links": {"self": f"{self._url}/auth/system"}})
