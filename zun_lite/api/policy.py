# SPDX-License-Identifier: Apache-2.0
"""Who may do what in the container and identity APIs: one rule a verb; one that is not listed denies.

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


def _admin_or_self(caller: Caller, user_id: str | None) -> bool:
    return caller.is_admin or caller.user_id == user_id


def _admin_service_or_self(caller: Caller, user_id: str | None) -> bool:
    return "service" in caller.roles or _admin_or_self(caller, user_id)


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
    "identity:validate_token": _admin_service_or_self,
    "identity:revoke_token": _admin_or_self,
    "identity:list_projects": _admin,
    "identity:get_project": _admin_or_owner,
    "identity:list_users": _admin,
    "identity:get_user": _admin_or_self,
    "identity:list_user_projects": _admin_or_self,
}


def allows(caller: Caller, rule: str, owner_id: str | None = None) -> bool:
    """Whether the rule lets this caller act on what belongs to owner_id: a project, or a user."""
    return RULES.get(rule, _nobody)(caller, owner_id)


def enforce(caller: Caller, rule: str, owner_id: str | None = None) -> None:
    """Forbidden unless the rule allows it."""
    if not allows(caller, rule, owner_id):
        raise errors.Forbidden(f"The policy rule {rule} does not allow you this.", kind="PolicyNotAuthorized")
