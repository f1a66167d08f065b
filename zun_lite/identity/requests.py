# SPDX-License-Identifier: Apache-2.0
"""What a client asks when it asks for a token: the body of POST /v3/auth/tokens, read and checked.

Only the form is checked here; who the names belong to is the directory's to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zun_lite.domain import errors

MAX_PASSWORD_CHARACTERS = 4096


@dataclass(frozen=True)
class Reference:
    """A user or project: by id, or by name in a domain that is given by id or by name."""

    id: str | None = None
    name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None


@dataclass(frozen=True)
class Password:
    user: Reference
    password: str


@dataclass(frozen=True)
class Secret:
    """An application credential: by its id, or by its name and its user."""

    id: str | None
    name: str | None
    user: Reference | None
    secret: str


@dataclass(frozen=True)
class Scope:
    """kind: default (whatever the user's default is), unscoped, project, domain or system."""

    kind: str
    target: Reference = Reference()


@dataclass(frozen=True)
class AuthRequest:
    """password, token_id, secret: what proves who asks; every one given must hold, for the same user."""

    password: Password | None
    token_id: str | None
    scope: Scope
    secret: Secret | None = None


def read(body: Any) -> AuthRequest:
    """Invalid: not in the form that Keystone's v3 API says. Unauthorized: a method not served here."""
    auth = _object(_object(body, "The body").get("auth"), "auth")
    identity = _object(auth.get("identity"), "auth.identity")
    methods = identity.get("methods")
    if not isinstance(methods, list) or not methods:
        raise errors.Invalid("auth.identity.methods must be a list that names at least one method.")
    password = token_id = secret = None
    for method in methods:
        if method == "password":
            password = _password(_object(identity.get("password"), "auth.identity.password"))
        elif method == "token":
            token_id = _text(_object(identity.get("token"), "auth.identity.token"), "id", "auth.identity.token")
        elif method == "application_credential":
            secret = _secret(_object(identity.get(method), f"auth.identity.{method}"))
        else:
            raise errors.Unauthorized("This method of authentication is not served here.")
    if secret is not None and (len(methods) > 1 or auth.get("scope") is not None):
        raise errors.Unauthorized("An application credential has a scope of its own, and proves enough by itself.")
    return AuthRequest(password, token_id, _scope(auth.get("scope")), secret)


def read_change(body: Any) -> tuple[str, str]:
    """(old password, new password) of a body that asks for a change. Invalid."""
    user = _object(_object(body, "The body").get("user"), "user")
    original, password = (_text(user, key, "user") for key in ("original_password", "password"))
    for name, value in (("original_password", original), ("password", password)):
        if not 0 < len(value) <= MAX_PASSWORD_CHARACTERS:
            raise errors.Invalid(f"user.{name} must have 1 to {MAX_PASSWORD_CHARACTERS} characters.")
    return original, password


def _password(body: dict[str, Any]) -> Password:
    where = "auth.identity.password.user"
    user = _object(body.get("user"), where)
    password = _text(user, "password", where)
    if len(password) > MAX_PASSWORD_CHARACTERS:
        raise errors.Invalid(f"{where}.password is longer than {MAX_PASSWORD_CHARACTERS} characters.")
    return Password(_reference(user, where), password)


def _secret(body: dict[str, Any]) -> Secret:
    where = "auth.identity.application_credential"
    secret = _text(body, "secret", where)
    if len(secret) > MAX_PASSWORD_CHARACTERS:
        raise errors.Invalid(f"{where}.secret is longer than {MAX_PASSWORD_CHARACTERS} characters.")
    if body.get("id") is not None:
        return Secret(_text(body, "id", where), None, None, secret)
    user = _reference(_object(body.get("user"), f"{where}.user"), f"{where}.user")
    return Secret(None, _text(body, "name", where), user, secret)


def _scope(body: Any) -> Scope:
    if body is None:
        return Scope("default")
    if body == "unscoped":
        return Scope("unscoped")
    scope = _object(body, "auth.scope")
    kinds = [kind for kind in ("project", "domain", "system", "unscoped") if kind in scope]
    if len(kinds) != 1:
        raise errors.Invalid("auth.scope must be one of: unscoped, project, domain, system.")
    kind = kinds[0]
    target = _object(scope[kind], f"auth.scope.{kind}")
    if kind == "project":
        return Scope(kind, _reference(target, "auth.scope.project"))
    if kind == "domain":
        return Scope(kind, _named(target, "auth.scope.domain"))
    if kind == "system" and target.get("all") is not True:
        raise errors.Invalid("auth.scope.system must be {'all': true}.")
    return Scope(kind)


def _reference(body: dict[str, Any], where: str) -> Reference:
    if body.get("id") is not None:
        return Reference(id=_text(body, "id", where))
    name = _text(body, "name", where)
    if body.get("domain") is None:
        raise errors.Invalid(f"{where} is given by name, so it needs the id or name of its domain.")
    domain = _named(_object(body["domain"], f"{where}.domain"), f"{where}.domain")
    return Reference(name=name, domain_id=domain.id, domain_name=domain.name)


def _named(body: dict[str, Any], where: str) -> Reference:
    if body.get("id") is not None:
        return Reference(id=_text(body, "id", where))
    return Reference(name=_text(body, "name", where))


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise errors.Invalid(f"{where} must be a JSON object.")
    return value


def _text(body: dict[str, Any], key: str, where: str) -> str:
    value = body.get(key)
    if not isinstance(value, str):
        raise errors.Invalid(f"{where}.{key} must be a string.")
    return value
