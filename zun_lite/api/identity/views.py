# SPDX-License-Identifier: Apache-2.0
"""How tokens, projects, users and domains look in Keystone's v3 API."""

from __future__ import annotations

import datetime
from typing import Any

from zun_lite.db.identity import Domain, Project, User
from zun_lite.identity.base import Named, Owned, Token


def token(said: Token, catalog: list[dict[str, Any]] | None) -> dict[str, Any]:
    """catalog is None where the client wants none; unscoped tokens have none either."""
    body: dict[str, Any] = {
        "methods": list(said.methods),
        "user": {**_owned(said.user), "password_expires_at": None},
        "audit_ids": list(said.audit_ids),
        "expires_at": _moment(said.expires_at),
        "issued_at": _moment(said.issued_at),
    }
    if said.project is not None:
        body |= {"project": _owned(said.project), "is_domain": False}
    elif said.domain is not None:
        body["domain"] = _named(said.domain)
    elif said.system:
        body["system"] = {"all": True}
    if said.is_scoped:
        body["roles"] = [_named(role) for role in said.roles]
        if catalog is not None:
            body["catalog"] = catalog
    return {"token": body}


def project(row: Project, identity_url: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "enabled": row.enabled,
        "parent_id": row.domain_id,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": f"{identity_url}/projects/{row.id}"},
    }


def user(row: User, identity_url: str) -> dict[str, Any]:
    body = {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "enabled": row.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": f"{identity_url}/users/{row.id}"},
    }
    if row.default_project_id is not None:
        body["default_project_id"] = row.default_project_id
    if row.email is not None:
        body["email"] = row.email
    return body


def domain(row: Domain, identity_url: str) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "enabled": row.enabled,
        "tags": [],
        "options": {},
        "links": {"self": f"{identity_url}/domains/{row.id}"},
    }


def collection(key: str, items: list[Any], url: str) -> dict[str, Any]:
    """A list as Keystone wraps it; there is never a second page."""
    return {key: items, "links": {"self": url, "previous": None, "next": None}}


def _owned(who: Owned) -> dict[str, Any]:
    return {"id": who.id, "name": who.name, "domain": _named(who.domain)}


def _named(what: Named) -> dict[str, Any]:
    return {"id": what.id, "name": what.name}


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
