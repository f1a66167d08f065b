# SPDX-License-Identifier: Apache-2.0
"""Identity from our own database: issues tokens, validates and revokes them, and looks names up.

A token is a sealed payload (payload.py); what it grants is read from the database at each
validation. An unknown user and a wrong password cannot be told apart, by answer or by time.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass, replace

import sqlalchemy as sa

from zun_lite.common.clock import Clock
from zun_lite.db import application_credentials as credentials
from zun_lite.db import identity as rows
from zun_lite.db import roles
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.identity import passwords, payload, rights
from zun_lite.identity.base import BELIEVED_SECONDS, AccessRule, Delegation, Named, Owned, Token
from zun_lite.identity.guesses import USUAL, Bounds, Guesses
from zun_lite.identity.keys import TokenKeys
from zun_lite.identity.payload import Payload
from zun_lite.identity.requests import AuthRequest, Password, Reference, Scope, Secret

# How long after its end a service may still learn whose a token was, to finish what it began.
EXPIRED_WINDOW_SECONDS = 48 * 3600
_KIND_OF_SCOPE = {payload.PROJECT: roles.PROJECT, payload.DOMAIN: roles.DOMAIN, payload.SYSTEM: roles.SYSTEM}


@dataclass(frozen=True)
class Issued:
    """A token as its user gets it, and what it says."""

    id: str
    token: Token


class EmbeddedIdentity:
    """Satisfies base.IdentityProvider. ttl_seconds: how long a new token is good."""

    def __init__(
        self,
        db: Database,
        keys: TokenKeys,
        clock: Clock,
        *,
        ttl_seconds: int,
        www_authenticate_uri: str,
        bounds: Bounds = USUAL,
    ) -> None:
        self.www_authenticate_uri = www_authenticate_uri
        self.believed_seconds = BELIEVED_SECONDS
        self.db = db
        self.clock = clock
        self._keys = keys
        self._guesses = Guesses(db, clock, bounds)
        self._ttl_seconds = ttl_seconds

    def authenticate(self, request: AuthRequest, address: str | None = None) -> Issued:
        """A new token. Unauthorized: wrong proof, or no role in the scope; it does not say which.

        address: where the request came from. TooMany: too many wrong ones came from there. Forbidden: a token
        that was given does not bear another one.
        """
        now_us = int(self.clock.now() * 1_000_000)
        proven = Payload("", 0, (), payload.UNSCOPED, "", now_us, now_us + self._ttl_seconds * 1_000_000, (_audit(),))
        if request.password is not None or request.secret is not None:
            self._guesses.check_address(address)
        scope = request.scope
        if request.token_id is not None:
            proven, scope = self._prove_by_token(request.token_id, proven, scope)
        if request.password is not None:
            proven = self._prove_by_password(request.password, proven, address)
        if request.secret is not None:
            proven = self._prove_by_secret(request.secret, proven, address)
        with self.db.read() as tx:
            wanted = proven if request.secret is not None else _with_scope(tx, proven, scope)
            token = _read(tx, wanted, self.clock.now())
        return Issued(payload.seal(self._keys.fernet(), wanted), token)

    def validate(self, token_id: str, *, allow_expired: bool = False) -> Token:
        """What the token says now. Unauthorized: forged, expired, revoked, or its user or scope is gone."""
        opened = self._open(token_id, EXPIRED_WINDOW_SECONDS if allow_expired else 0)
        with self.db.read() as tx:
            return _read(tx, opened, self.clock.now())

    def revoke(self, token_id: str) -> None:
        """End a token, and all that came from it, now. Unauthorized: it is not valid."""
        opened = self._open(token_id, 0)
        expires_at = datetime.datetime.fromtimestamp(opened.expires_us / 1e6, datetime.UTC).replace(tzinfo=None)
        self.db.transact(lambda tx: rows.revoke_token(tx, opened.audit_ids[0], expires_at))

    def change_password(self, user_id: str, original: str, password: str, address: str | None) -> None:
        """A new password for who knows the old one; every token of the user ends. Unauthorized: it is another."""
        self._guesses.check_address(address)
        with self.db.read() as tx:
            user = rows.user(tx, user_id)
        if not self._fits(user, original, f"user {user_id}", address) or user is None or not user.enabled:
            raise errors.Unauthorized("The user or the password is wrong.")
        if user.extra.get("options", {}).get("lock_password"):
            raise errors.Forbidden("The password of this user may be changed by an administrator only.")
        password_hash = passwords.hashed(password)
        self.db.transact(lambda tx: rows.set_password(tx, user_id, password_hash))

    def _open(self, token_id: str, window_seconds: int) -> Payload:
        opened = payload.open_sealed(self._keys.fernet(), token_id)
        if opened.expires_us / 1e6 + window_seconds <= self.clock.now():
            raise errors.Unauthorized("The token has expired.")
        return opened

    def _prove_by_token(self, token_id: str, proven: Payload, scope: Scope) -> tuple[Payload, Scope]:
        """A token begets another that ends when it does, and with any of those that it came from; and its scope."""
        before = self._open(token_id, 0)
        with self.db.read() as tx:
            _read(tx, before, self.clock.now())
        if before.credential_id:
            raise errors.Forbidden("A token of an application credential cannot be exchanged for another one.")
        if before.scope == payload.SYSTEM and scope.kind in ("project", "domain"):
            raise errors.Forbidden("A token of the system cannot be exchanged for one of a project or domain.")
        if len(before.audit_ids) >= payload.LONGEST_CHAIN:
            raise errors.Forbidden("This token was exchanged too often already; take a new one by password.")
        if before.scope == payload.SYSTEM and scope.kind == "default":
            # The user's default is a project.
            scope = Scope("unscoped")
        begot = replace(
            proven,
            user_id=before.user_id,
            generation=before.generation,
            methods=_merged(before.methods, "token"),
            expires_us=before.expires_us,
            audit_ids=(proven.audit_ids[0], *before.audit_ids),
        )
        return begot, scope

    def _prove_by_password(self, given: Password, proven: Payload, address: str | None) -> Payload:
        with self.db.read() as tx:
            user = _find_user(tx, given.user)
        subject = f"user {user.id if user else given.user}"
        fits = self._fits(user, given.password, subject, address)
        if user is None or not fits or not user.enabled or proven.user_id not in ("", user.id):
            raise errors.Unauthorized("The user or the password is wrong.")
        return replace(proven, user_id=user.id, generation=user.generation, methods=_merged(proven.methods, "password"))

    def _fits(self, user: rows.User | None, password: str, subject: str, address: str | None) -> bool:
        """Whether it is the user's password; takes as long for who is unknown or locked, and counts what is wrong."""
        stored = user.password_hash if user else None
        exempt = user is not None and user.extra.get("options", {}).get("ignore_lockout_failure_attempts")
        if not passwords.fits(password, stored) or (self._guesses.is_locked(subject) and not exempt):
            self._guesses.note(subject, address)
            return False
        self._guesses.forget(subject)
        if user and stored and passwords.is_outdated(stored):
            newer = passwords.hashed(password)
            self.db.transact(lambda tx: rows.rehash_password(tx, user.id, stored, newer))
        return True

    def _prove_by_secret(self, given: Secret, proven: Payload, address: str | None) -> Payload:
        with self.db.read() as tx:
            found = _find_credential(tx, given)
            user = rows.user(tx, found.user_id) if found else None
        subject = f"credential {found.id if found else given.id or (given.name, given.user)}"
        fits = passwords.fits(given.secret, found.secret_hash if found else None)
        if not fits or self._guesses.is_locked(subject):
            self._guesses.note(subject, address)
            raise errors.Unauthorized("The application credential or its secret is wrong.")
        assert found is not None
        if user is None or not user.enabled or _has_ended(found, self.clock.now()):
            raise errors.Unauthorized("The application credential has expired, or its user is disabled.")
        self._guesses.forget(subject)
        if passwords.is_outdated(found.secret_hash):
            newer = passwords.hashed(given.secret)
            self.db.transact(lambda tx: credentials.rehash(tx, found.id, newer))
        ends_us = proven.expires_us if found.expires_at is None else int(_seconds(found.expires_at) * 1_000_000)
        return replace(
            proven,
            user_id=user.id,
            generation=user.generation,
            methods=("application_credential",),
            scope=payload.PROJECT,
            scope_id=found.project_id,
            expires_us=min(proven.expires_us, ends_us),
            credential_id=found.id,
        )


def _find_user(tx: sa.Connection, reference: Reference) -> rows.User | None:
    if reference.id is not None:
        return rows.user(tx, reference.id)
    domain = rows.domain(tx, id=reference.domain_id, name=reference.domain_name)
    found = rows.find_users(tx, domain_id=domain.id if domain else "", name=reference.name)
    return found[0] if found else None


def _find_credential(tx: sa.Connection, given: Secret) -> credentials.Credential | None:
    if given.id is not None:
        found = credentials.find(tx, id=given.id)
    else:
        user = _find_user(tx, given.user) if given.user else None
        found = credentials.find(tx, user_id=user.id if user else "", name=given.name)
    return found[0] if found else None


def _with_scope(tx: sa.Connection, proven: Payload, scope: Scope) -> Payload:
    if scope.kind == "unscoped":
        return proven
    if scope.kind == "default":
        user = rows.user(tx, proven.user_id)
        project = rows.project(tx, user.default_project_id) if user and user.default_project_id else None
        if project and project.enabled and rights.held(tx, proven.user_id, roles.PROJECT, project.id):
            return replace(proven, scope=payload.PROJECT, scope_id=project.id)
        return proven
    if scope.kind == "system":
        return replace(proven, scope=payload.SYSTEM, scope_id=roles.ALL)
    target = scope.target
    if scope.kind == "domain":
        domain = rows.domain(tx, id=target.id, name=target.name)
        return replace(proven, scope=payload.DOMAIN, scope_id=domain.id if domain else "")
    if target.id is not None:
        return replace(proven, scope=payload.PROJECT, scope_id=target.id)
    domain = rows.domain(tx, id=target.domain_id, name=target.domain_name)
    found = rows.find_projects(tx, domain_id=domain.id if domain else "", name=target.name)
    return replace(proven, scope=payload.PROJECT, scope_id=found[0].id if found else "")


def _read(tx: sa.Connection, opened: Payload, now: float) -> Token:
    """What a payload grants now. Unauthorized: nothing."""
    user = rows.user(tx, opened.user_id)
    if user is None or not user.enabled or user.generation != opened.generation:
        raise errors.Unauthorized("The token's user is gone, disabled, or has a new password.")
    if rows.is_revoked(tx, opened.audit_ids):
        raise errors.Unauthorized("The token was revoked.")
    token = Token(
        user=Owned(user.id, user.name, Named(user.domain_id, user.domain_name)),
        methods=opened.methods,
        # Clients are told of the token and of the first of those that it came from.
        audit_ids=(opened.audit_ids[0], *opened.audit_ids[1:][-1:]),
        issued_at=opened.issued_us / 1e6,
        expires_at=opened.expires_us / 1e6,
    )
    if opened.scope == payload.UNSCOPED:
        return token
    counted = rights.with_implied(tx, rights.held(tx, user.id, _KIND_OF_SCOPE[opened.scope], opened.scope_id))
    if opened.credential_id:
        credential = _credential_of(tx, opened, now)
        allowed = {role.id for role in rights.with_implied(tx, credential.role_ids)}
        counted = [role for role in counted if role.id in allowed]
        token = replace(token, delegation=_delegation(tx, credential))
    if not counted:
        raise errors.Unauthorized("The user has no role there.")
    token = replace(token, roles=tuple(Named(role.id, role.name) for role in counted))
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


def _credential_of(tx: sa.Connection, opened: Payload, now: float) -> credentials.Credential:
    """Unauthorized: it is gone, or has expired."""
    found = credentials.find(tx, id=opened.credential_id)
    if not found or (opened.expires_us / 1e6 > now and _has_ended(found[0], now)):
        raise errors.Unauthorized("The token's application credential is gone.")
    return found[0]


def _delegation(tx: sa.Connection, credential: credentials.Credential) -> Delegation:
    rules = credentials.rules_of(tx, credential.id)
    bound = tuple(AccessRule(rule.id, rule.service, rule.method, rule.path) for rule in rules)
    return Delegation(credential.id, credential.name, not credential.unrestricted, bound or None)


def _has_ended(credential: credentials.Credential, now: float) -> bool:
    return credential.expires_at is not None and _seconds(credential.expires_at) <= now


def _seconds(moment: datetime.datetime) -> float:
    return moment.replace(tzinfo=datetime.UTC).timestamp()


def _merged(methods: tuple[str, ...], method: str) -> tuple[str, ...]:
    return tuple(name for name in payload.METHODS if name in (*methods, method))


def _audit() -> str:
    return payload.audit_text(secrets.token_bytes(payload.AUDIT_BYTES))
