# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/subnets"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies, queries, tagging, views
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import subnets
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import cidr, topology

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "network_id": Filter("network_uuid", queries.identifier),
    "ip_version": Filter("ip_version", queries.number),
    "cidr": Filter("cidr", queries.text),
    "gateway_ip": Filter("gateway_ip", queries.nothing_as_null),
    "enable_dhcp": Filter("enable_dhcp", queries.boolean),
    "shared": Filter("shared", queries.boolean),
}
SORTABLE = {
    "id": "uuid",
    "name": "name",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "network_id": "network_uuid",
    "ip_version": "ip_version",
    "cidr": "cidr",
    "enable_dhcp": "enable_dhcp",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
ATTRIBUTES = {
    "network_id": Attribute("network_id", bodies.identifier, required=True),
    "cidr": Attribute("cidr", bodies.text),
    "ip_version": Attribute("ip_version", bodies.integer(4, 6)),
    "name": Attribute("name", bodies.text, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "gateway_ip": Attribute("gateway_ip", bodies.gateway, change=True, null=True),
    "enable_dhcp": Attribute("enable_dhcp", bodies.boolean, change=True),
    "allocation_pools": Attribute("pools", bodies.pools),
    "dns_nameservers": Attribute("dns", bodies.addresses, change=True),
    "host_routes": Attribute("routes", bodies.routes, change=True),
    "ipv6_address_mode": Attribute("address_mode", bodies.one_of(*topology.IPV6_MODES)),
    "ipv6_ra_mode": Attribute("ra_mode", bodies.one_of(*topology.IPV6_MODES)),
    "project_id": Attribute("project_id", bodies.text),
    "tenant_id": Attribute("project_id", bodies.text),
    "subnetpool_id": Attribute("", bodies.one_of()),
    "use_default_subnetpool": Attribute("", bodies.one_of(False)),
    "prefixlen": Attribute("", bodies.one_of()),
    "service_types": Attribute("", bodies.one_of([]), change=True),
    "segment_id": Attribute("", bodies.one_of(), change=True),
    "dns_publish_fixed_ip": Attribute("", bodies.one_of(False), change=True),
}


def find(tx: sa.Connection, caller: Caller, ident: str, *, to_change: bool = False) -> subnets.Subnet:
    """NotFound for what the caller may not see; Forbidden for what it may only see."""
    uuid = as_id(ident)
    visible = [] if caller.is_admin else [subnets.visible_to(caller.project_id)]
    found = subnets.page(tx, [subnets.subnets.c.uuid == uuid, *visible]) if uuid else []
    if not found:
        raise errors.NotFound(f"Subnet {ident} could not be found.", kind="SubnetNotFound")
    if to_change and not caller.is_admin and found[0].project_id != caller.project_id:
        raise errors.Forbidden(f"Subnet {ident} belongs to another project.", kind="PolicyNotAuthorized")
    return found[0]


class Subnets:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit
        self._quotas = services.means.network_quotas

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = queries.read_query(req, FILTERS, SORTABLE, self._max_limit)
        visible = [] if caller.is_admin else [subnets.visible_to(caller.project_id)]
        visible += tagging.clauses(query, subnets.subnets.c.uuid)
        with self._db.read() as tx:
            found = subnets.page(tx, visible, query.columns, query.page)
            shown = [queries.project(view, query.fields) for view in _views(tx, found)]
        page = queries.links(req, self._public_url, "subnets", query, [subnet.uuid for subnet in found])
        media.answer(resp, {"subnets": shown, **page})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        items, bulk = bodies.read_items(req, "subnet", "subnets")
        wanted = [(bodies.project_of(item, caller), _read(item, caller)) for item in items]

        def work(tx: sa.Connection) -> list[dict[str, Any]]:
            made = []
            for project_id, values in wanted:
                self._quotas.hold(tx, project_id, "subnet")
                made.append(_create(tx, caller, project_id, values))
            return _views(tx, made)

        shown = self._db.transact(work)
        media.answer(resp, {"subnets": shown} if bulk else {"subnet": shown[0]}, 201)


class Subnet:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            (shown,) = _views(tx, [find(tx, req.context.caller, ident)])
        media.answer(resp, {"subnet": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "subnet")
        changes = bodies.read_changes(item, ATTRIBUTES, caller)
        changes.pop("", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            return _views(tx, [topology.change_subnet(tx, find(tx, caller, ident, to_change=True), changes)])[0]

        media.answer(resp, {"subnet": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: topology.delete_subnet(tx, find(tx, caller, ident, to_change=True)))
        resp.status = falcon.HTTP_204


def _views(tx: sa.Connection, found: Sequence[subnets.Subnet]) -> list[dict[str, Any]]:
    return tagging.tagged(tx, [views.subnet(subnet) for subnet in found])


def _read(item: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The arguments of topology.create_subnet(), and the network's id."""
    values = bodies.read_new(item, ATTRIBUTES, caller)
    for name in ("", "project_id"):
        values.pop(name, None)
    version = values.pop("ip_version", None)
    if version == 5:
        raise bodies.invalid("ip_version", "5 is not in [4, 6]")
    if "cidr" not in values:
        raise bodies.bad_request("Failed to parse request. Required attribute 'cidr' not specified.")
    values["block"] = cidr.parse_cidr(values.pop("cidr"), version)
    # null says "no gateway"; a field left out says "choose one".
    values["choose_gateway"] = "gateway_ip" not in values
    modes = {values.pop(name, None) for name in ("address_mode", "ra_mode")} - {None}
    if len(modes) > 1:
        raise cidr.bad_input("ipv6_ra_mode and ipv6_address_mode must be the same when both are given.")
    values["ipv6_mode"] = modes.pop() if modes else None
    return values


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> subnets.Subnet:
    arguments = dict(values)
    network = networks_edge.find(tx, caller, arguments.pop("network_id"), to_change=True)
    return topology.create_subnet(tx, network, project_id, arguments.pop("block"), **arguments)
