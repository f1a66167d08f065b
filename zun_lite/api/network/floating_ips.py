# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/floatingips"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies, queries, router_views, tagging
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network import ports as ports_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import floating_ips, ports
from zun_lite.db.floating_ips import FloatingIp as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import cidr, floating

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "floating_network_id": Filter("network_uuid", queries.identifier),
    "floating_ip_address": Filter("address", queries.text),
    "fixed_ip_address": Filter("fixed_ip", queries.nothing_as_null),
    "port_id": Filter("fixed_port", queries.nothing_as_null),
    "router_id": Filter("router_uuid", queries.nothing_as_null),
}
SORTABLE = {
    "id": "uuid",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "floating_ip_address": "address",
    "floating_network_id": "network_uuid",
}


def _address(field: str, value: Any) -> str:
    return str(cidr.parse_ip(bodies.text(field, value), field))


def _port(field: str, value: Any) -> str | None:
    return None if value in (None, "") else bodies.identifier(field, value)


ATTRIBUTES = {
    "floating_network_id": Attribute("network_id", bodies.identifier, required=True),
    "description": Attribute("description", bodies.text, change=True),
    "port_id": Attribute("port_id", _port, change=True, null=True),
    "fixed_ip_address": Attribute("fixed_ip", _address, change=True),
    "floating_ip_address": Attribute("address", _address, admin=True),
    "subnet_id": Attribute("subnet_id", bodies.identifier),
    "project_id": Attribute("project_id", bodies.text),
    "tenant_id": Attribute("project_id", bodies.text),
    "dns_name": Attribute("", bodies.one_of("")),
    "dns_domain": Attribute("", bodies.one_of("")),
    "qos_policy_id": Attribute("", bodies.one_of(), change=True),
}


def find(tx: sa.Connection, caller: Caller, ident: str) -> Record:
    found = floating_ips.get(tx, as_id(ident) or "")
    if found is None or not (caller.is_admin or found.project_id == caller.project_id):
        raise errors.NotFound(f"Floating IP {ident} could not be found", kind="FloatingIPNotFound")
    return found


class FloatingIps:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.network_quotas
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        query = queries.read_query(req, FILTERS, SORTABLE, self._max_limit)
        table = floating_ips.floating_ips.c
        where = [] if caller.is_admin else [table.project_id == caller.project_id]
        where += tagging.clauses(query, table.uuid)
        if "status" in query.others:
            asked = set(query.others["status"])
            ways = (("ACTIVE", table.router_uuid.is_not(None)), ("DOWN", table.router_uuid.is_(None)))
            where.append(sa.or_(sa.false(), *(clause for word, clause in ways if word in asked)))
        with self._db.read() as tx:
            found = floating_ips.page(tx, where, query.columns, query.page)
            shown = [queries.project(view, query.fields) for view in _views(tx, found)]
        page = queries.links(req, self._public_url, "floatingips", query, [item.uuid for item in found])
        media.answer(resp, {"floatingips": shown, **page})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "floatingip")
        project_id, values = bodies.project_of(item, caller), bodies.read_new(item, ATTRIBUTES, caller)

        def work(tx: sa.Connection) -> dict[str, Any]:
            network = networks_edge.find(tx, caller, values["network_id"])
            self._quotas.hold(tx, project_id, "floatingip")
            fields = {key: values[key] for key in ("description", "address", "subnet_id") if key in values}
            made = floating.create_floating_ip(tx, network, project_id, **fields)
            if values.get("port_id"):
                made = _lead(tx, caller, made, values["port_id"], values.get("fixed_ip"))
            return _views(tx, [made])[0]

        media.answer(resp, {"floatingip": self._db.transact(work)}, 201)


class FloatingIp:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            (shown,) = _views(tx, [find(tx, req.context.caller, ident)])
        media.answer(resp, {"floatingip": queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "floatingip")
        changes = bodies.read_changes(item, ATTRIBUTES, caller)

        def work(tx: sa.Connection) -> dict[str, Any]:
            found = find(tx, caller, ident)
            if "description" in changes:
                floating_ips.update(tx, found.uuid, {"description": changes["description"]})
            port_id = changes.get("port_id", found.fixed_port if "fixed_ip" in changes else None)
            if port_id is not None:
                _lead(tx, caller, found, port_id, changes.get("fixed_ip"))
            elif "port_id" in changes:
                floating.lead_nowhere(tx, found)
            return _views(tx, [find(tx, caller, ident)])[0]

        media.answer(resp, {"floatingip": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: floating.delete_floating_ip(tx, find(tx, caller, ident)))
        resp.status = falcon.HTTP_204


def _lead(tx: sa.Connection, caller: Caller, found: Record, port_id: str, fixed_ip: str | None) -> Record:
    port = ports_edge.find(tx, caller, port_id)
    if port.project_id != found.project_id and not caller.is_admin:
        raise floating.bad_request(
            f"Port {port.uuid} is associated with a different tenant than Floating IP {found.uuid}."
        )
    return floating.lead(tx, found, port, fixed_ip)


def _views(tx: sa.Connection, found: Sequence[Record]) -> list[dict[str, Any]]:
    wanted = [item.fixed_port for item in found if item.fixed_port is not None]
    known = {port.uuid: port for port in ports.page(tx, [ports.ports.c.uuid.in_(wanted)])} if wanted else {}
    return tagging.tagged(tx, [router_views.floating_ip(item, known.get(item.fixed_port or "")) for item in found])
