# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/networks"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency, media
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.network import bodies, queries, tagging, views
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import networks, subnets
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import topology

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "admin_state_up": Filter("admin_state_up", queries.boolean),
    "shared": Filter("shared", queries.boolean),
    "router:external": Filter("external", queries.boolean),
    "mtu": Filter("mtu", queries.number),
    "is_default": Filter("is_default", queries.boolean),
}
ADMIN_FILTERS = FILTERS | {"provider:segmentation_id": Filter("vni", queries.number)}
SORTABLE = {
    "id": "uuid",
    "name": "name",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "admin_state_up": "admin_state_up",
    "created_at": "created_at",
    "updated_at": "updated_at",
    "mtu": "mtu",
}


def attributes(max_mtu: int) -> dict[str, Attribute]:
    return {
        "name": Attribute("name", bodies.text, change=True),
        "description": Attribute("description", bodies.text, change=True),
        "admin_state_up": Attribute("admin_state_up", bodies.boolean, change=True),
        "shared": Attribute("shared", bodies.boolean, change=True, admin=True),
        "router:external": Attribute("external", bodies.boolean, change=True, admin=True),
        "mtu": Attribute("mtu", bodies.integer(0, max_mtu)),
        "project_id": Attribute("project_id", bodies.text),
        "tenant_id": Attribute("project_id", bodies.text),
        "port_security_enabled": Attribute("port_security", bodies.boolean, change=True),
        "availability_zone_hints": Attribute("", bodies.one_of([])),
        "is_default": Attribute("is_default", bodies.boolean, change=True, admin=True),
        "provider:network_type": Attribute("", bodies.one_of("vxlan")),
        "provider:physical_network": Attribute("", bodies.one_of()),
        "provider:segmentation_id": Attribute("", bodies.one_of()),
        "qos_policy_id": Attribute("", bodies.one_of(), change=True),
        "dns_domain": Attribute("", bodies.one_of(""), change=True),
        "vlan_transparent": Attribute("", bodies.one_of(False)),
    }


def find(tx: sa.Connection, caller: Caller, ident: str, *, to_change: bool = False) -> networks.Network:
    """NotFound for what the caller may not see; Forbidden for what it may only see."""
    uuid = as_id(ident)
    visible = [] if caller.is_admin else [networks.visible_to(caller.project_id)]
    found = networks.page(tx, [networks.networks.c.uuid == uuid, *visible]) if uuid else []
    if not found:
        raise errors.NotFound(f"Network {ident} could not be found.", kind="NetworkNotFound")
    if to_change and not is_owner(caller, found[0]):
        raise errors.Forbidden(f"Network {ident} belongs to another project.", kind="PolicyNotAuthorized")
    return found[0]


def is_owner(caller: Caller, network: networks.Network) -> bool:
    return caller.is_admin or network.project_id == caller.project_id


class Networks:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit
        self._mtu = services.conf.network.mtu
        self._attributes = attributes(self._mtu)
        self._quotas = services.means.network_quotas

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = queries.read_query(req, ADMIN_FILTERS if caller.is_admin else FILTERS, SORTABLE, self._max_limit)
        visible = [] if caller.is_admin else [networks.visible_to(caller.project_id)]
        visible += tagging.clauses(query, networks.networks.c.uuid)
        with self._db.read() as tx:
            found = (
                []
                if "status" in query.others and "ACTIVE" not in query.others["status"]
                else (networks.page(tx, visible, query.columns, query.page))
            )
            shown = [queries.project(view, query.fields) for view in _views(tx, found, caller)]
        page = queries.links(req, self._public_url, "networks", query, [network.uuid for network in found])
        media.answer(resp, {"networks": shown, **page})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        idempotency.answer_once(self._db, req, resp, lambda keep: self._create(req, keep))

    def _create(self, req: falcon.Request, keep: Keep) -> Reply:
        caller = req.context.caller
        items, bulk = bodies.read_items(req, "network", "networks")
        wanted = [(bodies.project_of(item, caller), self._read(item, caller)) for item in items]

        def work(tx: sa.Connection) -> Reply:
            made = []
            for project_id, values in wanted:
                self._quotas.hold(tx, project_id, "network")
                made.append(topology.create_network(tx, project_id, **values))
            shown = [views.network(network, [], admin=caller.is_admin) for network in made]
            reply = Reply(201, {"networks": shown} if bulk else {"network": shown[0]})
            keep(tx, lambda: reply)
            return reply

        return self._db.transact(work)

    def _read(self, item: dict[str, Any], caller: Caller) -> dict[str, Any]:
        values = bodies.read_new(item, self._attributes, caller)
        values["mtu"] = values.get("mtu") or self._mtu
        if values["mtu"] < 68:
            raise bodies.invalid("mtu", f"{values['mtu']} is below 68, the least that IP works with")
        return {key: value for key, value in values.items() if key not in ("", "project_id")}


class Network:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._attributes = attributes(services.conf.network.mtu)

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            (shown,) = _views(tx, [find(tx, req.context.caller, ident)], req.context.caller)
        media.answer(resp, {"network": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "network")
        changes = bodies.read_changes(item, self._attributes, caller)
        changes.pop("", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            network = find(tx, caller, ident, to_change=True)
            return _views(tx, [topology.change_network(tx, network, changes)], caller)[0]

        media.answer(resp, {"network": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: topology.delete_network(tx, find(tx, caller, ident, to_change=True)))
        resp.status = falcon.HTTP_204


def _views(tx: sa.Connection, found: Sequence[networks.Network], caller: Caller) -> list[dict[str, Any]]:
    subnet_ids = subnets.ids_by_network(tx, [network.uuid for network in found])
    views_found = [views.network(network, subnet_ids.get(network.uuid, []), admin=caller.is_admin) for network in found]
    return tagging.tagged(tx, views_found)
