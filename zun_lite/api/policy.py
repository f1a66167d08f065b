# SPDX-License-Identifier: Apache-2.0
"""Who may do what in the container and identity APIs: one rule a verb; one that is not listed denies.

Another project's objects are not found at all (control looks within the caller's project), so the
rules here only say which rights a caller needs besides. Defaults stand in policy_rules.py; a file of
the operator's overrides them and is read again within seconds of a change.

A decision depends on the rules and on who asks about whose object, nothing else, so it is remembered:
a rule costs a look into a dict once it was asked.
"""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg
from oslo_policy.policy import DocumentedRuleDefault, Enforcer, InvalidDefinitionError, Rules

from zun_lite.api.policy_rules import list_rules
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

LOG = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 5.0
MOST_DECISIONS = 20_000
UNKNOWN = "deny_everybody"
PUBLIC = ("/v1/openapi.json",)
_METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"\{[^}]*\}")


class Policy:
    """The rules in force. One a process; threads share it."""

    def __init__(self, path: str | None = None, clock: Clock | None = None) -> None:
        """path: the operator's file, which need not exist. Invalid: it cannot be understood."""
        self._path = path
        self._clock = clock or Clock()
        self._look_at = 0.0
        self._stamp = _stamp_of(path)
        self._enforcer = _enforcer(path if self._stamp else None)
        self._decisions: dict[Any, bool] = {}

    def allows(
        self, caller: Caller, rule: str, owner_id: str | None, owner_user_id: str | None = None, **target: str | None
    ) -> bool:
        """Whether the rule lets this caller act on what belongs to a project (or user) owner_id.

        target: what else a rule may ask of the object: domain_id, role_name.
        """
        if self._clock.monotonic() >= self._look_at:
            self._look()
        more = tuple(sorted(target.items()))
        scope = (caller.project_id, caller.domain_id, caller.project_domain_id, caller.system)
        question = (rule, owner_id, owner_user_id, more, caller.user_id, caller.roles, scope)
        known = self._decisions.get(question)
        return self._decide(question) if known is None else known

    def is_admin(self, caller: Caller) -> bool:
        return self.allows(caller, "context_is_admin", None)

    def _decide(self, question: Any) -> bool:
        rule, owner_id, owner_user_id, more, user_id, roles, scope = question
        project_id, domain_id, project_domain_id, system = scope
        decisions = self._decisions
        # What is not there must be missing rather than None: None would equal None.
        target = _without_none({"project_id": owner_id, "user_id": owner_user_id or owner_id, **dict(more)})
        who = {"user_id": user_id, "project_id": project_id, "roles": list(roles)}
        creds = _without_none({**who, "domain_id": domain_id, "project_domain_id": project_domain_id})
        if system:
            creds["system_scope"] = "all"
        creds["is_admin"] = bool(self._enforcer.enforce("context_is_admin", target, dict(creds)))
        decision = bool(self._enforcer.enforce(rule, target, creds))
        if len(decisions) >= MOST_DECISIONS:
            decisions.clear()
        decisions[question] = decision
        return decision

    def _look(self) -> None:
        """Read the file again if it was changed; one that cannot be understood changes nothing."""
        self._look_at = self._clock.monotonic() + LOOK_EVERY_SECONDS
        stamp = _stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            # In this order: a decision by the old rules must not be kept among the new ones.
            self._enforcer = _enforcer(self._path if stamp else None)
            self._decisions = {}
            LOG.info("the policy is read anew from %s", self._path)
        except errors.Invalid as error:
            LOG.error("%s The rules stay as they were.", error.message)


def allows(
    caller: Caller,
    rule: str,
    owner_id: str | None = None,
    owner_user_id: str | None = None,
    **target: str | None,
) -> bool:
    """Whether the rule lets this caller act on what belongs to owner_id: a project, or a user.

    owner_user_id: who made it, for rules of an operator's own that ask for that. target: as Policy.allows.
    """
    judge = caller.judge or _defaults()
    return judge.allows(caller, rule, owner_id, owner_user_id, **target)


def enforce(
    caller: Caller,
    rule: str,
    owner_id: str | None = None,
    owner_user_id: str | None = None,
    **target: str | None,
) -> None:
    """Forbidden unless the rule allows it."""
    if not allows(caller, rule, owner_id, owner_user_id, **target):
        sentence = f"The policy rule {rule} does not allow you this."
        if rule.startswith("identity:"):
            # What Keystone says, word for word: some clients read it.
            sentence = f"You are not authorized to perform the requested action: {rule}."
        raise errors.Forbidden(sentence, kind="PolicyNotAuthorized")


def check_routes(table: Iterable[tuple[str, object, str | None]]) -> None:
    """Failed unless each method of each route of the container and identity APIs has a rule that names it."""
    ruled = {
        (operation["method"], _PARAMETER.sub("{}", operation["path"]))
        for rule in list_rules()
        if isinstance(rule, DocumentedRuleDefault)
        for operation in rule.operations
    }
    for path, resource, suffix in table:
        if path in PUBLIC:
            continue
        for method in _METHODS if path.startswith(("/v1/", "/identity/v3/")) else ():
            responder = f"on_{method}_{suffix}" if suffix else f"on_{method}"
            if hasattr(resource, responder) and (method.upper(), _PARAMETER.sub("{}", path)) not in ruled:
                raise errors.Failed(
                    f"The route {method.upper()} {path} has no policy rule; say in api/policy_rules.py who may use it."
                )


@functools.cache
def _defaults() -> Policy:
    """The rules without a file, for callers that were made without an API."""
    return Policy()


def _enforcer(path: str | None) -> Enforcer:
    """The built-in rules, and over them those of a file."""
    made = Enforcer(cfg.ConfigOpts(), default_rule=UNKNOWN, use_conf=False)
    rules = {rule.name: rule.check for rule in list_rules()}
    if path is not None:
        own = _read(path)
        if not_asked := sorted(set(own) - set(rules)):
            LOG.warning("%s has rules that nothing here asks for: %s", path, ", ".join(not_asked))
        rules |= own
    made.set_rules(rules, overwrite=True, use_conf=False)
    try:
        made.check_rules(raise_on_violation=True)
    except InvalidDefinitionError as error:
        raise errors.Invalid(f"The policy file {path} has rules that refer to none or in a circle: {error}.") from error
    return made


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            return dict(Rules.load(file.read()))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise errors.Invalid(
            f"The policy file {path} cannot be read: {error}. It must be YAML, a line a rule, like container:start: "
            "role:member with both sides in quotes."
        ) from error


def _stamp_of(path: str | None) -> tuple[int, int] | None:
    try:
        found = os.stat(path) if path else None
    except FileNotFoundError:
        found = None
    return (found.st_mtime_ns, found.st_size) if found else None


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
