# SPDX-License-Identifier: Apache-2.0
"""/v3/projects and /v3/users: lists are an administrator's, everyone may look at what is their own.

Clients turn a name into an id by a list with that name; so such a list is not refused, but has only
what is the caller's own.
"""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.media import answer
from zun_lite.db.identity import Project, User
from zun_lite.domain import errors
from zun_lite.identity.embedded import EmbeddedIdentity


class Projects:
    def __init__(self, identity: EmbeddedIdentity, public_url: str) -> None:
        self._identity = identity
        self._url = f"{public_url}/identity/v3"

    def on_get_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, equal = req.context.caller, _filters(req)
        if "name" in equal and not policy.allows(caller, "identity:list_projects"):
            rows = _matching(self._identity.projects_of(caller.user_id), equal)
        else:
            policy.enforce(caller, "identity:list_projects")
            rows = self._identity.projects(**equal)
        # A project at the top has its domain for a parent, and there are no others.
        parent_id = req.get_param("parent_id")
        items = [views.project(row, self._url) for row in rows if parent_id in (None, row.domain_id)]
        answer(resp, views.collection("projects", items, f"{self._url}/projects"))

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:get_project", ident)
        rows = self._identity.projects(id=ident)
        if not rows:
            raise errors.NotFound(f"Could not find project: {ident}.")
        answer(resp, {"project": views.project(rows[0], self._url)})


class Users:
    def __init__(self, identity: EmbeddedIdentity, public_url: str) -> None:
        self._identity = identity
        self._url = f"{public_url}/identity/v3"

    def on_get_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, equal = req.context.caller, _filters(req)
        if "name" in equal and not policy.allows(caller, "identity:list_users"):
            equal["id"] = caller.user_id
        else:
            policy.enforce(caller, "identity:list_users")
        items = [views.user(row, self._url) for row in self._identity.users(**equal)]
        answer(resp, views.collection("users", items, f"{self._url}/users"))

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:get_user", ident)
        answer(resp, {"user": views.user(self._find(ident), self._url)})

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        policy.enforce(req.context.caller, "identity:list_user_projects", ident)
        user = self._find(ident)
        rows = _matching(self._identity.projects_of(user.id), _filters(req))
        items = [views.project(row, self._url) for row in rows]
        answer(resp, views.collection("projects", items, f"{self._url}/users/{user.id}/projects"))

    def _find(self, ident: str) -> User:
        rows = self._identity.users(id=ident)
        if not rows:
            raise errors.NotFound(f"Could not find user: {ident}.")
        return rows[0]


def _matching(rows: list[Project], equal: dict[str, Any]) -> list[Project]:
    return [row for row in rows if all(getattr(row, name) == value for name, value in equal.items())]


def _filters(req: falcon.Request) -> dict[str, Any]:
    """Exact filters of a list; a value other than false means enabled, as in Keystone."""
    equal: dict[str, Any] = {}
    for name in ("name", "domain_id"):
        value = req.get_param(name)
        if value is not None:
            equal[name] = value
    enabled = req.get_param("enabled")
    if enabled is not None:
        equal["enabled"] = enabled.lower() not in ("0", "false", "no", "off")
    return equal
