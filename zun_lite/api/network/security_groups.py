# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/security-groups and /network/v2.0/security-group-rules: each project's default group, to read."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.network import queries, views
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import security_groups
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
}
SORTABLE = {"id": "uuid", "name": "name", "project_id": "project_id", "tenant_id": "project_id"}
RULE_FILTERS = ("id", "security_group_id", "direction", "ethertype", "remote_group_id", "project_id", "tenant_id")


class SecurityGroups:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = queries.read_query(req, FILTERS, SORTABLE, self._max_limit)
        found = self._visible(req.context.caller, query)
        shown = [queries.project(views.security_group(group), query.fields) for group in found]
        page = queries.links(req, self._public_url, "security_groups", query, [group.uuid for group in found])
        media.answer(resp, {"security_groups": shown, **page})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        with self._db.read() as tx:
            group = security_groups.get(tx, as_id(ident) or "")
        if group is None or not (caller.is_admin or group.project_id == caller.project_id):
            raise errors.NotFound(f"Security group {ident} does not exist.", kind="SecurityGroupNotFound")
        shown = views.security_group(group)
        media.answer(resp, {"security_group": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_get_rules(self, req: falcon.Request, resp: falcon.Response) -> None:
        query = queries.read_query(req, {}, {}, self._max_limit)
        shown = [queries.project(rule, query.fields) for rule in self._rules(req.context.caller, query)]
        media.answer(resp, {"security_group_rules": shown})

    def on_get_rule(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        uuid = as_id(ident)
        found = [rule for rule in self._rules(req.context.caller, queries.Query({}, {})) if rule["id"] == uuid]
        if not found:
            raise errors.NotFound(f"Security group rule {ident} does not exist.", kind="SecurityGroupRuleNotFound")
        media.answer(resp, {"security_group_rule": found[0]})

    def _rules(self, caller: Caller, query: queries.Query) -> list[dict[str, Any]]:
        asked = {key: values for key, values in query.others.items() if key in RULE_FILTERS}
        groups = self._visible(caller, queries.Query({}, {}))
        rules = [rule for group in groups for rule in views.security_group_rules(group)]
        return [rule for rule in rules if all(rule[key] in values for key, values in asked.items())]

    def _visible(self, caller: Caller, query: queries.Query) -> list[security_groups.SecurityGroup]:
        """With the caller's own default group, which is there as soon as somebody looks."""
        own = caller.project_id
        with self._db.read() as tx:
            is_there = own is None or security_groups.has_default(tx, own)
        if own is not None and not is_there:
            self._db.transact(lambda tx: security_groups.default_group(tx, own))
        where = [] if caller.is_admin else [security_groups.belonging_to(own)]
        with self._db.read() as tx:
            return security_groups.page(tx, where, query.columns, query.page)
