# SPDX-License-Identifier: Apache-2.0
"""What the API needs of whoever knows users: embedded, or Keystone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

# Which role brings which other one along at first, as in Keystone's own bootstrap.
IMPLIED_ROLES = {"admin": "manager", "manager": "member", "member": "reader"}


# How long what a token said may be believed without another look, and so how soon a revocation counts everywhere.
BELIEVED_SECONDS = 5.0


@dataclass(frozen=True)
class Named:
    """A domain or a role: an id and a name."""

    id: str
    name: str


@dataclass(frozen=True)
class Owned:
    """A user or a project: an id and a name within a domain."""

    id: str
    name: str
    domain: Named


@dataclass(frozen=True)
class AccessRule:
    """A request that may be made: the type of a service, a method, a path with *, ** and {name} in it."""

    id: str
    service: str
    method: str
    path: str


@dataclass(frozen=True)
class Delegation:
    """The application credential by which a token was got. rules: the only requests that it allows; None is all.

    restricted: it must not be used to make or delete application credentials.
    """

    id: str
    name: str
    restricted: bool
    rules: tuple[AccessRule, ...] | None = None


@dataclass(frozen=True)
class Token:
    """What a valid token says. At most one of project, domain and system is its scope.

    roles include the implied ones. audit_ids: its own, then the first of the chain it came from.
    issued_at, expires_at: seconds since 1970.
    """

    user: Owned
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: float
    expires_at: float
    project: Owned | None = None
    domain: Named | None = None
    system: bool = False
    roles: tuple[Named, ...] = ()
    delegation: Delegation | None = None
    role_names: frozenset[str] = field(init=False, default=frozenset())

    def __post_init__(self) -> None:
        object.__setattr__(self, "role_names", frozenset(role.name for role in self.roles))

    @property
    def is_scoped(self) -> bool:
        return self.project is not None or self.domain is not None or self.system


class IdentityProvider(Protocol):
    """Validates tokens. www_authenticate_uri: where a client gets one.

    believed_seconds: how long what it says may be believed without asking it again.
    """

    www_authenticate_uri: str
    believed_seconds: float

    def validate(self, token_id: str, *, allow_expired: bool = False) -> Token:
        """What the token says. Unauthorized: forged, expired, revoked, or its user or scope is gone.

        allow_expired: for a service that finishes what the user began; one that has expired of late is good then.
        """
        ...
