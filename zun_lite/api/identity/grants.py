# SPDX-License-Identifier: Apache-2.0
"""Roles on the wire: given and taken back, listed as assignments, and which of them bring others along."""

from __future__ import annotations

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.identity.records import listed
from zun_lite.api.media import answer
from zun_lite.db import roles
from zun_lite.db.entries import Entry
from zun_lite.db.roles import Assignment
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity import nouns
from zun_lite.identity.directory import Directory
from zun_lite.identity.grants import Grants, Wanted

_FALSE = ("0", "false", "no", "off")
_NOUNS = {
    roles.USER: nouns.USER,
    roles.GROUP: nouns.GROUP,
    roles.PROJECT: nouns.PROJECT,
    roles.DOMAIN: nouns.DOMAIN,
}


class ActorRoles:
    """The roles of users, or of groups, in projects, in domains or in the system.

    inherited: not those that count there, but those for the projects below.
    """

    def __init__(
        self, scope: str, actor: str, directory: Directory, grants: Grants, url: str, *, inherited: bool = False
    ) -> None:
        self._scope = scope
        self._actor = actor
        self._directory = directory
        self._grants = grants
        self._url = url
        self._inherited = inherited

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, actor_id: str, ident: str = roles.ALL) -> None:
        self._enforce(req.context.caller, "list", actor_id, ident, None)
        rows = self._grants.held(self._actor, actor_id, self._scope, ident, self._inherited)
        answer(resp, listed(nouns.ROLE, rows, self._url, req.path.removeprefix("/identity/v3/")))

    def on_get_one(
        self, req: falcon.Request, resp: falcon.Response, actor_id: str, role_id: str, ident: str = roles.ALL
    ) -> None:
        self._enforce(req.context.caller, "check", actor_id, ident, role_id)
        self._grants.check(self._given(actor_id, ident, role_id))
        resp.status = 204

    def on_head_one(
        self, req: falcon.Request, resp: falcon.Response, actor_id: str, role_id: str, ident: str = roles.ALL
    ) -> None:
        self.on_get_one(req, resp, actor_id, role_id, ident)

    def on_put_one(
        self, req: falcon.Request, resp: falcon.Response, actor_id: str, role_id: str, ident: str = roles.ALL
    ) -> None:
        self._enforce(req.context.caller, "create", actor_id, ident, role_id)
        self._grants.give(self._given(actor_id, ident, role_id))
        resp.status = 204

    def on_delete_one(
        self, req: falcon.Request, resp: falcon.Response, actor_id: str, role_id: str, ident: str = roles.ALL
    ) -> None:
        self._enforce(req.context.caller, "revoke", actor_id, ident, role_id)
        self._grants.take(self._given(actor_id, ident, role_id))
        resp.status = 204

    def _given(self, actor_id: str, target_id: str, role_id: str) -> Assignment:
        return Assignment(self._actor, actor_id, self._scope, target_id, role_id, self._inherited)

    def _enforce(self, caller: Caller, verb: str, actor_id: str, target_id: str, role_id: str | None) -> None:
        """Forbidden: the rule does not allow it for this role, and the domain that holder and target are both in."""
        if self._scope == roles.SYSTEM:
            many = "s" if verb == "list" else ""
            policy.enforce(caller, f"identity:{verb}_system_grant{many}_for_{self._actor}")
            return
        actor = self._directory.get(_NOUNS[self._actor], actor_id)
        there = self._directory.get(_NOUNS[self._scope], target_id)
        role = self._directory.get(nouns.ROLE, role_id) if role_id is not None else None
        domain_id = role_name = None
        if actor is not None and there is not None:
            where = there["id"] if self._scope == roles.DOMAIN else there["domain_id"]
            domain_id = where if actor["domain_id"] == where else None
        if role is not None and role["domain_id"] == roles.GLOBAL:
            role_name = role["name"]
        rule = "identity:list_grants" if verb == "list" else f"identity:{verb}_grant"
        policy.enforce(caller, rule, domain_id=domain_id, role_name=role_name)


class Assignments:
    """/role_assignments: who reads in one domain only gets what is given there."""

    def __init__(self, directory: Directory, grants: Grants, url: str) -> None:
        self._directory = directory
        self._grants = grants
        self._url = url

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, rule = req.context.caller, "identity:list_role_assignments"
        everywhere = policy.allows(caller, rule)
        if not everywhere:
            policy.enforce(caller, rule, domain_id=caller.domain_id)
        effective = _flag(req, "effective")
        wanted = _wanted(req)
        if effective and wanted.group_id is not None:
            raise errors.Invalid("Effective assignments are those of users; leave group.id out.")
        if wanted.subtree and wanted.project_id is None:
            raise errors.Invalid("include_subtree needs scope.project.id.")
        found = self._grants.assignments(wanted, effective=effective)
        named = _flag(req, "include_names")
        known = self._grants.named(found) if named or not everywhere else {}
        if not everywhere:
            found = [each for each in found if _domain_of(each, known) == caller.domain_id]
        items = [views.assignment(each, known, named, self._url) for each in found]
        answer(resp, views.collection("role_assignments", items, f"{self._url}/role_assignments"))


class Implications:
    """/roles/{ident}/implies, /roles/{ident}/implies/{implied_id} and /role_inferences."""

    def __init__(self, grants: Grants, url: str) -> None:
        self._grants = grants
        self._url = url

    def on_get_all(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "identity:list_role_inference_rules")
        by_prior: dict[str, tuple[Entry, list[Entry]]] = {}
        for prior, implied in self._grants.implications():
            by_prior.setdefault(prior["id"], (prior, []))[1].append(implied)
        items = [self._rule(prior, implied) for prior, implied in by_prior.values()]
        answer(resp, {"role_inferences": items, "links": {"self": f"{self._url}/role_inferences"}})

    def on_get_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:list_implied_roles")
        found = self._grants.implications(ident)
        prior = found[0][0] if found else {"id": ident, "name": ""}
        body = self._rule(prior, [implied for _, implied in found])
        answer(resp, {"role_inference": body, "links": {"self": f"{self._url}/roles/{ident}/implies"}})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, implied_id: str) -> None:
        policy.enforce(req.context.caller, "identity:get_implied_role")
        self._answer(resp, ident, implied_id, 200)

    def on_head_one(self, req: falcon.Request, resp: falcon.Response, ident: str, implied_id: str) -> None:
        policy.enforce(req.context.caller, "identity:get_implied_role")
        self._find(ident, implied_id)
        resp.status = 204

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, implied_id: str) -> None:
        policy.enforce(req.context.caller, "identity:create_implied_role")
        self._grants.imply(ident, implied_id)
        self._answer(resp, ident, implied_id, 201)

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, implied_id: str) -> None:
        policy.enforce(req.context.caller, "identity:delete_implied_role")
        self._grants.imply_no_more(ident, implied_id)
        resp.status = 204

    def _find(self, prior_id: str, implied_id: str) -> tuple[Entry, Entry]:
        for prior, implied in self._grants.implications(prior_id):
            if implied["id"] == implied_id:
                return prior, implied
        raise errors.NotFound(f"Role {prior_id} does not imply {implied_id}.")

    def _answer(self, resp: falcon.Response, prior_id: str, implied_id: str, status: int) -> None:
        prior, implied = self._find(prior_id, implied_id)
        body = {"prior_role": self._role(prior), "implies": self._role(implied)}
        url = f"{self._url}/roles/{prior_id}/implies/{implied_id}"
        answer(resp, {"role_inference": body, "links": {"self": url}}, status)

    def _rule(self, prior: Entry, implied: list[Entry]) -> Entry:
        return {"prior_role": self._role(prior), "implies": [self._role(each) for each in implied]}

    def _role(self, role: Entry) -> Entry:
        return {"id": role["id"], "name": role["name"], "links": {"self": f"{self._url}/roles/{role['id']}"}}


def _wanted(req: falcon.Request) -> Wanted:
    inherited = req.get_param("scope.OS-INHERIT:inherited_to")
    return Wanted(
        user_id=req.get_param("user.id"),
        group_id=req.get_param("group.id"),
        role_id=req.get_param("role.id"),
        project_id=req.get_param("scope.project.id"),
        domain_id=req.get_param("scope.domain.id"),
        system=req.get_param("scope.system") is not None,
        inherited=None if inherited is None else inherited == "projects",
        subtree=_flag(req, "include_subtree"),
    )


def _flag(req: falcon.Request, name: str) -> bool:
    """Named without a value it is true, as in Keystone."""
    return name in req.params and str(req.params[name]).lower() not in _FALSE


def _domain_of(each: Assignment, known: dict[tuple[str, str], Entry]) -> str | None:
    if each.scope == roles.DOMAIN:
        return each.target_id
    return known.get((each.scope, each.target_id), {}).get("domain_id")
