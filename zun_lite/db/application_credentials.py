# SPDX-License-Identifier: Apache-2.0
"""Application credentials, and the access rules that bound some of them. Secrets come hashed.

One that was made with another one ends with it (parent_id).
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type

application_credentials = sa.Table(
    "application_credentials",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("user_id", text_type(64), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column(
        "project_id", text_type(64), sa.ForeignKey("projects.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    sa.Column("parent_id", text_type(64), index=True),
    sa.Column("name", text_type(255), nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("secret_hash", sa.String(255), nullable=False),
    sa.Column("role_ids", Json, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("unrestricted", sa.Boolean, nullable=False),
    sa.UniqueConstraint("user_id", "name"),
)

access_rules = sa.Table(
    "access_rules",
    metadata,
    sa.Column("id", text_type(64), primary_key=True),
    sa.Column("user_id", text_type(64), sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("service", text_type(64), nullable=False),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("path", text_type(255), nullable=False),
)

application_credential_rules = sa.Table(
    "application_credential_rules",
    metadata,
    sa.Column(
        "credential_id",
        text_type(64),
        sa.ForeignKey("application_credentials.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    # No cascade: a credential that lost its rules would be allowed everything.
    sa.Column("rule_id", text_type(64), sa.ForeignKey("access_rules.id"), primary_key=True, index=True),
)


@dataclass(frozen=True)
class Credential:
    """role_ids: as they were asked for, without those that they imply. expires_at: UTC without a zone, or never."""

    id: str
    user_id: str
    project_id: str
    name: str
    description: str | None
    secret_hash: str
    role_ids: list[str]
    expires_at: datetime.datetime | None
    unrestricted: bool
    parent_id: str | None = None


@dataclass(frozen=True)
class AccessRule:
    """What one may do: the type of a service, a method, and a path with * , ** and {name} in it."""

    id: str
    user_id: str
    service: str
    method: str
    path: str


def find(tx: sa.Connection, **equal: Any) -> list[Credential]:
    """Those whose columns equal these, by name."""
    where = [application_credentials.c[column] == value for column, value in equal.items()]
    query = sa.select(application_credentials).where(*where).order_by(application_credentials.c.name)
    return [Credential(**row) for row in tx.execute(query).mappings()]


def add(tx: sa.Connection, made: Credential, rule_ids: Sequence[str]) -> None:
    values = {column.name: getattr(made, column.name) for column in application_credentials.c}
    tx.execute(sa.insert(application_credentials).values(values))
    for rule_id in rule_ids:
        tx.execute(sa.insert(application_credential_rules).values(credential_id=made.id, rule_id=rule_id))


def rehash(tx: sa.Connection, credential_id: str, secret_hash: str) -> None:
    tx.execute(
        sa.update(application_credentials)
        .where(application_credentials.c.id == credential_id)
        .values(secret_hash=secret_hash)
    )


def remove(tx: sa.Connection, credential_id: str) -> None:
    """This one and all that were made with it."""
    gone = [credential_id]
    while gone:
        children = find_ids(tx, application_credentials.c.parent_id.in_(gone))
        tx.execute(sa.delete(application_credentials).where(application_credentials.c.id.in_(gone)))
        gone = children


def remove_of(tx: sa.Connection, user_id: str, project_id: str) -> None:
    """Those of a user in a project, since the user lost a role there."""
    columns = application_credentials.c
    for id in find_ids(tx, sa.and_(columns.user_id == user_id, columns.project_id == project_id)):
        remove(tx, id)


def remove_of_users(tx: sa.Connection, user_ids: Sequence[str]) -> None:
    for user_id in user_ids:
        tx.execute(sa.delete(application_credentials).where(application_credentials.c.user_id == user_id))


def find_ids(tx: sa.Connection, where: sa.ColumnElement[bool]) -> list[str]:
    return list(tx.execute(sa.select(application_credentials.c.id).where(where)).scalars())


def find_rules(tx: sa.Connection, **equal: Any) -> list[AccessRule]:
    where = [access_rules.c[column] == value for column, value in equal.items()]
    query = sa.select(access_rules).where(*where).order_by(access_rules.c.id)
    return [AccessRule(**row) for row in tx.execute(query).mappings()]


def rules_of(tx: sa.Connection, credential_id: str) -> list[AccessRule]:
    query = (
        sa.select(access_rules)
        .join_from(access_rules, application_credential_rules)
        .where(application_credential_rules.c.credential_id == credential_id)
        .order_by(access_rules.c.id)
    )
    return [AccessRule(**row) for row in tx.execute(query).mappings()]


def add_rule(tx: sa.Connection, rule: AccessRule) -> None:
    tx.execute(sa.insert(access_rules).values({column.name: getattr(rule, column.name) for column in access_rules.c}))


def is_rule_in_use(tx: sa.Connection, rule_id: str) -> bool:
    columns = application_credential_rules.c
    return tx.execute(sa.select(columns.rule_id).where(columns.rule_id == rule_id)).first() is not None


def remove_rule(tx: sa.Connection, rule_id: str) -> None:
    tx.execute(sa.delete(access_rules).where(access_rules.c.id == rule_id))
