# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/qos: policies, their limits of bandwidth, and which types of rules there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies, kinds, queries, views
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import qos
from zun_lite.db.qos import Policy as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import qos as rules

DRIVER = "zun-lite-netd"
FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "shared": Filter("shared", queries.boolean),
    "is_default": Filter("is_default", queries.boolean),
}
SORTABLE = {"id": "uuid", "name": "name", "project_id": "project_id", "tenant_id": "project_id", "shared": "shared"}
LIMIT_FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "direction": Filter("direction", queries.text),
    "max_kbps": Filter("max_kbps", queries.number),
    "max_burst_kbps": Filter("max_burst_kbps", queries.number),
}
LIMIT_SORTABLE = {key: known.column for key, known in LIMIT_FILTERS.items()}
ATTRIBUTES = {
    "name": Attribute("name", bodies.text, required=True, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "shared": Attribute("shared", bodies.boolean, change=True),
    "is_default": Attribute("is_default", bodies.boolean, change=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}
_MAX_KBPS = bodies.integer(1, rules.MOST_KBPS)
_MAX_BURST = bodies.integer(0, rules.MOST_BURST_KBIT)
LIMIT_ATTRIBUTES = {
    "max_kbps": Attribute("max_kbps", _MAX_KBPS, required=True, change=True),
    "max_burst_kbps": Attribute("max_burst_kbps", _MAX_BURST, change=True),
    "direction": Attribute("direction", bodies.one_of(*rules.DIRECTIONS), change=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    limits = qos.limits_of(tx, [policy.uuid for policy in found])
    return [views.policy(policy, limits.get(policy.uuid, ())) for policy in found]


def _check_admin(caller: Caller, policy: Record) -> None:
    _need_admin(caller)


def _need_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise errors.Forbidden(
            "Only an administrator may make and change QoS policies and their rules.", kind="PolicyNotAuthorized"
        )


KIND = Kind(
    singular="policy",
    plural="policies",
    quota=None,
    table=qos.qos_policies,
    page=qos.page,
    visible_to=qos.visible_to,
    views=_views,
    missing="QoS policy {} could not be found.",
    not_found="QosPolicyNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
    own=_check_admin,
)


class Policies(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        _need_admin(req.context.caller)
        self.answer_made(req, resp, lambda item, caller: bodies.read_new(item, ATTRIBUTES, caller), _create)


class Policy(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, policy: rules.delete_policy(tx, policy))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        (item,), _ = bodies.read_items(req, "policy")
        changes = bodies.read_changes(item, ATTRIBUTES, req.context.caller)
        self.changed(req, resp, ident, lambda tx, policy: rules.change_policy(tx, policy, changes))


class Limits:
    """The limits of one policy."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        query = queries.read_query(req, LIMIT_FILTERS, LIMIT_SORTABLE, self._max_limit)
        with self._db.read() as tx:
            policy = KIND.find(tx, req.context.caller, ident)
            found = qos.page_of_limits(tx, [qos.qos_limits.c.policy_uuid == policy.uuid], query.columns, query.page)
        links = queries.links(req, self._public_url, "bandwidth_limit_rules", query, [limit.uuid for limit in found])
        shown = [queries.project(views.limit(limit), query.fields) for limit in found]
        media.answer(resp, {"bandwidth_limit_rules": shown, **links})

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "bandwidth_limit_rule")
        values = bodies.read_new(item, LIMIT_ATTRIBUTES, caller)
        made = self._db.transact(lambda tx: rules.add_limit(tx, KIND.find_own(tx, caller, ident), **values))
        media.answer(resp, {"bandwidth_limit_rule": views.limit(made)}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, rule: str) -> None:
        with self._db.read() as tx:
            found = rules.limit(tx, KIND.find(tx, req.context.caller, ident), as_id(rule) or rule)
        media.answer(resp, {"bandwidth_limit_rule": views.limit(found)})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, rule: str) -> None:
        caller, uuid = req.context.caller, as_id(rule) or rule
        (item,), _ = bodies.read_items(req, "bandwidth_limit_rule")
        changes = bodies.read_changes(item, LIMIT_ATTRIBUTES, caller)
        changed = self._db.transact(lambda tx: rules.change_limit(tx, KIND.find_own(tx, caller, ident), uuid, changes))
        media.answer(resp, {"bandwidth_limit_rule": views.limit(changed)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, rule: str) -> None:
        caller, uuid = req.context.caller, as_id(rule) or rule
        self._db.transact(lambda tx: rules.remove_limit(tx, KIND.find_own(tx, caller, ident), uuid))
        resp.status = falcon.HTTP_204


class RuleTypes:
    """There is one."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"rule_types": [{"type": rules.BANDWIDTH_LIMIT}]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        if name != rules.BANDWIDTH_LIMIT:
            raise errors.NotFound(f"Rule type {name} could not be found.", kind="QosRuleTypeNotFound")
        _need_admin(req.context.caller)
        whole = {"max_kbps": rules.MOST_KBPS, "max_burst_kbps": rules.MOST_BURST_KBIT}
        supported: list[dict[str, Any]] = [
            {"parameter_name": field, "parameter_type": "range", "parameter_values": {"start": 0, "end": most}}
            for field, most in whole.items()
        ]
        supported.append(
            {
                "parameter_name": "direction",
                "parameter_type": "choices",
                "parameter_values": list(rules.DIRECTIONS),
            }
        )
        drivers = [{"name": DRIVER, "supported_parameters": supported}]
        media.answer(resp, {"rule_type": {"type": name, "drivers": drivers}})


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    return rules.create_policy(tx, project_id, **values)
