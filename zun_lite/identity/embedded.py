# SPDX-License-Identifier: Apache-2.0
"""Identity from our own database: issues tokens, validates and revokes them, and looks names up.

A token is a sealed payload (payload.py); what it grants is read from the database at each
validation. An unknown user and a wrong password cannot be told apart, by answer or by time.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from zun_lite.common.clock import Clock
from zun_lite.db import identity as rows
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.identity import passwords, payload
from zun_lite.identity.base import Named, Owned, Token, with_implied
from zun_lite.identity.keys import TokenKeys
from zun_lite.identity.payload import Payload
from zun_lite.identity.requests import AuthRequest, Password, Reference, Scope

# How long after its end a service may still learn whose a token was, to finish what it began.
EXPIRED_WINDOW_SECONDS = 48 * 3600
_KIND_OF_SCOPE = {payload.PROJECT: rows.PROJECT, payload.DOMAIN: rows.DOMAIN, payload.SYSTEM: rows.SYSTEM}


@dataclass(frozen=True)
class Issued:
    """A token as its user gets it, and what it says."""

    id: str
    token: Token


class EmbeddedIdentity:
    """Satisfies base.IdentityProvider. ttl_seconds: how long a new token is good."""

    def __init__(
        self, db: Database, keys: TokenKeys, clock: Clock, *, ttl_seconds: int, www_authenticate_uri: str
    ) -> None:
        self.www_authenticate_uri = www_authenticate_uri
        self._db = db
        self._keys = keys
        self._clock = clock
        self._ttl_seconds = ttl_seconds

    def authenticate(self, request: AuthRequest) -> Issued:
        """A new token. Unauthorized: wrong proof, or no role in the scope; it does not say which."""
        now_us = int(self._clock.now() * 1_000_000)
        proven = Payload("", 0, (), payload.UNSCOPED, "", now_us, now_us + self._ttl_seconds * 1_000_000, (_audit(),))
        if request.token_id is not None:
            proven = self._prove_by_token(request.token_id, proven)
        if request.password is not None:
            proven = self._prove_by_password(request.password, proven)
        with self._db.read() as tx:
            wanted = _with_scope(tx, proven, request.scope)
            token = _read(tx, wanted)
        return Issued(payload.seal(self._keys.fernet(), wanted), token)

    def validate(self, token_id: str, *, allow_expired: bool = False) -> Token:
        """What the token says now. Unauthorized: forged, expired, revoked, or its user or scope is gone."""
        opened = self._open(token_id, EXPIRED_WINDOW_SECONDS if allow_expired else 0)
        with self._db.read() as tx:
            return _read(tx, opened)

    def revoke(self, token_id: str) -> None:
        """End a token now. Unauthorized: it is not valid."""
        opened = self._open(token_id, 0)
        expires_at = datetime.datetime.fromtimestamp(opened.expires_us / 1e6, datetime.UTC).replace(tzinfo=None)
        self._db.transact(lambda tx: rows.revoke_token(tx, opened.audit_ids[0], expires_at))

    def projects(self, **equal: Any) -> list[rows.Project]:
        """Projects whose fields equal these: id, name, domain_id, enabled."""
        with self._db.read() as tx:
            return rows.find_projects(tx, **equal)

    def projects_of(self, user_id: str) -> list[rows.Project]:
        with self._db.read() as tx:
            return rows.projects_of(tx, user_id)

    def domains_of(self, user_id: str) -> list[rows.Domain]:
        with self._db.read() as tx:
            return rows.domains_of(tx, user_id)

    def has_system_role(self, user_id: str) -> bool:
        with self._db.read() as tx:
            return bool(rows.roles_held(tx, user_id, rows.SYSTEM, rows.ALL))

    def users(self, **equal: Any) -> list[rows.User]:
        """Users whose fields equal these: id, name, domain_id, enabled."""
        with self._db.read() as tx:
            return rows.find_users(tx, **equal)

    def _open(self, token_id: str, window_seconds: int) -> Payload:
        opened = payload.open_sealed(self._keys.fernet(), token_id)
        if opened.expires_us / 1e6 + window_seconds <= self._clock.now():
            raise errors.Unauthorized("The token has expired.")
        return opened

    def _prove_by_token(self, token_id: str, proven: Payload) -> Payload:
        """A token begets another that ends when it does, and whose chain goes back to the first."""
        before = self._open(token_id, 0)
        with self._db.read() as tx:
            _read(tx, before)
        return replace(
            proven,
            user_id=before.user_id,
            generation=before.generation,
            methods=_merged(before.methods, "token"),
            expires_us=before.expires_us,
            audit_ids=(proven.audit_ids[0], before.audit_ids[-1]),
        )

    def _prove_by_password(self, given: Password, proven: Payload) -> Payload:
        with self._db.read() as tx:
            user = _find_user(tx, given.user)
        fits = passwords.fits(given.password, user.password_hash if user else None)
        if user is None or not fits or not user.enabled or proven.user_id not in ("", user.id):
            raise errors.Unauthorized("The user or the password is wrong.")
        return replace(proven, user_id=user.id, generation=user.generation, methods=_merged(proven.methods, "password"))


def _find_user(tx: sa.Connection, reference: Reference) -> rows.User | None:
    if reference.id is not None:
        return rows.user(tx, reference.id)
    domain = rows.domain(tx, id=reference.domain_id, name=reference.domain_name)
    found = rows.find_users(tx, domain_id=domain.id if domain else "", name=reference.name)
    return found[0] if found else None


def _with_scope(tx: sa.Connection, proven: Payload, scope: Scope) -> Payload:
    if scope.kind == "unscoped":
        return proven
    if scope.kind == "default":
        user = rows.user(tx, proven.user_id)
        project = rows.project(tx, user.default_project_id) if user and user.default_project_id else None
        if project and project.enabled and rows.roles_held(tx, proven.user_id, rows.PROJECT, project.id):
            return replace(proven, scope=payload.PROJECT, scope_id=project.id)
        return proven
    if scope.kind == "system":
        return replace(proven, scope=payload.SYSTEM, scope_id=rows.ALL)
    target = scope.target
    if scope.kind == "domain":
        domain = rows.domain(tx, id=target.id, name=target.name)
        return replace(proven, scope=payload.DOMAIN, scope_id=domain.id if domain else "")
    if target.id is not None:
        return replace(proven, scope=payload.PROJECT, scope_id=target.id)
    domain = rows.domain(tx, id=target.domain_id, name=target.domain_name)
    found = rows.find_projects(tx, domain_id=domain.id if domain else "", name=target.name)
    return replace(proven, scope=payload.PROJECT, scope_id=found[0].id if found else "")


def _read(tx: sa.Connection, opened: Payload) -> Token:
    """What a payload grants now. Unauthorized: nothing."""
    user = rows.user(tx, opened.user_id)
    if user is None or not user.enabled or user.generation != opened.generation:
        raise errors.Unauthorized("The token's user is gone, disabled, or has a new password.")
    if rows.is_revoked(tx, opened.audit_ids[0]):
        raise errors.Unauthorized("The token was revoked.")
    token = Token(
        user=Owned(user.id, user.name, Named(user.domain_id, user.domain_name)),
        methods=opened.methods,
        audit_ids=opened.audit_ids,
        issued_at=opened.issued_us / 1e6,
        expires_at=opened.expires_us / 1e6,
    )
    if opened.scope == payload.UNSCOPED:
        return token
    held = rows.roles_held(tx, user.id, _KIND_OF_SCOPE[opened.scope], opened.scope_id)
    if not held:
        raise errors.Unauthorized("The user has no role there.")
    named = rows.roles_named(tx, with_implied({role.name for role in held}))
    token = replace(token, roles=tuple(Named(role.id, role.name) for role in named))
    if opened.scope == payload.SYSTEM:
        return replace(token, system=True)
    if opened.scope == payload.DOMAIN:
        domain = rows.domain(tx, id=opened.scope_id)
        if domain is None or not domain.enabled:
            raise errors.Unauthorized("The token's domain is gone or disabled.")
        return replace(token, domain=Named(domain.id, domain.name))
    project = rows.project(tx, opened.scope_id)
    if project is None or not project.enabled:
        raise errors.Unauthorized("The token's project is gone or disabled.")
    return replace(token, project=Owned(project.id, project.name, Named(project.domain_id, project.domain_name)))


def _merged(methods: tuple[str, ...], method: str) -> tuple[str, ...]:
    return tuple(name for name in payload.METHODS if name in (*methods, method))


def _audit() -> str:
    return payload.audit_text(secrets.token_bytes(16))
