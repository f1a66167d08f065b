# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/subnetpools"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api.network import bodies, kinds, queries, views
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import subnet_pools
from zun_lite.db.subnet_pools import SubnetPool as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import subnet_pools as rules

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "ip_version": Filter("ip_version", queries.number),
    "default_prefixlen": Filter("default_prefixlen", queries.number),
    "min_prefixlen": Filter("min_prefixlen", queries.number),
    "max_prefixlen": Filter("max_prefixlen", queries.number),
    "default_quota": Filter("default_quota", queries.number),
    "shared": Filter("shared", queries.boolean),
    "is_default": Filter("is_default", queries.boolean),
}
SORTABLE = {
    "id": "uuid",
    "name": "name",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "ip_version": "ip_version",
    "default_prefixlen": "default_prefixlen",
    "min_prefixlen": "min_prefixlen",
    "max_prefixlen": "max_prefixlen",
    "shared": "shared",
}
_LENGTH = bodies.integer(0, 128)
ATTRIBUTES = {
    "name": Attribute("name", bodies.text, required=True, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "prefixes": Attribute("prefixes", bodies.texts, required=True, change=True),
    "default_prefixlen": Attribute("default_prefixlen", _LENGTH, change=True),
    "min_prefixlen": Attribute("min_prefixlen", _LENGTH, change=True),
    "max_prefixlen": Attribute("max_prefixlen", _LENGTH, change=True),
    "default_quota": Attribute("default_quota", bodies.integer(0, 2**31 - 1), change=True),
    "shared": Attribute("shared", bodies.boolean, admin=True),
    "is_default": Attribute("is_default", bodies.boolean, change=True, admin=True),
    "address_scope_id": Attribute("", bodies.one_of(), change=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    return [views.subnet_pool(pool) for pool in found]


def _check_owner(caller: Caller, pool: Record) -> None:
    if not caller.is_admin and pool.project_id != caller.project_id:
        raise errors.Forbidden(f"Subnet pool {pool.uuid} belongs to another project.", kind="PolicyNotAuthorized")


KIND = Kind(
    singular="subnetpool",
    plural="subnetpools",
    quota="subnetpool",
    table=subnet_pools.subnet_pools,
    page=subnet_pools.page,
    visible_to=subnet_pools.visible_to,
    views=_views,
    missing="Subnet pool {} could not be found.",
    not_found="SubnetPoolNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
    own=_check_owner,
)


class SubnetPools(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, lambda item, caller: bodies.read_new(item, ATTRIBUTES, caller), _create)


class SubnetPool(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, pool: rules.delete_pool(tx, pool))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        (item,), _ = bodies.read_items(req, "subnetpool")
        changes = bodies.read_changes(item, ATTRIBUTES, req.context.caller)
        self.changed(req, resp, ident, lambda tx, pool: rules.change_pool(tx, pool, changes))


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    return rules.create_pool(tx, project_id, **values)
