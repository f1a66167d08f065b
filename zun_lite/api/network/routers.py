# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/routers, and what is done to one: interfaces and routes added and removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies, kinds, queries, router_views
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network import ports as ports_edge
from zun_lite.api.network import subnets as subnets_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import ports, routers
from zun_lite.db.ports import Port
from zun_lite.db.routers import Router as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import routers as rules

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "admin_state_up": Filter("admin_state_up", queries.boolean),
}
SORTABLE = {
    "id": "uuid",
    "name": "name",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "admin_state_up": "admin_state_up",
}


def _gateway(field: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) - {"network_id", "enable_snat", "external_fixed_ips"}:
        raise bodies.invalid(field, "it must be an object with network_id, enable_snat and external_fixed_ips")
    if not value:
        return {}
    if "network_id" not in value:
        raise bodies.invalid(field, "network_id must be given")
    found: dict[str, Any] = {"network_id": bodies.identifier(f"{field}.network_id", value["network_id"])}
    if value.get("enable_snat") is not None:
        found["enable_snat"] = bodies.boolean(f"{field}.enable_snat", value["enable_snat"])
    if value.get("external_fixed_ips") is not None:
        found["fixed_ips"] = bodies.fixed_ips(f"{field}.external_fixed_ips", value["external_fixed_ips"])
    return found


ATTRIBUTES = {
    "name": Attribute("name", bodies.text, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "admin_state_up": Attribute("admin_state_up", bodies.boolean, change=True),
    "external_gateway_info": Attribute("gateway", _gateway, change=True),
    "routes": Attribute("routes", bodies.routes, change=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
    "distributed": Attribute("", bodies.one_of(False), change=True),
    "ha": Attribute("", bodies.one_of(False), change=True),
    "availability_zone_hints": Attribute("", bodies.one_of([])),
    "flavor_id": Attribute("", bodies.one_of()),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    wanted = [router.gateway_port for router in found if router.gateway_port is not None]
    gateways = {port.uuid: port for port in ports.page(tx, [ports.ports.c.uuid.in_(wanted)])} if wanted else {}
    return [router_views.router(item, gateways.get(item.gateway_port or "")) for item in found]


KIND = Kind(
    singular="router",
    plural="routers",
    quota="router",
    table=routers.routers,
    page=routers.page,
    visible_to=lambda project_id: routers.routers.c.project_id == project_id,
    views=_views,
    missing="Router {} could not be found",
    not_found="RouterNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
)


class Routers(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, _read, _create, bulk=False)


class Router(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, router: rules.delete_router(tx, router))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "router")
        given = bodies.read_changes(item, ATTRIBUTES, caller)
        # both say that there is to be none
        drops = "external_gateway_info" in item and not item["external_gateway_info"]
        gateway = given.pop("gateway", None)

        def work(tx: sa.Connection, router: Record) -> Record:
            if drops:
                router = rules.remove_gateway(tx, router)
            elif gateway:
                router = _set_gateway(tx, caller, router, gateway)
            return rules.change_router(tx, router, given)

        self.changed(req, resp, ident, work)

    def on_put_add_interface(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        body = _read_interface(req)
        if len(body) != 1:
            raise bodies.bad_request("Bad router request: Either subnet_id or port_id must be specified, not both.")

        def work(tx: sa.Connection) -> dict[str, Any]:
            router = KIND.find(tx, caller, ident)
            if "port_id" in body:
                port = ports_edge.KIND.find(tx, caller, body["port_id"])
                if port.project_id != caller.project_id and not caller.is_admin:
                    raise errors.NotFound(f"Port {port.uuid} could not be found.", kind="PortNotFound")
                return _interface(router, rules.add_port(tx, router, port))
            subnet = subnets_edge.KIND.find(tx, caller, body["subnet_id"])
            network = networks_edge.KIND.find(tx, caller, subnet.network_uuid)
            if not networks_edge.is_owner(caller, network) and subnet.gateway_ip is not None:
                # the address that all other projects on it go by is for its owner to give
                raise errors.Forbidden(
                    f"Subnet {subnet.uuid} is another project's; make a port on its network and add that.",
                    kind="PolicyNotAuthorized",
                )
            return _interface(router, rules.add_subnet(tx, router, subnet))

        media.answer(resp, self._db.transact(work))

    def on_put_remove_interface(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        body = _read_interface(req)
        if not body:
            raise bodies.bad_request("Bad router request: Either subnet_id or port_id must be specified.")

        def work(tx: sa.Connection) -> dict[str, Any]:
            router = KIND.find(tx, caller, ident)
            return _interface(router, rules.remove_interface(tx, router, **body))

        media.answer(resp, self._db.transact(work))

    def on_put_add_routes(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._change_routes(req, resp, ident, rules.add_routes)

    def on_put_remove_routes(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._change_routes(req, resp, ident, rules.remove_routes)

    def _change_routes(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        ident: str,
        change: Callable[[sa.Connection, Record, Sequence[rules.Route]], Record],
    ) -> None:
        (item,), _ = bodies.read_items(req, "router")
        routes = bodies.routes("routes", item.get("routes"))
        self.changed(req, resp, ident, lambda tx, router: change(tx, router, routes))


def _read(item: dict[str, Any], caller: Caller) -> dict[str, Any]:
    values = bodies.read_new(item, ATTRIBUTES, caller)
    if values.pop("routes", None):
        raise bodies.bad_request("A new router is in no network yet; give it routes once it is.")
    return values


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    fields = dict(values)
    gateway = fields.pop("gateway", None)
    made = rules.create_router(tx, project_id, **fields)
    return _set_gateway(tx, caller, made, gateway) if gateway else made


def _set_gateway(tx: sa.Connection, caller: Caller, router: Record, wanted: dict[str, Any]) -> Record:
    snat = wanted.get("enable_snat", router.enable_snat)
    if not caller.is_admin and (not snat or wanted.get("fixed_ips") is not None):
        raise bodies.forbidden("external_fixed_ips, and enable_snat to false")
    network = networks_edge.KIND.find(tx, caller, wanted["network_id"])
    return rules.set_gateway(tx, router, network, enable_snat=snat, fixed_ips=wanted.get("fixed_ips"))


def _read_interface(req: falcon.Request) -> dict[str, str]:
    try:
        body = media.loads(req.bounded_stream.read() or b"null")
    except ValueError as error:
        raise bodies.bad_request(f"The body is not the JSON that is needed: {error}.") from None
    if not isinstance(body, dict) or set(body) - {"port_id", "subnet_id"}:
        raise bodies.bad_request("Bad router request: the body must be an object with subnet_id or port_id.")
    return {key: bodies.identifier(key, value) for key, value in body.items() if value is not None}


def _interface(router: Record, leg: Port) -> dict[str, Any]:
    subnet_ids = [address.subnet_uuid for address in leg.addresses]
    return {
        "id": router.uuid,
        "port_id": leg.uuid,
        "subnet_id": subnet_ids[0] if subnet_ids else None,
        "subnet_ids": subnet_ids,
        "network_id": leg.network_uuid,
        "project_id": router.project_id,
        "tenant_id": router.project_id,
    }
