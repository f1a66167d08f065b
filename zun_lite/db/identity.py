# SPDX-License-Identifier: Apache-2.0
"""Domains, projects, users, roles and who holds which role where; and which tokens were revoked.

Knows rows only: passwords come hashed, tokens as audit ids.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Moment, metadata, text_type

PROJECT, DOMAIN, SYSTEM = "project", "domain", "system"
ALL = "all"

domains = sa.Table(
    "domains",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("name", text_type(64), nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("domain_id", text_type(64), sa.ForeignKey("domains.id"), nullable=False),
    sa.Column("name", text_type(64), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.UniqueConstraint("domain_id", "name"),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("domain_id", text_type(64), sa.ForeignKey("domains.id"), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("password_hash", sa.String(255)),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("default_project_id", text_type(64)),
    sa.Column("email", sa.String(255)),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.UniqueConstraint("domain_id", "name"),
)

roles = sa.Table(
    "roles",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("name", text_type(255), nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
)

role_assignments = sa.Table(
    "role_assignments",
    metadata,
    sa.Column("user_id", text_type(64), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("scope", sa.String(16), primary_key=True),
    sa.Column("target_id", text_type(64), primary_key=True),
    sa.Column("role_id", text_type(64), sa.ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    sa.Index(None, "scope", "target_id"),
)

revoked_tokens = sa.Table(
    "revoked_tokens",
    metadata,
    sa.Column("audit_id", text_type(32), primary_key=True),
    sa.Column("expires_at", Moment, nullable=False, index=True),
)


@dataclass(frozen=True)
class Domain:
    id: str
    name: str
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True)
class Project:
    """domain_name comes along, as nobody wants a project without it."""

    id: str
    name: str
    domain_id: str
    domain_name: str
    description: str = ""
    enabled: bool = True


@dataclass(frozen=True)
class User:
    """generation: grows when the user's tokens are to end (a new password); tokens name theirs."""

    id: str
    name: str
    domain_id: str
    domain_name: str
    password_hash: str | None
    generation: int
    enabled: bool = True
    default_project_id: str | None = None
    email: str | None = None
    description: str = ""


@dataclass(frozen=True)
class Role:
    id: str
    name: str


def domain(tx: sa.Connection, *, id: str | None = None, name: str | None = None) -> Domain | None:
    """By id, else by name."""
    where = domains.c.id == id if id is not None else domains.c.name == name
    row = tx.execute(sa.select(domains).where(where)).mappings().first()
    return Domain(**row) if row else None


def find_projects(tx: sa.Connection, **equal: Any) -> list[Project]:
    """Projects whose columns equal these, by name; a disabled domain disables its projects."""
    where = [projects.c[column] == value for column, value in equal.items() if column != "enabled"]
    query = _projects().where(*where).order_by(projects.c.name, projects.c.id)
    found = [Project(**row) for row in tx.execute(query).mappings()]
    return [project for project in found if project.enabled == equal.get("enabled", project.enabled)]


def project(tx: sa.Connection, id: str) -> Project | None:
    found = find_projects(tx, id=id)
    return found[0] if found else None


def projects_of(tx: sa.Connection, user_id: str) -> list[Project]:
    """The projects in which the user holds a role."""
    held = sa.select(role_assignments.c.target_id).where(
        role_assignments.c.user_id == user_id, role_assignments.c.scope == PROJECT
    )
    query = _projects().where(projects.c.id.in_(held)).order_by(projects.c.name, projects.c.id)
    return [Project(**row) for row in tx.execute(query).mappings()]


def domains_of(tx: sa.Connection, user_id: str) -> list[Domain]:
    """The domains in which the user holds a role."""
    held = sa.select(role_assignments.c.target_id).where(
        role_assignments.c.user_id == user_id, role_assignments.c.scope == DOMAIN
    )
    query = sa.select(domains).where(domains.c.id.in_(held)).order_by(domains.c.name)
    return [Domain(**row) for row in tx.execute(query).mappings()]


def find_users(tx: sa.Connection, **equal: Any) -> list[User]:
    """Users whose columns equal these, by name; a disabled domain disables its users."""
    where = [users.c[column] == value for column, value in equal.items() if column != "enabled"]
    query = (
        sa.select(
            *(column for column in users.c if column.name != "enabled"),
            domains.c.name.label("domain_name"),
            sa.and_(users.c.enabled, domains.c.enabled).label("enabled"),
        )
        .join_from(users, domains)
        .where(*where)
        .order_by(users.c.name, users.c.id)
    )
    found = [User(**{**row, "enabled": bool(row["enabled"])}) for row in tx.execute(query).mappings()]
    return [user for user in found if user.enabled == equal.get("enabled", user.enabled)]


def user(tx: sa.Connection, id: str) -> User | None:
    found = find_users(tx, id=id)
    return found[0] if found else None


def roles_held(tx: sa.Connection, user_id: str, scope: str, target_id: str) -> list[Role]:
    """The roles assigned there, without those that they imply."""
    query = (
        sa.select(roles.c.id, roles.c.name)
        .join_from(role_assignments, roles)
        .where(
            role_assignments.c.user_id == user_id,
            role_assignments.c.scope == scope,
            role_assignments.c.target_id == target_id,
        )
    )
    return [Role(**row) for row in tx.execute(query).mappings()]


def roles_named(tx: sa.Connection, wanted: Iterable[str]) -> list[Role]:
    query = sa.select(roles.c.id, roles.c.name).where(roles.c.name.in_(list(wanted))).order_by(roles.c.name)
    return [Role(**row) for row in tx.execute(query).mappings()]


def add_domain(tx: sa.Connection, id: str, name: str, description: str = "") -> None:
    tx.execute(sa.insert(domains).values(id=id, name=name, description=description, enabled=True))


def add_project(tx: sa.Connection, id: str, domain_id: str, name: str, description: str = "") -> None:
    tx.execute(sa.insert(projects).values(id=id, domain_id=domain_id, name=name, description=description, enabled=True))


def add_user(
    tx: sa.Connection, id: str, domain_id: str, name: str, password_hash: str, default_project_id: str | None = None
) -> None:
    tx.execute(
        sa.insert(users).values(
            id=id,
            domain_id=domain_id,
            name=name,
            password_hash=password_hash,
            default_project_id=default_project_id,
            enabled=True,
            description="",
            generation=1,
        )
    )


def set_password(tx: sa.Connection, user_id: str, password_hash: str) -> None:
    """A new password; every token issued before is void."""
    tx.execute(
        sa.update(users)
        .where(users.c.id == user_id)
        .values(password_hash=password_hash, generation=users.c.generation + 1)
    )


def add_role(tx: sa.Connection, id: str, name: str, description: str = "") -> None:
    tx.execute(sa.insert(roles).values(id=id, name=name, description=description))


def assign(tx: sa.Connection, user_id: str, scope: str, target_id: str, role_id: str) -> bool:
    """Give a role; False if the user had it there."""
    held = {role.id for role in roles_held(tx, user_id, scope, target_id)}
    if role_id in held:
        return False
    tx.execute(sa.insert(role_assignments).values(user_id=user_id, scope=scope, target_id=target_id, role_id=role_id))
    return True


def revoke_token(tx: sa.Connection, audit_id: str, expires_at: datetime.datetime) -> None:
    """Void one token; forgets, by the way, those that have expired long since."""
    if is_revoked(tx, audit_id):
        return
    long_ago = expires_at - datetime.timedelta(days=30)
    tx.execute(sa.delete(revoked_tokens).where(revoked_tokens.c.expires_at < long_ago))
    tx.execute(sa.insert(revoked_tokens).values(audit_id=audit_id, expires_at=expires_at))


def is_revoked(tx: sa.Connection, audit_id: str) -> bool:
    query = sa.select(revoked_tokens.c.audit_id).where(revoked_tokens.c.audit_id == audit_id)
    return tx.execute(query).first() is not None


def _projects() -> sa.Select[Any]:
    return sa.select(
        projects.c.id,
        projects.c.name,
        projects.c.domain_id,
        projects.c.description,
        domains.c.name.label("domain_name"),
        sa.and_(projects.c.enabled, domains.c.enabled).label("enabled"),
    ).join_from(projects, domains)
