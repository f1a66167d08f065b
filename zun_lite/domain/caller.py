# SPDX-License-Identifier: Apache-2.0
"""Who asks: what identity found out about one request. Made once, at the edge; never stored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """The user behind one request, with the request's ids.

    project_id is None for an unscoped token. roles are names, already expanded through implied roles.
    request_id: req-UUID, ours. global_request_id: req-UUID, the client's, or None.
    """

    user_id: str
    project_id: str | None
    roles: frozenset[str]
    request_id: str
    user_name: str = ""
    project_name: str = ""
    global_request_id: str | None = None
    system: bool = False

    @property
    def is_admin(self) -> bool:
        return "admin" in self.roles
