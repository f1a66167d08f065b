# SPDX-License-Identifier: Apache-2.0
"""The records of the identity API that are all alike: list, create, show, change, delete, by their noun.

Clients turn a name into an id by a list with that name; so such a list of projects or users is not refused,
but has only what is the caller's own. Who reads in one domain only gets that domain's part of any list.
"""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.identity import views
from zun_lite.api.media import answer
from zun_lite.db.entries import Entry
from zun_lite.db.roles import GLOBAL
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.identity import nouns
from zun_lite.identity.bootstrap import DOMAIN_ID
from zun_lite.identity.directory import Directory
from zun_lite.identity.grants import Grants
from zun_lite.identity.nouns import Noun

# Which roles a manager of a domain may hand on; who has others, or one in the system, is out of its reach.
MANAGED = frozenset(("manager", "member", "reader"))
_TAG_FILTERS = {
    "tags": lambda asked, has: asked <= has,
    "tags-any": lambda asked, has: bool(asked & has),
    "not-tags": lambda asked, has: not asked <= has,
    "not-tags-any": lambda asked, has: not asked & has,
}


class Records:
    """url: that of /identity/v3, as clients see it."""

    def __init__(self, noun: Noun, directory: Directory, grants: Grants, url: str) -> None:
        self._noun = noun
        self._directory = directory
        self._grants = grants
        self._url = url

    def on_get_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        equal = filters(req, self._noun)
        parent_id = equal.get("parent_id")
        if self._noun is nouns.PROJECT and parent_id and self._directory.get(nouns.DOMAIN, parent_id):
            # What is at the top of a domain has that domain for a parent.
            equal |= {"domain_id": parent_id, "parent_id": None}
        rows = self._allowed(req.context.caller, equal)
        rows = [row for row in rows if _has_tags(req, self._noun, row)]
        answer(resp, listed(self._noun, rows, self._url))

    def on_post_list(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        values = self._noun.read(req.get_media(default_when_empty={}))
        if "domain_id" in values and self._noun is not nouns.ROLE:
            values["domain_id"] = values["domain_id"] or self._domain_of(caller, values)
        policy.enforce(caller, f"identity:create_{self._noun.key}", domain_id=values.get("domain_id"))
        self._answer(resp, self._directory.create(self._noun, values), 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        row = self.looked_up(req.context.caller, f"identity:get_{self._noun.key}", ident)
        shown = views.record(self._noun, row, self._url)
        if self._noun is nouns.PROJECT:
            shown |= self._around(req, row)
        answer(resp, {self._noun.key: shown})

    def on_patch_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        row = self.looked_up(req.context.caller, f"identity:update_{self._noun.key}", ident)
        self._check_reach(req.context.caller, row)
        values = self._noun.read(req.get_media(default_when_empty={}), row)
        self._answer(resp, self._directory.update(self._noun, ident, values), 200)

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        row = self.looked_up(req.context.caller, f"identity:delete_{self._noun.key}", ident)
        self._check_reach(req.context.caller, row)
        self._directory.delete(self._noun, ident)
        resp.status = 204

    def looked_up(self, caller: Caller, rule: str, ident: str) -> Entry:
        """The record, if the rule lets the caller. Forbidden whether it is there or not; then NotFound."""
        row = self._directory.get(self._noun, ident)
        policy.enforce(
            caller,
            rule,
            owner_id=ident if self._noun is nouns.PROJECT else None,
            owner_user_id=ident if self._noun is nouns.USER else None,
            **target(self._noun, row),
        )
        if row is None:
            raise errors.NotFound(f"Could not find {self._noun.key}: {ident}.")
        return row

    def _allowed(self, caller: Caller, equal: dict[str, Any]) -> list[Entry]:
        noun, rule = self._noun, f"identity:list_{self._noun.plural}"
        if noun is nouns.ROLE:
            equal.setdefault("domain_id", GLOBAL)
        if policy.allows(caller, rule):
            return self._directory.find(noun, equal)
        column = "id" if noun is nouns.DOMAIN else "domain_id"
        if caller.domain_id and column in noun.table.c and policy.allows(caller, rule, domain_id=caller.domain_id):
            within = GLOBAL if noun is nouns.ROLE else caller.domain_id
            return self._directory.find(noun, {**equal, column: within}) if equal.get(column, within) == within else []
        if "name" in equal and noun is nouns.PROJECT:
            own = self._directory.projects_of(caller.user_id)
            return [row for row in own if all(row[name] == value for name, value in equal.items())]
        if "name" in equal and noun is nouns.USER:
            return self._directory.find(noun, {**equal, "id": caller.user_id})
        policy.enforce(caller, rule)
        return []

    def _domain_of(self, caller: Caller, values: Entry) -> str:
        """Where a record goes whose domain was not said: to its parent, else to where the caller's token is good."""
        parent = self._directory.get(nouns.PROJECT, values["parent_id"]) if values.get("parent_id") else None
        if parent is not None:
            return parent["domain_id"]
        return caller.domain_id or caller.project_domain_id or DOMAIN_ID

    def _check_reach(self, caller: Caller, row: Entry) -> None:
        if self._noun in (nouns.USER, nouns.GROUP):
            check_reach(self._grants, caller, self._noun.key, row["id"])

    def _around(self, req: falcon.Request, row: Entry) -> Entry:
        """What `subtree_as_ids` and its kin ask for; only what the caller may see of it."""
        shown: Entry = {}
        if req.has_param("parents_as_ids"):
            above = [each["id"] for each in self._directory.above(row["id"])]
            shown["parents"] = _chain([*above, row["domain_id"]])
        if req.has_param("subtree_as_ids"):
            shown["subtree"] = _tree(self._directory.below(row["id"]), row["id"])
        for name, found in (("parents", self._directory.above), ("subtree", self._directory.below)):
            if req.has_param(f"{name}_as_list"):
                own = {each["id"] for each in self._directory.projects_of(req.context.caller.user_id)}
                seen = [each for each in found(row["id"]) if each["id"] in own]
                shown[name] = [{"project": views.record(nouns.PROJECT, each, self._url)} for each in seen]
        return shown

    def _answer(self, resp: falcon.Response, row: Entry, status: int) -> None:
        answer(resp, {self._noun.key: views.record(self._noun, row, self._url)}, status)


def target(noun: Noun, row: Entry | None) -> dict[str, str | None]:
    """What rules may ask of a record: the domain that it is in, the name of a role that belongs to none."""
    if row is None:
        return {}
    if noun is nouns.DOMAIN:
        return {"domain_id": row["id"]}
    if noun is nouns.ROLE:
        return {"role_name": row["name"] if row["domain_id"] == GLOBAL else None}
    return {"domain_id": row["domain_id"]} if "domain_id" in row else {}


def check_reach(grants: Grants, caller: Caller, actor: str, actor_id: str) -> None:
    """Forbidden: a manager of a domain reaches for a user or group with rights beyond the domain."""
    if not caller.is_admin and grants.is_above_domains(actor, actor_id, MANAGED):
        raise errors.Forbidden(f"This {actor} has rights that no domain's manager has; ask an administrator.")


def listed(noun: Noun, rows: list[Entry], url: str, path: str | None = None) -> Entry:
    items = [views.record(noun, row, url) for row in rows]
    return views.collection(noun.plural, items, f"{url}/{path or noun.plural}")


def filters(req: falcon.Request, noun: Noun) -> dict[str, Any]:
    """Exact filters of a list; a value other than false means enabled, as in Keystone."""
    equal: dict[str, Any] = {}
    for name in noun.filters:
        value = req.get_param(name)
        if value is None:
            continue
        equal[name] = value.lower() not in ("0", "false", "no", "off") if name == "enabled" else value
    return equal


def _has_tags(req: falcon.Request, noun: Noun, row: Entry) -> bool:
    if not noun.tagged:
        return True
    has = set(row["extra"].get("tags", ()))
    for name, fits in _TAG_FILTERS.items():
        asked = req.get_param(name)
        if asked is not None and not fits({tag for tag in asked.split(",") if tag}, has):
            return False
    return True


def _chain(ids: list[str]) -> Entry | None:
    """Those above, the nearest first, each within the one below it."""
    return {ids[0]: _chain(ids[1:])} if ids else None


def _tree(rows: list[Entry], root: str) -> Entry | None:
    return {row["id"]: _tree(rows, row["id"]) for row in rows if row["parent_id"] == root} or None
