# SPDX-License-Identifier: Apache-2.0
"""/v3/auth: get, look at and give back tokens, and what one's own token is good for."""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.identity.records import listed
from zun_lite.api.media import answer
from zun_lite.api.token_cache import TokenCache
from zun_lite.domain import errors
from zun_lite.identity import nouns, requests
from zun_lite.identity.base import Token
from zun_lite.identity.directory import Directory
from zun_lite.identity.embedded import EmbeddedIdentity

SUBJECT_HEADER = "X-Subject-Token"
# By which a service says that it holds requests against the access rules in tokens.
RULES_HEADER = "OpenStack-Identity-Access-Rules"


class Tokens:
    """/v3/auth/tokens. The subject is always looked up afresh, so that a revoked one is seen at once."""

    def __init__(self, identity: EmbeddedIdentity, directory: Directory, cache: TokenCache, public_url: str) -> None:
        self._identity = identity
        self._directory = directory
        self._cache = cache
        self._public_url = public_url

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = requests.read(req.get_media(default_when_empty={}))
        issued = self._identity.authenticate(asked, req.remote_addr)
        self._answer(req, resp, issued.id, issued.token, 201)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        subject_id, subject = self._subject(req, "identity:validate_token")
        if subject.delegation and subject.delegation.rules is not None and not req.get_header(RULES_HEADER):
            raise errors.NotFound("Could not find token: it is bound to access rules, which you do not look at.")
        self._answer(req, resp, subject_id, subject, 200)

    def on_head(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.on_get(req, resp)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        subject_id, subject = self._subject(req, "identity:revoke_token")
        self._identity.revoke(subject_id)
        # What came from it ended with it.
        self._cache.forget(subject.user.id)
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
        policy.enforce(req.context.caller, rule, owner_user_id=subject.user.id)
        return subject_id, subject

    def _answer(self, req: falcon.Request, resp: falcon.Response, id: str, token: Token, status: int) -> None:
        resp.set_header(SUBJECT_HEADER, id)
        resp.set_header("Vary", "X-Auth-Token")
        catalog = None
        if token.is_scoped and "nocatalog" not in req.params:
            catalog = self._directory.catalog(self._public_url, token.project.id if token.project else None)
        answer(resp, views.token(token, catalog), status)


class Mine:
    """What the caller's own token is good for: the catalogue, and the scopes that its user could have."""

    def __init__(self, directory: Directory, public_url: str) -> None:
        self._directory = directory
        self._public_url = public_url
        self._url = f"{public_url}/identity/v3"

    def on_get_catalog(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "identity:get_auth_catalog")
        if not req.context.token.is_scoped:
            raise errors.Forbidden("An unscoped token has no catalogue; scope it to a project first.")
        catalog = self._directory.catalog(self._public_url, req.context.caller.project_id)
        answer(resp, {"catalog": catalog, "links": {"self": f"{self._url}/auth/catalog"}})

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "identity:get_auth_projects")
        rows = self._directory.projects_of(req.context.caller.user_id, usable=True)
        answer(resp, listed(nouns.PROJECT, rows, self._url, "auth/projects"))

    def on_get_domains(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "identity:get_auth_domains")
        rows = self._directory.domains_of(req.context.caller.user_id)
        answer(resp, listed(nouns.DOMAIN, rows, self._url, "auth/domains"))

    def on_get_system(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "identity:get_auth_system")
        system = [{"all": True}] if self._directory.has_system_role(req.context.caller.user_id) else []
        answer(resp, {"system": system, "links": {"self": f"{self._url}/auth/system"}})
