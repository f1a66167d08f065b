# SPDX-License-Identifier: Apache-2.0
"""How tokens and the records of the identity service look in Keystone's v3 API."""

from __future__ import annotations

import datetime
from typing import Any

from zun_lite.db.application_credentials import AccessRule
from zun_lite.db.entries import Entry
from zun_lite.db.roles import Assignment
from zun_lite.identity import nouns
from zun_lite.identity.base import Named, Owned, Token
from zun_lite.identity.delegations import Shown
from zun_lite.identity.nouns import Noun


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
    if said.delegation is not None:
        made = said.delegation
        body["application_credential"] = {"id": made.id, "name": made.name, "restricted": made.restricted}
        if made.rules is not None:
            body["application_credential"]["access_rules"] = [
                {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}
                for rule in made.rules
            ]
    return {"token": body}


def record(noun: Noun, row: Entry, url: str) -> Entry:
    """A record as its noun shows it; url is that of /identity/v3."""
    shown = noun.show(row)
    if noun is nouns.PROJECT:
        shown |= {"parent_id": row["parent_id"] or row["domain_id"], "is_domain": False}
    elif noun is nouns.USER:
        shown["password_expires_at"] = None
        for name in ("default_project_id", "email", "description"):
            if not shown[name]:
                del shown[name]
    elif noun is nouns.ROLE:
        shown["domain_id"] = row["domain_id"] or None
    elif noun is nouns.ENDPOINT:
        shown["region"] = row["region_id"]
    return {**shown, "links": {"self": f"{url}/{noun.plural}/{row['id']}"}}


def credential(shown: Shown, url: str) -> Entry:
    made = shown.credential
    body = {
        "id": made.id,
        "name": made.name,
        "description": made.description,
        "user_id": made.user_id,
        "project_id": made.project_id,
        "roles": [_role(role) for role in shown.roles],
        "expires_at": made.expires_at and made.expires_at.isoformat(timespec="microseconds"),
        "unrestricted": made.unrestricted,
        "system": None,
        "links": {"self": f"{url}/users/{made.user_id}/application_credentials/{made.id}"},
    }
    if shown.rules:
        body["access_rules"] = [access_rule(rule, None) for rule in shown.rules]
    return body


def _role(row: Entry) -> Entry:
    shown = nouns.ROLE.show(row)
    return {**shown, "domain_id": row["domain_id"] or None, "description": row["description"] or None}


def access_rule(rule: AccessRule, url: str | None) -> Entry:
    body: Entry = {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}
    if url is not None:
        body["links"] = {"self": f"{url}/users/{rule.user_id}/access_rules/{rule.id}"}
    return body


def assignment(each: Assignment, known: dict[tuple[str, str], Entry], named: bool, url: str) -> Entry:
    """known: the records that it speaks of, by kind and id; they give names, and domains, where named."""

    def refer(kind: str, id: str) -> Entry:
        record = known.get((kind, id), {})
        if not named:
            return {"id": id}
        domain = known.get(("domain", record.get("domain_id") or ""), {})
        whole = {"id": id, "name": record.get("name", "")}
        return {**whole, "domain": {"id": domain["id"], "name": domain["name"]}} if domain else whole

    scope: Entry = (
        {"system": {"all": True}} if each.scope == "system" else {each.scope: refer(each.scope, each.target_id)}
    )
    place = "system" if each.scope == "system" else f"{each.scope}s/{each.target_id}"
    path = f"{place}/{each.actor}s/{each.actor_id}/roles/{each.role_id}"
    if each.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
        path = f"OS-INHERIT/{path}/inherited_to_projects"
    return {
        "role": refer("role", each.role_id),
        each.actor: refer(each.actor, each.actor_id),
        "scope": scope,
        "links": {"assignment": f"{url}/{path}"},
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
