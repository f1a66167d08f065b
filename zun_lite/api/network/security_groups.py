# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/security-groups and /network/v2.0/security-group-rules"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies, group_views, queries, tagging
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import security_group_rules, security_groups
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
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
    "project_id": Attribute("project_id", bodies.text),
    "tenant_id": Attribute("project_id", bodies.text),
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
    "project_id": Attribute("project_id", bodies.text),
    "tenant_id": Attribute("project_id", bodies.text),
}


def find(tx: sa.Connection, caller: Caller, ident: str) -> security_groups.SecurityGroup:
    group = security_groups.get(tx, as_id(ident) or "")
    if group is None or not (caller.is_admin or group.project_id == caller.project_id):
        raise errors.NotFound(f"Security group {ident} does not exist.", kind="SecurityGroupNotFound")
    return group


def see_to_default(db: Database, caller: Caller) -> None:
    """The caller's own default group is there as soon as somebody looks."""
    own = caller.project_id
    if own is None:
        return
    with db.read() as tx:
        is_there = security_groups.default_of(tx, own) is not None
    if not is_there:
        db.transact(lambda tx: groups.default_group(tx, own))


class SecurityGroups:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.network_quotas
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = queries.read_query(req, FILTERS, SORTABLE, self._max_limit)
        see_to_default(self._db, caller)
        where = [] if caller.is_admin else [security_groups.belonging_to(caller.project_id)]
        where += tagging.clauses(query, security_groups.security_groups.c.uuid)
        with self._db.read() as tx:
            found = security_groups.page(tx, where, query.columns, query.page)
            shown = [queries.project(view, query.fields) for view in _views(tx, found)]
        page = queries.links(req, self._public_url, "security_groups", query, [group.uuid for group in found])
        media.answer(resp, {"security_groups": shown, **page})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        items, bulk = bodies.read_items(req, "security_group", "security_groups")
        wanted = [(bodies.project_of(item, caller), bodies.read_new(item, ATTRIBUTES, caller)) for item in items]

        def work(tx: sa.Connection) -> list[dict[str, Any]]:
            made = []
            for project_id, values in wanted:
                self._quotas.hold(tx, project_id, "security_group")
                made.append(
                    groups.create_group(
                        tx, project_id, name=values.get("name", ""), description=values.get("description", "")
                    )
                )
            return _views(tx, made)

        shown = self._db.transact(work)
        media.answer(resp, {"security_groups": shown} if bulk else {"security_group": shown[0]}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            (shown,) = _views(tx, [find(tx, req.context.caller, ident)])
        media.answer(resp, {"security_group": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "security_group")
        changes = bodies.read_changes(item, ATTRIBUTES, caller)
        changes.pop("", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            return _views(tx, [groups.change_group(tx, find(tx, caller, ident), changes)])[0]

        media.answer(resp, {"security_group": self._db.transact(work)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller

        def work(tx: sa.Connection) -> None:
            groups.delete_group(tx, find(tx, caller, ident), default_too=caller.is_admin)

        self._db.transact(work)
        resp.status = falcon.HTTP_204


class SecurityGroupRules:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.network_quotas
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = queries.read_query(req, RULE_FILTERS, RULE_SORTABLE, self._max_limit)
        see_to_default(self._db, caller)
        where = [] if caller.is_admin else [security_group_rules.visible_to(caller.project_id)]
        with self._db.read() as tx:
            found = security_group_rules.page(tx, where, query.columns, query.page)
        shown = [queries.project(group_views.rule(rule), query.fields) for rule in found]
        page = queries.links(req, self._public_url, "security_group_rules", query, [rule.uuid for rule in found])
        media.answer(resp, {"security_group_rules": shown, **page})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        items, bulk = bodies.read_items(req, "security_group_rule", "security_group_rules")
        wanted = [(bodies.project_of(item, caller), bodies.read_new(item, RULE_ATTRIBUTES, caller)) for item in items]

        def work(tx: sa.Connection) -> list[dict[str, Any]]:
            return [group_views.rule(self._create(tx, caller, *one)) for one in wanted]

        shown = self._db.transact(work)
        media.answer(resp, {"security_group_rules": shown} if bulk else {"security_group_rule": shown[0]}, 201)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            shown = group_views.rule(_find_rule(tx, req.context.caller, ident))
        media.answer(resp, {"security_group_rule": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: groups.delete_rule(tx, _find_rule(tx, caller, ident)))
        resp.status = falcon.HTTP_204

    def _create(
        self, tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]
    ) -> security_group_rules.SecurityGroupRule:
        fields = {key: value for key, value in values.items() if key not in ("", "project_id")}
        group = find(tx, caller, fields.pop("group_id"))
        self._quotas.hold(tx, project_id, "security_group_rule")
        return groups.create_rule(tx, group, project_id, groups.WantedRule(**fields))


def _find_rule(tx: sa.Connection, caller: Caller, ident: str) -> security_group_rules.SecurityGroupRule:
    uuid = as_id(ident)
    visible = [] if caller.is_admin else [security_group_rules.visible_to(caller.project_id)]
    table = security_group_rules.security_group_rules.c
    found = security_group_rules.page(tx, [table.uuid == uuid, *visible]) if uuid else []
    if not found:
        raise errors.NotFound(f"Security group rule {ident} does not exist.", kind="SecurityGroupRuleNotFound")
    return found[0]


def _views(tx: sa.Connection, found: Sequence[security_groups.SecurityGroup]) -> list[dict[str, Any]]:
    uuids = [group.uuid for group in found]
    rules = security_group_rules.of_groups(tx, uuids)
    return tagging.tagged(tx, [group_views.security_group(group, rules.get(group.uuid, ())) for group in found])
