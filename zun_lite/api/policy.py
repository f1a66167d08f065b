# SPDX-License-Identifier: Apache-2.0
"""Who may do what in the container API: one rule a verb; a rule that is not listed denies.

Another project's objects are not found at all (control looks within the caller's project), so the
rules here only say which rights a caller needs besides.
"""

from __future__ import annotations

from collections.abc import Callable

from zun_lite.domain import errors
from zun_lite.domain.caller import Caller


def _admin_or_owner(caller: Caller, project_id: str | None) -> bool:
    return caller.is_admin or (caller.project_id is not None and caller.project_id == project_id)


def _admin(caller: Caller, project_id: str | None) -> bool:
    return caller.is_admin


def _nobody(caller: Caller, project_id: str | None) -> bool:
    return False


RULES: dict[str, Callable[[Caller, str | None], bool]] = {
    "container:create": _admin_or_owner,
    "container:create:image_pull_policy": _admin,
    "container:create:privileged": _nobody,
    "container:create:requested_destination": _admin,
    "container:create:runtime": _admin,
    "container:get_all": _admin_or_owner,
    "container:get_all_all_projects": _admin,
    "container:get_one": _admin_or_owner,
    "container:get_one_all_projects": _admin,
    "container:get_one:host": _admin,
    "container:get_one:image_pull_policy": _admin,
    "container:get_one:privileged": _admin,
    "container:get_one:runtime": _admin,
    "container:delete": _admin_or_owner,
    "container:delete_all_projects": _admin,
    "container:delete_force": _admin,
    "container:start": _admin_or_owner,
    "container:stop": _admin_or_owner,
    "container:execute": _admin_or_owner,
    "container:logs": _admin_or_owner,
    "container:actions": _admin_or_owner,
    "container:action:events": _admin,
}


def allows(caller: Caller, rule: str, project_id: str | None = None) -> bool:
    """Whether the rule lets this caller act on something of project_id."""
    return RULES.get(rule, _nobody)(caller, project_id)


def enforce(caller: Caller, rule: str, project_id: str | None = None) -> None:
    """Forbidden unless the rule allows it."""
    if not allows(caller, rule, project_id):
        raise errors.Forbidden(f"The policy rule {rule} does not allow you this.", kind="PolicyNotAuthorized")
