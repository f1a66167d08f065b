# SPDX-License-Identifier: Apache-2.0
"""Domains, projects, users and groups; and which tokens were revoked. Roles are in roles.py.

Knows rows only: passwords come hashed, tokens as audit ids. `extra` holds what else a record has on the
wire: tags, options, and whatever keys its maker chose.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type
from zun_lite.db.listing import in_parts

# Projects within projects, as Keystone allows.
DEEPEST = 5

domains = sa.Table(
    "domains",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("name", text_type(64), nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json, nullable=False),
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("domain_id", text_type(64), sa.ForeignKey("domains.id"), nullable=False),
    sa.Column("parent_id", text_type(64), sa.ForeignKey("projects.id"), index=True),
    sa.Column("name", text_type(64), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json, nullable=False),
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
    sa.Column("extra", Json, nullable=False),
    sa.UniqueConstraint("domain_id", "name"),
)

# `groups` is a word of SQL's own.
groups = sa.Table(
    "user_groups",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("domain_id", text_type(64), sa.ForeignKey("domains.id"), nullable=False),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("extra", Json, nullable=False),
    sa.UniqueConstraint("domain_id", "name"),
)

group_members = sa.Table(
    "group_members",
    metadata,
    sa.Column("group_id", text_type(64), sa.ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("user_id", text_type(64), sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
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
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """domain_name comes along, as nobody wants a project without it. parent_id: None right below the domain."""

    id: str
    name: str
    domain_id: str
    domain_name: str
    description: str = ""
    enabled: bool = True
    parent_id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


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
    extra: dict[str, Any] = field(default_factory=dict)


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


def projects_among(tx: sa.Connection, ids: Sequence[str]) -> list[Project]:
    """Those of these ids that there are, by name."""
    found = [
        Project(**row)
        for part in in_parts(ids)
        for row in tx.execute(_projects().where(projects.c.id.in_(part))).mappings()
    ]
    return sorted(found, key=lambda project: (project.name, project.id))


def ancestors(tx: sa.Connection, project: Project) -> list[Project]:
    """The projects above this one, the nearest first."""
    above: list[Project] = []
    while project.parent_id is not None and len(above) < DEEPEST:
        found = find_projects(tx, id=project.parent_id)
        if not found:
            break
        project = found[0]
        above.append(project)
    return above


def ids_below(tx: sa.Connection, project_id: str) -> list[str]:
    """Ids of the projects below this one, the nearest first."""
    found: list[str] = []
    level = [project_id]
    while level:
        children: list[str] = []
        for part in in_parts(level):
            children += tx.execute(sa.select(projects.c.id).where(projects.c.parent_id.in_(part))).scalars()
        level = children
        found += level
    return found


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


def home_of(tx: sa.Connection, id: str, *, is_group: bool = False) -> str | None:
    """The domain that a user or a group is in."""
    table = groups if is_group else users
    found: str | None = tx.execute(sa.select(table.c.domain_id).where(table.c.id == id)).scalar()
    return found


def add_domain(tx: sa.Connection, id: str, name: str, description: str = "") -> None:
    tx.execute(sa.insert(domains).values(id=id, name=name, description=description, enabled=True, extra={}))


def add_project(tx: sa.Connection, id: str, domain_id: str, name: str, description: str = "") -> None:
    values = {"id": id, "domain_id": domain_id, "name": name, "description": description}
    tx.execute(sa.insert(projects).values(**values, enabled=True, extra={}))


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
            extra={},
        )
    )


def set_password(tx: sa.Connection, user_id: str, password_hash: str) -> None:
    """A new password; every token issued before is void."""
    tx.execute(
        sa.update(users)
        .where(users.c.id == user_id)
        .values(password_hash=password_hash, generation=users.c.generation + 1)
    )


def rehash_password(tx: sa.Connection, user_id: str, before: str, password_hash: str) -> None:
    """The same password by a newer recipe; nothing if the password was changed meanwhile."""
    tx.execute(
        sa.update(users)
        .where(users.c.id == user_id, users.c.password_hash == before)
        .values(password_hash=password_hash)
    )


def end_tokens(tx: sa.Connection, user_id: str) -> None:
    """Every token of the user that was issued before is void, for good."""
    tx.execute(sa.update(users).where(users.c.id == user_id).values(generation=users.c.generation + 1))


def end_tokens_of_domain(tx: sa.Connection, domain_id: str) -> None:
    """As end_tokens, for each user of the domain."""
    tx.execute(sa.update(users).where(users.c.domain_id == domain_id).values(generation=users.c.generation + 1))


def groups_of(tx: sa.Connection, user_id: str) -> list[str]:
    query = sa.select(group_members.c.group_id).where(group_members.c.user_id == user_id)
    return list(tx.execute(query).scalars())


def members_of(tx: sa.Connection, group_id: str) -> list[str]:
    query = sa.select(group_members.c.user_id).where(group_members.c.group_id == group_id)
    return list(tx.execute(query).scalars())


def join_group(tx: sa.Connection, group_id: str, user_id: str) -> None:
    """Nothing if the user is in it already."""
    if user_id not in members_of(tx, group_id):
        tx.execute(sa.insert(group_members).values(group_id=group_id, user_id=user_id))


def leave_group(tx: sa.Connection, group_id: str, user_id: str) -> bool:
    """False if the user was not in it."""
    query = sa.delete(group_members).where(group_members.c.group_id == group_id, group_members.c.user_id == user_id)
    return bool(tx.execute(query).rowcount)


def revoke_token(tx: sa.Connection, audit_id: str, expires_at: datetime.datetime) -> None:
    """Void one token; forgets, by the way, those that have expired long since."""
    if is_revoked(tx, [audit_id]):
        return
    long_ago = expires_at - datetime.timedelta(days=30)
    tx.execute(sa.delete(revoked_tokens).where(revoked_tokens.c.expires_at < long_ago))
    tx.execute(sa.insert(revoked_tokens).values(audit_id=audit_id, expires_at=expires_at))


def is_revoked(tx: sa.Connection, audit_ids: Sequence[str]) -> bool:
    """Whether any of these was revoked."""
    query = sa.select(revoked_tokens.c.audit_id).where(revoked_tokens.c.audit_id.in_(audit_ids)).limit(1)
    return tx.execute(query).first() is not None


def _projects() -> sa.Select[Any]:
    return sa.select(
        projects.c.id,
        projects.c.name,
        projects.c.domain_id,
        projects.c.description,
        projects.c.parent_id,
        projects.c.extra,
        domains.c.name.label("domain_name"),
        sa.and_(projects.c.enabled, domains.c.enabled).label("enabled"),
    ).join_from(projects, domains)
