# SPDX-License-Identifier: Apache-2.0
"""Application credentials and access rules: made out of a token, never for more than that token allows.

One that is made with another one ends no later, allows no other requests and is deleted with it.
"""

from __future__ import annotations

import datetime
import secrets
import uuid
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from zun_lite.common.clock import Clock
from zun_lite.db import application_credentials as tables
from zun_lite.db import entries, roles
from zun_lite.db.application_credentials import AccessRule, Credential
from zun_lite.db.engine import Database
from zun_lite.db.entries import Entry
from zun_lite.domain import errors
from zun_lite.identity import access_paths, nouns, passwords
from zun_lite.identity.base import Named, Token
from zun_lite.identity.requests import MAX_PASSWORD_CHARACTERS

MOST_OF_USER = 500
MOST_RULES = 100
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_RuleKey = tuple[str, str, str]


@dataclass(frozen=True)
class Wish:
    """What a body asks for. roles: (key, value), key being id or name. rules: ids, or (service, method, path)."""

    name: str
    description: str | None
    secret: str | None
    roles: tuple[tuple[str, str], ...]
    expires_at: datetime.datetime | None
    unrestricted: bool
    rules: tuple[str | _RuleKey, ...] | None


@dataclass(frozen=True)
class Shown:
    """A credential with what it refers to; roles by name, as records."""

    credential: Credential
    roles: list[Entry]
    rules: list[AccessRule]


class Delegations:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def find(self, user_id: str, name: str | None = None) -> list[Shown]:
        """Those of a user, by name."""
        equal = {"user_id": user_id} | ({} if name is None else {"name": name})
        with self._db.read() as tx:
            return [_shown(tx, each) for each in tables.find(tx, **equal)]

    def get(self, user_id: str, id: str) -> Shown:
        """NotFound: it is not there, or not of this user."""
        with self._db.read() as tx:
            return _shown(tx, _of_user(tx, user_id, id))

    def create(self, token: Token, wish: Wish) -> tuple[Shown, str]:
        """A new credential of the token's user in the token's project, and its secret, which is kept as a hash only.

        Invalid: the token has no project, or not one of those roles; or the end is past. Forbidden: the token
        comes of a credential that may make none. Conflict: there is one of that name.
        """
        check_unrestricted(token)
        if token.project is None:
            raise errors.Invalid("An application credential is made with a token of a project; scope yours to one.")
        if wish.expires_at is not None and _seconds(wish.expires_at) <= self._clock.now():
            raise errors.Invalid("The end of an application credential must lie ahead.")
        secret = wish.secret or secrets.token_urlsafe(64)
        made = Credential(
            id=uuid.uuid4().hex,
            user_id=token.user.id,
            project_id=token.project.id,
            name=wish.name,
            description=wish.description,
            secret_hash=passwords.hashed(secret),
            role_ids=[_role(token, key, value).id for key, value in wish.roles] or [role.id for role in token.roles],
            expires_at=wish.expires_at,
            unrestricted=wish.unrestricted,
        )

        def work(tx: sa.Connection) -> Shown:
            credential, rules = _within_parent(tx, token, made, _wished_rules(tx, token.user.id, wish.rules))
            others = tables.find(tx, user_id=made.user_id)
            if any(other.name == made.name for other in others):
                raise errors.Conflict(f"There is an application credential {made.name} already; choose another name.")
            if len(others) >= MOST_OF_USER:
                raise errors.Forbidden(f"A user has {MOST_OF_USER} application credentials at most; delete some.")
            known = {rule.id for rule in tables.find_rules(tx, user_id=made.user_id)}
            for rule in rules:
                if rule.id not in known:
                    tables.add_rule(tx, rule)
            tables.add(tx, credential, [rule.id for rule in rules])
            return _shown(tx, credential)

        return self._db.transact(work), secret

    def delete(self, user_id: str, id: str) -> None:
        """With those that were made with it. NotFound."""
        self._db.transact(lambda tx: tables.remove(tx, _of_user(tx, user_id, id).id))

    def rules(self, user_id: str) -> list[AccessRule]:
        with self._db.read() as tx:
            return tables.find_rules(tx, user_id=user_id)

    def rule(self, user_id: str, id: str) -> AccessRule:
        """NotFound."""
        with self._db.read() as tx:
            return _rule(tx, user_id, id)

    def delete_rule(self, user_id: str, id: str) -> None:
        """NotFound; Forbidden: a credential has it."""

        def work(tx: sa.Connection) -> None:
            rule = _rule(tx, user_id, id)
            if tables.is_rule_in_use(tx, rule.id):
                raise errors.Forbidden(f"Access rule {id} belongs to an application credential; delete that first.")
            tables.remove_rule(tx, rule.id)

        self._db.transact(work)


def check_unrestricted(token: Token) -> None:
    """Forbidden: the token comes of an application credential that may neither make nor delete any."""
    if token.delegation is not None and token.delegation.restricted:
        raise errors.Forbidden("A restricted application credential may neither make nor delete others.")


def read(body: Any) -> Wish:
    """What a POST asks for; null is as good as nothing. Invalid."""
    given = body.get("application_credential") if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise errors.Invalid("The body must be an object with the key application_credential.")
    where = "application_credential"
    secret, description = given.get("secret"), given.get("description")
    if secret is not None and not (isinstance(secret, str) and 0 < len(secret) <= MAX_PASSWORD_CHARACTERS):
        raise errors.Invalid(f"{where}.secret must be a string of 1 to {MAX_PASSWORD_CHARACTERS} characters.")
    unrestricted = given.get("unrestricted")
    if unrestricted is not None and not isinstance(unrestricted, bool):
        raise errors.Invalid(f"{where}.unrestricted must be true or false.")
    return Wish(
        name=nouns.name(255)(f"{where}.name", given.get("name")),
        description=None if description is None else nouns.text(f"{where}.description", description, 4096, lines=True),
        secret=secret,
        roles=tuple(_wished_role(each) for each in _list(f"{where}.roles", given.get("roles"))),
        expires_at=_moment(f"{where}.expires_at", given.get("expires_at")),
        unrestricted=bool(unrestricted),
        rules=_read_rules(given.get("access_rules")),
    )


def _list(where: str, given: Any) -> list[Any]:
    if given is not None and not isinstance(given, list):
        raise errors.Invalid(f"{where} must be a list.")
    return given or []


def _wished_role(given: Any) -> tuple[str, str]:
    if isinstance(given, dict):
        for key in ("id", "name"):
            if isinstance(given.get(key), str):
                return key, given[key]
    raise errors.Invalid("A role of an application credential is an object with an id or a name.")


def _moment(where: str, given: Any) -> datetime.datetime | None:
    """UTC without a zone; what has none is UTC."""
    if given is None:
        return None
    try:
        parsed = datetime.datetime.fromisoformat(given)
        return parsed.astimezone(datetime.UTC).replace(tzinfo=None) if parsed.tzinfo else parsed
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.Invalid(f"{where} must be a moment like 2030-01-31T23:59:59Z.") from error


def _read_rules(given: Any) -> tuple[str | _RuleKey, ...] | None:
    """None without any: every request is allowed."""
    found: list[str | _RuleKey] = []
    for each in _list("application_credential.access_rules", given):
        if not isinstance(each, dict):
            raise errors.Invalid("An access rule is an object with service, method and path, or with an id.")
        if isinstance(each.get("id"), str):
            found.append(each["id"])
            continue
        service = nouns.name(64)("access_rule.service", each.get("service"))
        path = nouns.text("access_rule.path", each.get("path"), access_paths.LONGEST)
        access_paths.check(path)
        if each.get("method") not in METHODS:
            raise errors.Invalid(f"The method of an access rule is one of {', '.join(METHODS)}.")
        found.append((service, each["method"], path))
    if len(found) > MOST_RULES:
        raise errors.Invalid(f"An application credential has {MOST_RULES} access rules at most.")
    return tuple(dict.fromkeys(found)) or None


def _role(token: Token, key: str, value: str) -> Named:
    for role in token.roles:
        if (role.id if key == "id" else role.name) == value:
            return role
    raise errors.Invalid(
        f"Invalid application credential: Could not find role assignment with role: {value}, user or group: "
        f"{token.user.id}, project, domain, or system: {token.project.id if token.project else None}."
    )


def _wished_rules(tx: sa.Connection, user_id: str, wished: tuple[str | _RuleKey, ...] | None) -> list[AccessRule]:
    """One that the user has already is used again."""
    own = tables.find_rules(tx, user_id=user_id)
    by_key = {(rule.service, rule.method, rule.path): rule for rule in own}
    found = []
    for each in wished or ():
        if isinstance(each, str):
            found.append(_rule(tx, user_id, each))
        else:
            found.append(by_key.get(each) or AccessRule(uuid.uuid4().hex, user_id, *each))
    return list({rule.id: rule for rule in found}.values())


def _within_parent(
    tx: sa.Connection, token: Token, made: Credential, rules: list[AccessRule]
) -> tuple[Credential, list[AccessRule]]:
    """Bounded by the credential by which the token was got, if any."""
    if token.delegation is None:
        return made, rules
    parent = _of_user(tx, token.user.id, token.delegation.id)
    bounds = tables.rules_of(tx, parent.id)
    if bounds:
        allowed = {rule.id for rule in bounds}
        if any(rule.id not in allowed for rule in rules):
            raise errors.Forbidden("The access rules must be among those of the credential in use.")
        rules = rules or bounds
    ends = [moment for moment in (made.expires_at, parent.expires_at) if moment is not None]
    return replace(made, parent_id=parent.id, expires_at=min(ends, default=None)), rules


def _of_user(tx: sa.Connection, user_id: str, id: str) -> Credential:
    found = tables.find(tx, id=id, user_id=user_id)
    if not found:
        raise errors.NotFound(f"Could not find application credential: {id}.")
    return found[0]


def _rule(tx: sa.Connection, user_id: str, id: str) -> AccessRule:
    found = tables.find_rules(tx, id=id, user_id=user_id)
    if not found:
        raise errors.NotFound(f"Could not find access rule: {id}.")
    return found[0]


def _shown(tx: sa.Connection, credential: Credential) -> Shown:
    named = entries.find(tx, roles.roles, {"id": credential.role_ids})
    return Shown(credential, named, tables.rules_of(tx, credential.id))


def _seconds(moment: datetime.datetime) -> float:
    return moment.replace(tzinfo=datetime.UTC).timestamp()
