# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/floatingips"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api.network import bodies, kinds, queries, router_views
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network import ports as ports_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Clauses, Kind
from zun_lite.api.network.queries import Filter, Query
from zun_lite.api.services import Services
from zun_lite.db import floating_ips, ports
from zun_lite.db.floating_ips import FloatingIp as Record
from zun_lite.domain.caller import Caller
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
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
    "dns_name": Attribute("", bodies.one_of("")),
    "dns_domain": Attribute("", bodies.one_of("")),
    "qos_policy_id": Attribute("", bodies.one_of(), change=True),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    wanted = [item.fixed_port for item in found if item.fixed_port is not None]
    known = {port.uuid: port for port in ports.page(tx, [ports.ports.c.uuid.in_(wanted)])} if wanted else {}
    return [router_views.floating_ip(item, known.get(item.fixed_port or "")) for item in found]


def _clauses(tx: sa.Connection, query: Query, caller: Caller) -> Clauses:
    if "status" not in query.others:
        return []
    asked, router = set(query.others["status"]), floating_ips.floating_ips.c.router_uuid
    ways = (("ACTIVE", router.is_not(None)), ("DOWN", router.is_(None)))
    return [sa.or_(sa.false(), *(clause for word, clause in ways if word in asked))]


KIND = Kind(
    singular="floatingip",
    plural="floatingips",
    quota="floatingip",
    table=floating_ips.floating_ips,
    page=floating_ips.page,
    visible_to=lambda project_id: floating_ips.floating_ips.c.project_id == project_id,
    views=_views,
    missing="Floating IP {} could not be found",
    not_found="FloatingIPNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
    more=_clauses,
)


class FloatingIps(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, lambda item, caller: bodies.read_new(item, ATTRIBUTES, caller), _create, bulk=False)


class FloatingIp(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, found: floating.delete_floating_ip(tx, found))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "floatingip")
        changes = bodies.read_changes(item, ATTRIBUTES, caller)

        def work(tx: sa.Connection, found: Record) -> Record:
            if "description" in changes:
                floating_ips.update(tx, found.uuid, {"description": changes["description"]})
            port_id = changes.get("port_id", found.fixed_port if "fixed_ip" in changes else None)
            if port_id is not None:
                _lead(tx, caller, found, port_id, changes.get("fixed_ip"))
            elif "port_id" in changes:
                floating.lead_nowhere(tx, found)
            return KIND.find(tx, caller, ident)

        self.changed(req, resp, ident, work)


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    network = networks_edge.KIND.find(tx, caller, values["network_id"])
    fields = {key: values[key] for key in ("description", "address", "subnet_id") if key in values}
    made = floating.create_floating_ip(tx, network, project_id, **fields)
    if values.get("port_id"):
        made = _lead(tx, caller, made, values["port_id"], values.get("fixed_ip"))
    return made


def _lead(tx: sa.Connection, caller: Caller, found: Record, port_id: str, fixed_ip: str | None) -> Record:
    port = ports_edge.KIND.find(tx, caller, port_id)
    if port.project_id != found.project_id and not caller.is_admin:
        raise floating.bad_request(
            f"Port {port.uuid} is associated with a different tenant than Floating IP {found.uuid}."
        )
    return floating.lead(tx, found, port, fixed_ip)
