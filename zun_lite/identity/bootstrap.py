# SPDX-License-Identifier: Apache-2.0
"""The first identity of an installation: keys, domain, roles, two projects, two users and the catalogue.

May be run any number of times: it makes what is missing and says what that was.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db import identity as rows
from zun_lite.db import roles
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.identity import catalog, keys, passwords
from zun_lite.identity.base import IMPLIED_ROLES

DOMAIN_ID, DOMAIN_NAME = "default", "Default"
ADMIN, DEMO = "admin", "demo"
ROLES = (*IMPLIED_ROLES, "reader", "service")


@dataclass(frozen=True)
class Account:
    """A user with a project of the same name; role is what it holds there, system whether everywhere too."""

    name: str
    role: str
    system: bool


ACCOUNTS = (Account(ADMIN, "admin", True), Account(DEMO, "member", False))


def bootstrap(db: Database, key_dir: str, admin_password: str | None, demo_password: str | None) -> list[str]:
    """What was made, a few words each.

    A password that is given becomes the user's; None leaves the user as it is.
    Invalid: None for a user that does not exist yet.
    """
    made = ["token key"] if keys.make_first(key_dir) else []
    given = {ADMIN: admin_password, DEMO: demo_password}
    hashes = {name: _new_hash(db, name, password) for name, password in given.items()}
    return made + db.transact(lambda tx: _fill(tx, hashes))


def _new_hash(db: Database, name: str, password: str | None) -> str | None:
    """The hash to store, or None where the user's password stays as it is."""
    with db.read() as tx:
        found = rows.find_users(tx, domain_id=DOMAIN_ID, name=name)
    if password is None:
        if not found:
            raise errors.Invalid(f"User {name} does not exist yet; give a password for it.")
        return None
    if found and passwords.fits(password, found[0].password_hash):
        return None
    return passwords.hashed(password)


def _fill(tx: sa.Connection, hashes: dict[str, str | None]) -> list[str]:
    made = []
    if rows.domain(tx, id=DOMAIN_ID) is None:
        rows.add_domain(tx, DOMAIN_ID, DOMAIN_NAME, "The default domain")
        made.append(f"domain {DOMAIN_NAME}")
    role_ids = {role.name: role.id for role in roles.named(tx, ROLES)}
    for role in ROLES:
        if role not in role_ids:
            role_ids[role] = uuid.uuid4().hex
            roles.add(tx, role_ids[role], role, immutable=True)
            made.append(f"role {role}")
    for prior, implied in IMPLIED_ROLES.items():
        if roles.imply(tx, role_ids[prior], role_ids[implied]):
            made.append(f"role {implied} with {prior}")
    for account in ACCOUNTS:
        made += _fill_account(tx, account, hashes[account.name], role_ids)
    return made + catalog.fill(tx)


def _fill_account(
    tx: sa.Connection, account: Account, password_hash: str | None, role_ids: dict[str, str]
) -> list[str]:
    made = []
    projects = rows.find_projects(tx, domain_id=DOMAIN_ID, name=account.name)
    project_id = projects[0].id if projects else uuid.uuid4().hex
    if not projects:
        rows.add_project(tx, project_id, DOMAIN_ID, account.name)
        made.append(f"project {account.name}")
    users = rows.find_users(tx, domain_id=DOMAIN_ID, name=account.name)
    user_id = users[0].id if users else uuid.uuid4().hex
    if not users:
        assert password_hash is not None
        rows.add_user(tx, user_id, DOMAIN_ID, account.name, password_hash, default_project_id=project_id)
        made.append(f"user {account.name}")
    elif password_hash is not None:
        rows.set_password(tx, user_id, password_hash)
        made.append(f"password of user {account.name}")
    if roles.assign(tx, user_id, roles.PROJECT, project_id, role_ids[account.role]):
        made.append(f"role {account.role} of {account.name} in project {account.name}")
    if account.system and roles.assign(tx, user_id, roles.SYSTEM, roles.ALL, role_ids[account.role]):
        made.append(f"role {account.role} of {account.name} in the system")
    return made
