# SPDX-License-Identifier: Apache-2.0
"""Who asks: what identity found out about one request. Made once, at the edge; never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Judge(Protocol):
    """Whoever knows the rules in force."""

    def allows(
        self, caller: Caller, rule: str, owner_id: str | None, owner_user_id: str | None = None, **target: str | None
    ) -> bool:
        """Whether the rule lets this caller act on what belongs to the owner, or is in that domain."""
        ...


@dataclass(frozen=True)
class Caller:
    """The user behind one request, with the request's ids.

    project_id is None for an unscoped token. roles are names, already expanded through implied roles.
    request_id: req-UUID, ours. global_request_id: req-UUID, the client's, or None; global_id: what others are told.
    domain_id: the domain that the token is for, or None; project_domain_id: the one that its project is in.
    token: what the request came with, for asking other services in the user's name.
    judge: the rules that the request is held against. admin: what these say of the caller as such; None is
    by the role of that name.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str]
    request_id: str
    user_name: str = ""
    project_name: str = ""
    global_request_id: str | None = None
    system: bool = False
    domain_id: str | None = None
    project_domain_id: str | None = None
    judge: Judge | None = field(default=None, compare=False, repr=False)
    admin: bool | None = None
    token: str = field(default="", compare=False, repr=False)

    @property
    def global_id(self) -> str:
        """The id by which other services are to know the request."""
        return self.global_request_id or self.request_id

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles if self.admin is None else self.admin

    def may(self, rule: str, owner_id: str | None) -> bool:
        """Whether the rule allows it, for who decides below the edge; where no rules are known, by is_admin."""
        return self.is_admin if self.judge is None else self.judge.allows(self, rule, owner_id)
