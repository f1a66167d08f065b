# SPDX-License-Identifier: Apache-2.0
"""Which roles count for a user somewhere: its own, its groups', inherited ones, and all that they imply."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from zun_lite.db import identity as rows
from zun_lite.db import roles
from zun_lite.db.roles import Assignment, Role


def given_to(
    tx: sa.Connection, user_id: str, scope: str | None = None, target_ids: list[str] | None = None
) -> list[Assignment]:
    """What the user was given there, itself or by its groups."""
    own = roles.assignments(tx, roles.USER, [user_id], scope, target_ids)
    groups = rows.groups_of(tx, user_id)
    return own + (roles.assignments(tx, roles.GROUP, groups, scope, target_ids) if groups else [])


def held(tx: sa.Connection, user_id: str, scope: str, target_id: str) -> set[str]:
    """Ids of the roles that the user has in a project, a domain or the system, without those that they imply."""
    if scope != roles.PROJECT:
        return {each.role_id for each in given_to(tx, user_id, scope, [target_id]) if not each.inherited}
    project = rows.project(tx, target_id)
    if project is None:
        return set()
    above = [each.id for each in rows.ancestors(tx, project)]
    found = given_to(tx, user_id, roles.PROJECT, [target_id, *above])
    there = {each.role_id for each in found if each.inherited == (each.target_id != target_id)}
    from_domain = given_to(tx, user_id, roles.DOMAIN, [project.domain_id])
    return there | {each.role_id for each in from_domain if each.inherited}


def with_implied(tx: sa.Connection, role_ids: Iterable[str]) -> list[Role]:
    """These roles and all that they imply, by name; roles of a domain only bring others along."""
    known = roles.every(tx)
    counted = closure(role_ids, roles.implications(tx))
    return [role for id, role in known.items() if id in counted and role.domain_id == roles.GLOBAL]


def closure(role_ids: Iterable[str], implications: Iterable[tuple[str, str]]) -> set[str]:
    """Ids of these roles and of all that they imply."""
    brings: dict[str, list[str]] = {}
    for prior, implied in implications:
        brings.setdefault(prior, []).append(implied)
    counted: set[str] = set()
    waiting = list(role_ids)
    while waiting:
        id = waiting.pop()
        if id not in counted:
            counted.add(id)
            waiting += brings.get(id, [])
    return counted


def projects_of(tx: sa.Connection, user_id: str) -> list[rows.Project]:
    """The projects in which the user has a role, by name."""
    given = given_to(tx, user_id)
    direct = {each.target_id for each in given if each.scope == roles.PROJECT and not each.inherited}
    if not any(each.inherited for each in given):
        return rows.projects_among(tx, sorted(direct))
    # Whoever has inherited roles is rare, and every project is looked at for them.
    domains = {each.target_id for each in given if each.scope == roles.DOMAIN and each.inherited}
    tops = {each.target_id for each in given if each.scope == roles.PROJECT and each.inherited}
    return [
        project
        for project in rows.find_projects(tx)
        if project.id in direct
        or project.domain_id in domains
        or any(above.id in tops for above in (rows.ancestors(tx, project) if tops else ()))
    ]


def domains_of(tx: sa.Connection, user_id: str) -> list[rows.Domain]:
    """The domains in which the user has a role, by name."""
    ids = {each.target_id for each in given_to(tx, user_id, roles.DOMAIN) if not each.inherited}
    found = [rows.domain(tx, id=id) for id in ids]
    return sorted((domain for domain in found if domain), key=lambda domain: domain.name)


def is_above_domains(tx: sa.Connection, actor: str, actor_id: str, managed: frozenset[str]) -> bool:
    """Whether a user or group has what its domain's manager may not give: other roles than these, or one elsewhere."""
    found = given_to(tx, actor_id) if actor == roles.USER else roles.assignments(tx, roles.GROUP, [actor_id])
    home = rows.home_of(tx, actor_id, is_group=actor == roles.GROUP)
    if any(each.scope == roles.SYSTEM or (each.scope == roles.DOMAIN and each.target_id != home) for each in found):
        return True
    projects = {each.target_id for each in found if each.scope == roles.PROJECT}
    if any(project.domain_id != home for project in rows.projects_among(tx, sorted(projects))):
        return True
    return any(role.name not in managed for role in with_implied(tx, {each.role_id for each in found}))
