# SPDX-License-Identifier: Apache-2.0
"""The records of the identity service, and what may be done with them: made, changed, deleted.

Every change is one transaction. Records are dicts of their table's columns; passwords arrive in clear
under `password` and are stored hashed.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from zun_lite.db import application_credentials, endpoints, entries, roles
from zun_lite.db import identity as rows
from zun_lite.db.engine import Database
from zun_lite.db.entries import Entry
from zun_lite.domain import errors
from zun_lite.identity import catalog, nouns, passwords, rights
from zun_lite.identity.nouns import Noun


class Directory:
    def __init__(self, db: Database) -> None:
        self.db = db

    def find(self, noun: Noun, equal: Mapping[str, Any]) -> list[Entry]:
        """Records whose columns equal these, by name."""
        with self.db.read() as tx:
            return entries.find(tx, noun.table, equal)

    def get(self, noun: Noun, id: str) -> Entry | None:
        with self.db.read() as tx:
            return entries.get(tx, noun.table, id)

    def create(self, noun: Noun, values: Entry) -> Entry:
        """A new record. Conflict: there is one of that name. Invalid: what it names is not there."""
        values = _hashed(values)
        values["id"] = values.get("id") or uuid.uuid4().hex
        if noun is nouns.USER:
            values |= {"generation": 1, "password_hash": values.get("password_hash")}

        def make(tx: sa.Connection) -> Entry:
            made = dict(values)
            _CHECKS[noun.key](tx, made)
            _check_name(tx, noun, made)
            entries.insert(tx, noun.table, made)
            return _reread(tx, noun, made["id"])

        return self.db.transact(make)

    def update(self, noun: Noun, id: str, values: Entry) -> Entry:
        """The record, changed. NotFound; Conflict: there is one of that name; Forbidden: it is immutable."""
        values = _hashed(values)

        def change(tx: sa.Connection) -> Entry:
            before = _found(tx, noun, id)
            opened = values["extra"].get("options", {}) if "extra" in values else {}
            _check_immutable(noun, before, opened)
            if values.get("domain_id", before.get("domain_id")) not in (before.get("domain_id"), None):
                raise errors.Invalid(f"The domain of {noun.key} {id} cannot be changed.")
            after = {**before, **{key: value for key, value in values.items() if key != "domain_id"}}
            _CHANGES[noun.key](tx, before, after)
            _check_name(tx, noun, after)
            columns = set(noun.table.c.keys()) - {"id", "generation", "domain_id"}
            entries.change(tx, noun.table, id, {key: value for key, value in after.items() if key in columns})
            return _reread(tx, noun, id)

        return self.db.transact(change)

    def delete(self, noun: Noun, id: str) -> None:
        """NotFound; Forbidden: it is immutable, or still needed."""

        def remove(tx: sa.Connection) -> None:
            before = _found(tx, noun, id)
            _check_immutable(noun, before, None)
            _REMOVALS[noun.key](tx, before)
            entries.remove(tx, noun.table, id)

        self.db.transact(remove)

    # Groups.

    def join(self, group_id: str, user_id: str) -> None:
        def work(tx: sa.Connection) -> None:
            _found(tx, nouns.GROUP, group_id)
            _found(tx, nouns.USER, user_id)
            rows.join_group(tx, group_id, user_id)

        self.db.transact(work)

    def leave(self, group_id: str, user_id: str) -> None:
        """NotFound: the user is not in it. What it did by the group's roles ends with its tokens."""

        def work(tx: sa.Connection) -> None:
            if not rows.leave_group(tx, group_id, user_id):
                raise errors.NotFound(f"User {user_id} is not in group {group_id}.")

        self.db.transact(work)

    def is_member(self, group_id: str, user_id: str) -> bool:
        with self.db.read() as tx:
            return user_id in rows.members_of(tx, group_id)

    def members(self, group_id: str) -> list[Entry]:
        with self.db.read() as tx:
            return entries.find(tx, rows.users, {"id": rows.members_of(tx, group_id)})

    def groups_of(self, user_id: str) -> list[Entry]:
        with self.db.read() as tx:
            return entries.find(tx, rows.groups, {"id": rows.groups_of(tx, user_id)})

    # Projects above and below.

    def above(self, project_id: str) -> list[Entry]:
        """The nearest first."""
        with self.db.read() as tx:
            project = rows.project(tx, project_id)
            ids = [each.id for each in rows.ancestors(tx, project)] if project else []
            return [_reread(tx, nouns.PROJECT, id) for id in ids]

    def below(self, project_id: str) -> list[Entry]:
        with self.db.read() as tx:
            return _below(tx, project_id)

    def retag(self, project_id: str, change: Callable[[list[str]], list[str]]) -> list[str]:
        """The project's new tags, made of its old ones. NotFound: the project; Forbidden: it is immutable."""

        def work(tx: sa.Connection) -> list[str]:
            before = _found(tx, nouns.PROJECT, project_id)
            _check_immutable(nouns.PROJECT, before, None)
            tags = nouns.tags(change(before["extra"].get("tags", [])))
            entries.change(tx, rows.projects, project_id, {"extra": {**before["extra"], "tags": tags}})
            return tags

        return self.db.transact(work)

    # What users have.

    def projects_of(self, user_id: str, *, usable: bool = False) -> list[Entry]:
        """The projects in which the user has a role; usable: only those for which it would get a token."""
        with self.db.read() as tx:
            ids = [each.id for each in rights.projects_of(tx, user_id) if each.enabled or not usable]
            return entries.find(tx, rows.projects, {"id": ids})

    def domains_of(self, user_id: str) -> list[Entry]:
        """The enabled domains in which the user has a role."""
        with self.db.read() as tx:
            ids = [each.id for each in rights.domains_of(tx, user_id) if each.enabled]
            return entries.find(tx, rows.domains, {"id": ids})

    def has_system_role(self, user_id: str) -> bool:
        with self.db.read() as tx:
            return bool(rights.held(tx, user_id, roles.SYSTEM, roles.ALL))

    def catalog(self, public_url: str, project_id: str | None) -> list[dict[str, Any]]:
        """As catalog.build."""
        with self.db.read() as tx:
            return catalog.build(tx, public_url, project_id)


def _found(tx: sa.Connection, noun: Noun, id: str) -> Entry:
    found = entries.get(tx, noun.table, id)
    if found is None:
        raise errors.NotFound(f"Could not find {noun.key}: {id}.")
    return found


def _reread(tx: sa.Connection, noun: Noun, id: str) -> Entry:
    found = entries.get(tx, noun.table, id)
    assert found is not None
    return found


def _hashed(values: Entry) -> Entry:
    values = dict(values)
    password = values.pop("password", None)
    return values if password is None else {**values, "password_hash": passwords.hashed(password)}


def _check_name(tx: sa.Connection, noun: Noun, values: Entry) -> None:
    if noun.key in ("service", "endpoint", "region"):
        return
    equal = {"name": values["name"]} | ({"domain_id": values["domain_id"]} if "domain_id" in noun.table.c else {})
    if any(each["id"] != values["id"] for each in entries.find(tx, noun.table, equal)):
        raise errors.Conflict(f"There is a {noun.key} of the name {values['name']} already; choose another one.")


def _check_immutable(noun: Noun, before: Entry, opened: Entry | None) -> None:
    """opened: the options that a change would leave; taking `immutable` away is the one change that is allowed."""
    if noun.options and before["extra"].get("options", {}).get("immutable"):
        if opened is not None and not opened.get("immutable"):
            return
        raise errors.Forbidden(f"{noun.key.capitalize()} {before['id']} is immutable; set its option to false first.")


def _in_domain(tx: sa.Connection, values: Entry) -> None:
    if values["domain_id"] is None or entries.get(tx, rows.domains, values["domain_id"]) is None:
        raise errors.NotFound(f"Could not find domain: {values['domain_id']}.")


def _check_project(tx: sa.Connection, values: Entry) -> None:
    if values["parent_id"] == values["domain_id"]:
        values["parent_id"] = None
    if values["parent_id"] is not None:
        parent = rows.project(tx, values["parent_id"])
        if parent is None and rows.domain(tx, id=values["parent_id"]) is not None:
            raise errors.Invalid("The project's parent is another domain than its own.")
        if parent is None:
            raise errors.NotFound(f"Could not find project: {values['parent_id']}.")
        values["domain_id"] = values["domain_id"] or parent.domain_id
        if parent.domain_id != values["domain_id"]:
            raise errors.Invalid("A project and its parent must be in one domain.")
        if len(rows.ancestors(tx, parent)) + 2 > rows.DEEPEST:
            raise errors.Forbidden(f"Projects are nested {rows.DEEPEST} deep at most.")
        if not parent.enabled:
            raise errors.Forbidden("The project's parent is disabled.")
    _in_domain(tx, values)


def _check_role(tx: sa.Connection, values: Entry) -> None:
    if values["domain_id"]:
        _in_domain(tx, values)
    values["domain_id"] = values["domain_id"] or roles.GLOBAL


def _check_endpoint(tx: sa.Connection, values: Entry) -> None:
    old_word = values.pop("region", None)
    values["region_id"] = values["region_id"] or old_word
    if entries.get(tx, endpoints.services, values["service_id"]) is None:
        raise errors.Invalid(f"Could not find service: {values['service_id']}.")
    if values["region_id"] and entries.get(tx, endpoints.regions, values["region_id"]) is None:
        raise errors.Invalid(f"Could not find region: {values['region_id']}.")


def _check_region(tx: sa.Connection, values: Entry) -> None:
    if entries.get(tx, endpoints.regions, values["id"]) is not None:
        raise errors.Conflict(f"There is a region {values['id']} already.")
    _check_parent_region(tx, values)


def _check_parent_region(tx: sa.Connection, values: Entry) -> None:
    above, seen = values["parent_region_id"], {values["id"]}
    while above:
        parent = entries.get(tx, endpoints.regions, above)
        if parent is None:
            raise errors.NotFound(f"Could not find region: {above}.")
        if above in seen:
            raise errors.Invalid("A region cannot be above itself.")
        seen.add(above)
        above = parent["parent_region_id"]


def _change_domain(tx: sa.Connection, before: Entry, after: Entry) -> None:
    if before["enabled"] and not after["enabled"]:
        rows.end_tokens_of_domain(tx, before["id"])


def _change_project(tx: sa.Connection, before: Entry, after: Entry) -> None:
    if after["parent_id"] == before["domain_id"]:
        after["parent_id"] = None
    if after["parent_id"] != before["parent_id"]:
        raise errors.Forbidden("The parent of a project cannot be changed.")
    if not after["enabled"] and any(each["enabled"] for each in _below(tx, before["id"])):
        raise errors.Forbidden("The project has enabled projects below it; disable them first.")


def _change_user(tx: sa.Connection, before: Entry, after: Entry) -> None:
    if after["password_hash"] != before["password_hash"] or (before["enabled"] and not after["enabled"]):
        rows.end_tokens(tx, before["id"])


def _change_endpoint(tx: sa.Connection, before: Entry, after: Entry) -> None:
    _check_endpoint(tx, after)


def _change_region(tx: sa.Connection, before: Entry, after: Entry) -> None:
    after["id"] = before["id"]
    _check_parent_region(tx, after)


def _below(tx: sa.Connection, project_id: str) -> list[Entry]:
    return entries.find(tx, rows.projects, {"id": rows.ids_below(tx, project_id)})


def _remove_project(tx: sa.Connection, before: Entry) -> None:
    if _below(tx, before["id"]):
        raise errors.Forbidden(f"Project {before['id']} has projects below it; delete them first.")
    roles.take_all_of_target(tx, roles.PROJECT, before["id"])
    for user in entries.find(tx, rows.users, {"default_project_id": before["id"]}):
        entries.change(tx, rows.users, user["id"], {"default_project_id": None})


def _remove_domain(tx: sa.Connection, before: Entry) -> None:
    """With all that is in it."""
    if before["enabled"]:
        raise errors.Forbidden("A domain that is enabled cannot be deleted; disable it first.")
    inside = {"domain_id": before["id"]}
    projects = entries.find(tx, rows.projects, inside)
    for project in projects:
        roles.take_all_of_target(tx, roles.PROJECT, project["id"])
        entries.change(tx, rows.projects, project["id"], {"parent_id": None})
    application_credentials.remove_of_users(tx, [user["id"] for user in entries.find(tx, rows.users, inside)])
    for table in (rows.users, rows.groups, rows.projects, roles.roles):
        entries.remove_where(tx, table, inside)
    roles.take_all_of_target(tx, roles.DOMAIN, before["id"])


def _remove_region(tx: sa.Connection, before: Entry) -> None:
    if entries.find(tx, endpoints.endpoints, {"region_id": before["id"]}):
        raise errors.Forbidden(f"Region {before['id']} has endpoints; delete them first.")
    for child in entries.find(tx, endpoints.regions, {"parent_region_id": before["id"]}):
        _remove_region(tx, child)
        entries.remove(tx, endpoints.regions, child["id"])


def _remove_user(tx: sa.Connection, before: Entry) -> None:
    application_credentials.remove_of_users(tx, [before["id"]])


def _nothing(tx: sa.Connection, *entry: Entry) -> None:
    """This noun has no rule of its own here."""


_CHECKS: dict[str, Callable[[sa.Connection, Entry], None]] = {
    "domain": _nothing,
    "project": _check_project,
    "user": _in_domain,
    "group": _in_domain,
    "role": _check_role,
    "service": _nothing,
    "endpoint": _check_endpoint,
    "region": _check_region,
}
_CHANGES: dict[str, Callable[[sa.Connection, Entry, Entry], None]] = {
    "domain": _change_domain,
    "project": _change_project,
    "user": _change_user,
    "group": _nothing,
    "role": _nothing,
    "service": _nothing,
    "endpoint": _change_endpoint,
    "region": _change_region,
}
_REMOVALS: dict[str, Callable[[sa.Connection, Entry], None]] = {
    "domain": _remove_domain,
    "project": _remove_project,
    "user": _remove_user,
    "group": _nothing,
    "role": _nothing,
    "service": _nothing,
    "endpoint": _nothing,
    "region": _remove_region,
}
