# SPDX-License-Identifier: Apache-2.0
"""/v1/quotas/{project} and /v1/quota_classes/{name}: limits, shown to members, set by administrators.

Numbers come as integers or as their digits; -1 is no limit.
"""

from __future__ import annotations

import re
from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.container import parameters
from zun_lite.api.media import answer
from zun_lite.control import quotas
from zun_lite.control.means import Means
from zun_lite.db.quotas import RESOURCES
from zun_lite.domain import errors
from zun_lite.domain.resources import Limits

MOST = 10**15
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
_NO = frozenset(("", "0", "f", "false", "off", "n", "no"))


class Quotas:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        policy.enforce(req.context.caller, "quota:get", project_id)
        query = parameters.of_query(req)
        parameters.refuse_unknown(query, ("usages",))
        limits, (count, used) = quotas.show(self._means, project_id)
        shown = view(limits)
        if str(query.get("usages") or "").lower() not in _NO:
            in_use = {"containers": count, "cpu": _plain(used.cpus), "memory": used.memory_mib, "disk": used.disk_gib}
            answer(resp, {name: {"limit": shown[name], "in_use": in_use[name]} for name in shown})
            return
        answer(resp, shown)

    def on_get_defaults(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        policy.enforce(req.context.caller, "quota:get_default", project_id)
        parameters.refuse_unknown(parameters.of_query(req), ())
        answer(resp, view(quotas.defaults(self._means)))

    def on_put(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        policy.enforce(req.context.caller, "quota:update", project_id)
        given = _limits(req)
        _check_length("project", project_id, 64)
        answer(resp, view(quotas.change(self._means, project_id, given)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        policy.enforce(req.context.caller, "quota:delete", project_id)
        parameters.refuse_unknown(parameters.of_query(req), ())
        quotas.reset(self._means, project_id)
        answer(resp, None)


class QuotaClasses:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        policy.enforce(req.context.caller, "quota_class:get")
        parameters.refuse_unknown(parameters.of_query(req), ())
        answer(resp, view(quotas.show_class(self._means, name)))

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        policy.enforce(req.context.caller, "quota_class:update")
        given = _limits(req)
        _check_length("class", name, 255)
        answer(resp, view(quotas.change_class(self._means, name, given)))


def view(limits: Limits) -> dict[str, int | float]:
    return {
        "containers": limits.containers,
        "memory": limits.memory,
        "disk": limits.disk,
        "cpu": _plain(limits.cpu),
    }


def _limits(req: falcon.Request) -> dict[str, int]:
    given = parameters.of_both(req)
    parameters.refuse_unknown(given, RESOURCES)
    return {name: _limit(name, value) for name, value in given.items()}


def _limit(name: str, value: Any) -> int:
    digits = isinstance(value, str) and len(value) <= 17 and _NUMBER.fullmatch(value)
    if isinstance(value, bool) or not (isinstance(value, int) or digits) or not -1 <= int(value) <= MOST:
        raise errors.Invalid(
            f"{name} must be an integer of at least 0, or -1 for no limit, not '{value}'.",
            kind="SchemaValidationError",
        )
    return int(value)


def _check_length(what: str, name: str, most: int) -> None:
    if len(name) > most:
        raise errors.Invalid(f"No {what} has a name of more than {most} characters.", kind="InvalidValue")


def _plain(number: float) -> int | float:
    """The wire knows integers; what is none is told to the hundredth."""
    return int(number) if number == int(number) else round(number, 2)
