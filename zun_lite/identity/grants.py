# SPDX-License-Identifier: Apache-2.0
"""Who is given which role where, and which role brings which along: given, taken back, listed.

What a role that is given means in the end (groups, inheritance, implied roles), rights.py knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from zun_lite.db import application_credentials, entries, roles
from zun_lite.db import identity as rows
from zun_lite.db.engine import Database
from zun_lite.db.entries import Entry
from zun_lite.db.listing import in_parts
from zun_lite.db.roles import Assignment
from zun_lite.domain import errors
from zun_lite.identity import rights

# A role that brought this one along would make an administrator of whoever manages a domain.
NEVER_IMPLIED = "admin"
_TABLES = {
    roles.USER: rows.users,
    roles.GROUP: rows.groups,
    roles.PROJECT: rows.projects,
    roles.DOMAIN: rows.domains,
}


@dataclass(frozen=True)
class Wanted:
    """Which assignments are asked for; None is any. subtree: those of the projects below project_id as well."""

    user_id: str | None = None
    group_id: str | None = None
    role_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None
    system: bool = False
    inherited: bool | None = None
    subtree: bool = False


class Grants:
    def __init__(self, db: Database) -> None:
        self._db = db

    def give(self, given: Assignment) -> None:
        """Nothing if it was given before. NotFound: role, holder or target; Forbidden: the role is another domain's."""

        def work(tx: sa.Connection) -> None:
            _check(tx, given)
            roles.give(tx, given)

        self._db.transact(work)

    def take(self, given: Assignment) -> None:
        """With the application credentials that a user has in that project. NotFound: it was not given."""

        def work(tx: sa.Connection) -> None:
            _check(tx, given)
            if not roles.take(tx, given):
                raise _not_given(given)
            if given.actor == roles.USER and given.scope == roles.PROJECT:
                application_credentials.remove_of(tx, given.actor_id, given.target_id)

        self._db.transact(work)

    def check(self, given: Assignment) -> None:
        """NotFound: it was not given."""
        with self._db.read() as tx:
            _check(tx, given)
            if not roles.has(tx, given):
                raise _not_given(given)

    def held(self, actor: str, actor_id: str, scope: str, target_id: str, inherited: bool) -> list[Entry]:
        """The roles that were given there, as records. NotFound: holder or target."""
        with self._db.read() as tx:
            _check_ends(tx, Assignment(actor, actor_id, scope, target_id, ""))
            found = roles.assignments(tx, actor, [actor_id], scope, [target_id])
            ids = [each.role_id for each in found if each.inherited == inherited]
            return entries.find(tx, roles.roles, {"id": ids})

    def is_above_domains(self, actor: str, actor_id: str, managed: frozenset[str]) -> bool:
        """As rights.is_above_domains."""
        with self._db.read() as tx:
            return rights.is_above_domains(tx, actor, actor_id, managed)

    def assignments(self, wanted: Wanted, *, effective: bool = False) -> list[Assignment]:
        """Those as they were given, or with effective what they come to: users only, each role, each project."""
        with self._db.read() as tx:
            found = self._given(tx, wanted, effective)
            if effective:
                found = list(dict.fromkeys(_expanded(tx, found)))
            targets = _targets(tx, wanted)
            return [each for each in found if _is_wanted(each, wanted, targets, effective)]

    def named(self, found: list[Assignment]) -> dict[tuple[str, str], Entry]:
        """(kind, id) to the record of each user, group, role, project and domain that they speak of."""
        wanted: dict[str, set[str]] = {"role": {each.role_id for each in found}}
        for each in found:
            wanted.setdefault(each.actor, set()).add(each.actor_id)
            wanted.setdefault(each.scope, set()).add(each.target_id)
        known: dict[tuple[str, str], Entry] = {}
        with self._db.read() as tx:
            for kind, table in {**_TABLES, "role": roles.roles}.items():
                for part in in_parts(sorted(wanted.get(kind, ()))):
                    known |= {(kind, each["id"]): each for each in entries.find(tx, table, {"id": part})}
            for domain in entries.find(tx, rows.domains):
                known[roles.DOMAIN, domain["id"]] = domain
        return known

    # Roles that bring others along.

    def imply(self, prior_id: str, implied_id: str) -> None:
        def work(tx: sa.Connection) -> None:
            _, implied = _role(tx, prior_id), _role(tx, implied_id)
            if implied["name"] == NEVER_IMPLIED and implied["domain_id"] == roles.GLOBAL:
                raise errors.Forbidden(f"The role {NEVER_IMPLIED} cannot be implied by another one.")
            roles.imply(tx, prior_id, implied_id)

        self._db.transact(work)

    def imply_no_more(self, prior_id: str, implied_id: str) -> None:
        def work(tx: sa.Connection) -> None:
            if not roles.imply_no_more(tx, prior_id, implied_id):
                raise errors.NotFound(f"Role {prior_id} does not imply {implied_id}.")

        self._db.transact(work)

    def implications(self, prior_id: str | None = None) -> list[tuple[Entry, Entry]]:
        """(prior, implied) as records, of one role or of all. NotFound: there is no such role."""
        with self._db.read() as tx:
            if prior_id is not None:
                _role(tx, prior_id)
            known = {each["id"]: each for each in entries.find(tx, roles.roles)}
            pairs = roles.implications(tx)
        found = [(known[prior], known[implied]) for prior, implied in pairs if prior_id in (None, prior)]
        return sorted(found, key=lambda pair: (pair[0]["name"], pair[1]["name"]))

    def _given(self, tx: sa.Connection, wanted: Wanted, effective: bool) -> list[Assignment]:
        if effective and wanted.user_id is not None:
            return rights.given_to(tx, wanted.user_id)
        users = [] if wanted.group_id else roles.assignments(tx, roles.USER, wanted.user_id and [wanted.user_id])
        groups = [] if wanted.user_id else roles.assignments(tx, roles.GROUP, wanted.group_id and [wanted.group_id])
        return users + groups


def _check(tx: sa.Connection, given: Assignment) -> None:
    role = _role(tx, given.role_id)
    target = _check_ends(tx, given)
    if role["domain_id"] == roles.GLOBAL:
        return
    domain_id = target["domain_id"] if given.scope == roles.PROJECT else given.target_id
    if role["domain_id"] != domain_id or given.scope == roles.SYSTEM:
        raise errors.Forbidden(f"Role {given.role_id} belongs to another domain and cannot be given there.")


def _check_ends(tx: sa.Connection, given: Assignment) -> Entry:
    """The target's record. NotFound: the target, or who holds it."""
    ends = [(given.actor, given.actor_id)]
    if given.scope != roles.SYSTEM:
        ends.append((given.scope, given.target_id))
    found: Entry = {}
    for kind, id in ends:
        record = entries.get(tx, _TABLES[kind], id)
        if record is None:
            raise errors.NotFound(f"Could not find {kind}: {id}.")
        found = record
    return found


def _role(tx: sa.Connection, id: str) -> Entry:
    found = entries.get(tx, roles.roles, id)
    if found is None:
        raise errors.NotFound(f"Could not find role: {id}.")
    return found


def _not_given(given: Assignment) -> errors.NotFound:
    return errors.NotFound(
        f"Could not find role assignment with role: {given.role_id}, user or group: {given.actor_id}, "
        f"project, domain, or system: {given.target_id}."
    )


def _expanded(tx: sa.Connection, found: Iterable[Assignment]) -> Iterator[Assignment]:
    """What was given to groups as their users', what is inherited where it counts, each role with all it implies."""
    implications = roles.implications(tx)
    members: dict[str, list[str]] = {}
    places: dict[tuple[str, str], list[str]] = {}
    brought: dict[str, list[str]] = {}
    for each in found:
        if each.role_id not in brought:
            brought[each.role_id] = sorted(rights.closure([each.role_id], implications))
        if each.actor == roles.GROUP and each.actor_id not in members:
            members[each.actor_id] = rows.members_of(tx, each.actor_id)
        place = (each.scope, each.target_id)
        if each.inherited and place not in places:
            places[place] = _projects_below(tx, *place)
        for user_id in members[each.actor_id] if each.actor == roles.GROUP else [each.actor_id]:
            for role_id in brought[each.role_id]:
                plain = replace(each, actor=roles.USER, actor_id=user_id, role_id=role_id)
                if not each.inherited:
                    yield plain
                for project_id in places[place] if each.inherited else ():
                    yield replace(plain, scope=roles.PROJECT, target_id=project_id)


def _projects_below(tx: sa.Connection, scope: str, target_id: str) -> list[str]:
    if scope == roles.DOMAIN:
        return [each["id"] for each in entries.find(tx, rows.projects, {"domain_id": target_id})]
    return rows.ids_below(tx, target_id)


def _targets(tx: sa.Connection, wanted: Wanted) -> set[str]:
    if wanted.project_id is None:
        return set()
    below = rows.ids_below(tx, wanted.project_id) if wanted.subtree else []
    return {wanted.project_id, *below}


def _is_wanted(each: Assignment, wanted: Wanted, projects: set[str], effective: bool) -> bool:
    asked: list[tuple[Any, bool]] = [
        (wanted.user_id, (each.actor, each.actor_id) == (roles.USER, wanted.user_id)),
        (wanted.group_id, (each.actor, each.actor_id) == (roles.GROUP, wanted.group_id)),
        (wanted.role_id, each.role_id == wanted.role_id),
        (wanted.project_id, each.scope == roles.PROJECT and each.target_id in projects),
        (wanted.domain_id, (each.scope, each.target_id) == (roles.DOMAIN, wanted.domain_id)),
        (wanted.system or None, each.scope == roles.SYSTEM),
        (None if effective else wanted.inherited, each.inherited == wanted.inherited),
    ]
    return all(fits for value, fits in asked if value is not None)
