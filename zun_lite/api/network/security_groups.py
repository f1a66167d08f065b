# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/security-groups and /network/v2.0/security-group-rules"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api.network import bodies, group_views, kinds, queries
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import security_group_rules, security_groups
from zun_lite.db.engine import Database
from zun_lite.db.security_group_rules import SecurityGroupRule as RuleRecord
from zun_lite.db.security_groups import SecurityGroup as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import groups

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
}
SORTABLE = {"id": "uuid", "name": "name", "project_id": "project_id", "tenant_id": "project_id"}
RULE_FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "security_group_id": Filter("group_uuid", queries.identifier),
    "description": Filter("description", queries.text),
    "direction": Filter("direction", queries.text),
    "ethertype": Filter("ethertype", queries.text),
    "protocol": Filter("protocol", queries.nothing_as_null),
    "port_range_min": Filter("port_min", queries.number),
    "port_range_max": Filter("port_max", queries.number),
    "remote_ip_prefix": Filter("remote_prefix", queries.nothing_as_null),
    "remote_group_id": Filter("remote_group", queries.identifier),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
}
RULE_SORTABLE = {
    "id": "uuid",
    "security_group_id": "group_uuid",
    "direction": "direction",
    "ethertype": "ethertype",
    "project_id": "project_id",
    "tenant_id": "project_id",
}
ATTRIBUTES = {
    "name": Attribute("name", bodies.text, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "stateful": Attribute("", bodies.one_of(True), change=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}


def _protocol(field: str, value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    word = bodies.text(field, value).lower()
    return None if word in ("any", "") else word


def _ethertype(field: str, value: Any) -> str:
    for known in groups.ETHERTYPES:
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise errors.Invalid(
        f"Security group rule for ethertype '{value}' not supported. Allowed values are {list(groups.ETHERTYPES)}.",
        kind="SecurityGroupRuleInvalidEtherType",
    )


RULE_ATTRIBUTES = {
    "security_group_id": Attribute("group_id", bodies.identifier, required=True),
    "direction": Attribute("direction", bodies.one_of(*groups.DIRECTIONS), required=True),
    "ethertype": Attribute("ethertype", _ethertype),
    "protocol": Attribute("protocol", _protocol),
    "port_range_min": Attribute("port_min", bodies.integer(-1, 65536)),
    "port_range_max": Attribute("port_max", bodies.integer(-1, 65536)),
    "remote_ip_prefix": Attribute("remote_prefix", bodies.text),
    "remote_group_id": Attribute("remote_group", bodies.identifier),
    "remote_address_group_id": Attribute("", bodies.one_of()),
    "description": Attribute("description", bodies.text),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    uuids = [group.uuid for group in found]
    rules = security_group_rules.of_groups(tx, uuids)
    return [group_views.security_group(group, rules.get(group.uuid, ())) for group in found]


def _rule_views(tx: sa.Connection, found: Sequence[RuleRecord], caller: Caller) -> list[dict[str, Any]]:
    return [group_views.rule(rule) for rule in found]


KIND = Kind(
    singular="security_group",
    plural="security_groups",
    quota="security_group",
    table=security_groups.security_groups,
    page=security_groups.page,
    visible_to=security_groups.belonging_to,
    views=_views,
    missing="Security group {} does not exist.",
    not_found="SecurityGroupNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
)
RULE_KIND = Kind(
    singular="security_group_rule",
    plural="security_group_rules",
    quota="security_group_rule",
    table=security_group_rules.security_group_rules,
    page=security_group_rules.page,
    visible_to=security_group_rules.visible_to,
    views=_rule_views,
    missing="Security group rule {} does not exist.",
    not_found="SecurityGroupRuleNotFound",
    filters=RULE_FILTERS,
    sortable=RULE_SORTABLE,
    tagged=False,
)


def see_to_default(db: Database, caller: Caller) -> None:
    """The caller's own default group is there as soon as somebody looks."""
    own = caller.project_id
    if own is None:
        return
    with db.read() as tx:
        is_there = security_groups.default_of(tx, own) is not None
    if not is_there:
        db.transact(lambda tx: groups.default_group(tx, own))


class SecurityGroups(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        see_to_default(self._db, req.context.caller)
        super().on_get(req, resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, lambda item, caller: bodies.read_new(item, ATTRIBUTES, caller), _create)


class SecurityGroup(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, _remove)

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        (item,), _ = bodies.read_items(req, "security_group")
        changes = bodies.read_changes(item, ATTRIBUTES, req.context.caller)
        self.changed(req, resp, ident, lambda tx, group: groups.change_group(tx, group, changes))


class SecurityGroupRules(kinds.Collection[RuleRecord]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, RULE_KIND)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        see_to_default(self._db, req.context.caller)
        super().on_get(req, resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, lambda item, caller: bodies.read_new(item, RULE_ATTRIBUTES, caller), _create_rule)


class SecurityGroupRule(kinds.Member[RuleRecord]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, RULE_KIND, lambda tx, caller, rule: groups.delete_rule(tx, rule))


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    return groups.create_group(tx, project_id, name=values.get("name", ""), description=values.get("description", ""))


def _remove(tx: sa.Connection, caller: Caller, group: Record) -> None:
    groups.delete_group(tx, group, default_too=caller.is_admin)


def _create_rule(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> RuleRecord:
    fields = dict(values)
    group = KIND.find(tx, caller, fields.pop("group_id"))
    return groups.create_rule(tx, group, project_id, groups.WantedRule(**fields))
