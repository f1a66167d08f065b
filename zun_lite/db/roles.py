# SPDX-License-Identifier: Apache-2.0
"""Roles, which role brings which along, and who holds which role where.

A role is held by a user or by a group, in a project, a domain or the system. One that is `inherited` does
not count where it was given but in the projects below. Knows rows only: what counts for a user in the end
is identity.rights' to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, metadata, text_type

PROJECT, DOMAIN, SYSTEM = "project", "domain", "system"
ALL = "all"
USER, GROUP = "user", "group"
# Of roles that belong to no domain; a NULL would not keep two of one name apart.
GLOBAL = ""

roles = sa.Table(
    "roles",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("domain_id", text_type(64), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("extra", Json, nullable=False),
    sa.UniqueConstraint("domain_id", "name"),
)

implied_roles = sa.Table(
    "implied_roles",
    metadata,
    sa.Column("prior_id", text_type(64), sa.ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("implied_id", text_type(64), sa.ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
)


def _assignments(name: str, actor: str, actors: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column(actor, text_type(64), sa.ForeignKey(f"{actors}.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("scope", sa.String(16), primary_key=True),
        sa.Column("target_id", text_type(64), primary_key=True),
        sa.Column("role_id", text_type(64), sa.ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("inherited", sa.Boolean, primary_key=True),
        sa.Index(None, "scope", "target_id"),
    )


role_assignments = _assignments("role_assignments", "user_id", "users")
group_role_assignments = _assignments("group_role_assignments", "group_id", "user_groups")
_TABLES = {
    USER: (role_assignments, role_assignments.c.user_id),
    GROUP: (group_role_assignments, group_role_assignments.c.group_id),
}


@dataclass(frozen=True)
class Role:
    id: str
    name: str
    domain_id: str = GLOBAL


@dataclass(frozen=True)
class Assignment:
    """actor: USER or GROUP, whose id is actor_id. scope: PROJECT, DOMAIN or SYSTEM, whose id is target_id."""

    actor: str
    actor_id: str
    scope: str
    target_id: str
    role_id: str
    inherited: bool = False


def every(tx: sa.Connection) -> dict[str, Role]:
    """All roles, by id; there are few."""
    query = sa.select(roles.c.id, roles.c.name, roles.c.domain_id).order_by(roles.c.name, roles.c.id)
    return {row["id"]: Role(**row) for row in tx.execute(query).mappings()}


def named(tx: sa.Connection, wanted: Iterable[str]) -> list[Role]:
    """The roles of these names that belong to no domain, by name."""
    query = (
        sa.select(roles.c.id, roles.c.name, roles.c.domain_id)
        .where(roles.c.name.in_(list(wanted)), roles.c.domain_id == GLOBAL)
        .order_by(roles.c.name)
    )
    return [Role(**row) for row in tx.execute(query).mappings()]


def add(tx: sa.Connection, id: str, name: str, *, immutable: bool = False) -> None:
    """A role that belongs to no domain. immutable: it is neither changed nor deleted until that option is gone."""
    extra = {"options": {"immutable": True}} if immutable else {}
    tx.execute(sa.insert(roles).values(id=id, name=name, description="", domain_id=GLOBAL, extra=extra))


def implications(tx: sa.Connection) -> list[tuple[str, str]]:
    """(prior, implied) ids of roles."""
    query = sa.select(implied_roles.c.prior_id, implied_roles.c.implied_id)
    return [(prior, implied) for prior, implied in tx.execute(query)]


def imply(tx: sa.Connection, prior_id: str, implied_id: str) -> bool:
    """Let a role bring another along; False if it does."""
    if (prior_id, implied_id) in implications(tx):
        return False
    tx.execute(sa.insert(implied_roles).values(prior_id=prior_id, implied_id=implied_id))
    return True


def imply_no_more(tx: sa.Connection, prior_id: str, implied_id: str) -> bool:
    query = sa.delete(implied_roles).where(
        implied_roles.c.prior_id == prior_id, implied_roles.c.implied_id == implied_id
    )
    return bool(tx.execute(query).rowcount)


def assign(tx: sa.Connection, user_id: str, scope: str, target_id: str, role_id: str) -> bool:
    """Give a user a role; False if the user had it there."""
    return give(tx, Assignment(USER, user_id, scope, target_id, role_id))


def give(tx: sa.Connection, given: Assignment) -> bool:
    """False if it was given before."""
    if has(tx, given):
        return False
    table, actor = _TABLES[given.actor]
    tx.execute(sa.insert(table).values({actor.name: given.actor_id, **_rest(given)}))
    return True


def has(tx: sa.Connection, given: Assignment) -> bool:
    table, _ = _TABLES[given.actor]
    return tx.execute(sa.select(table.c.role_id).where(*_is(given))).first() is not None


def take(tx: sa.Connection, given: Assignment) -> bool:
    """False if it was not given."""
    table, _ = _TABLES[given.actor]
    return bool(tx.execute(sa.delete(table).where(*_is(given))).rowcount)


def take_all_of_target(tx: sa.Connection, scope: str, target_id: str) -> None:
    """A project or a domain is gone, and with it what was held there."""
    for table, _ in _TABLES.values():
        tx.execute(sa.delete(table).where(table.c.scope == scope, table.c.target_id == target_id))


def assignments(
    tx: sa.Connection,
    actor: str,
    actor_ids: Sequence[str] | None = None,
    scope: str | None = None,
    target_ids: Sequence[str] | None = None,
) -> list[Assignment]:
    """Those of users or of groups, as they were given; None is any."""
    table, column = _TABLES[actor]
    where: list[Any] = [] if scope is None else [table.c.scope == scope]
    if actor_ids is not None:
        where.append(column.in_(actor_ids))
    if target_ids is not None:
        where.append(table.c.target_id.in_(target_ids))
    query = (
        sa.select(column, table.c.scope, table.c.target_id, table.c.role_id, table.c.inherited)
        .where(*where)
        .order_by(table.c.scope, table.c.target_id, column, table.c.role_id)
    )
    return [Assignment(actor, *row) for row in tx.execute(query)]


def _is(given: Assignment) -> list[Any]:
    table, actor = _TABLES[given.actor]
    return [actor == given.actor_id, *(table.c[name] == value for name, value in _rest(given).items())]


def _rest(given: Assignment) -> dict[str, Any]:
    return {
        "scope": given.scope,
        "target_id": given.target_id,
        "role_id": given.role_id,
        "inherited": given.inherited,
    }
