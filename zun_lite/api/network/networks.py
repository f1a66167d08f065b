# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/networks"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency
from zun_lite.api.network import bodies, kinds, queries, views
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Clauses, Kind
from zun_lite.api.network.queries import Filter, Query
from zun_lite.api.network.views import NETWORK_TYPE
from zun_lite.api.services import Services
from zun_lite.db import hosts, networks, subnets
from zun_lite.db.networks import Network as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import qos, topology

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
    "qos_policy_id": Filter("qos_policy", queries.identifier),
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
        "project_id": Attribute("", bodies.text),
        "tenant_id": Attribute("", bodies.text),
        "port_security_enabled": Attribute("port_security", bodies.boolean, change=True),
        "availability_zone_hints": Attribute("zone_hints", bodies.texts),
        "is_default": Attribute("is_default", bodies.boolean, change=True, admin=True),
        "provider:network_type": Attribute("", bodies.one_of(NETWORK_TYPE), admin=True),
        "provider:physical_network": Attribute("", bodies.one_of()),
        "provider:segmentation_id": Attribute("vni", bodies.integer(1, networks.LAST_VNI), admin=True),
        "qos_policy_id": Attribute("qos_policy", bodies.identifier_or_null, change=True, null=True),
        "dns_domain": Attribute("", bodies.one_of(""), change=True),
        "vlan_transparent": Attribute("", bodies.one_of(False)),
    }


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    subnet_ids = subnets.ids_by_network(tx, [network.uuid for network in found])
    return [views.network(network, subnet_ids.get(network.uuid, []), admin=caller.is_admin) for network in found]


def _clauses(tx: sa.Connection, query: Query, caller: Caller) -> Clauses:
    """What every network is like."""
    like = {"status": "ACTIVE"}
    if caller.is_admin:
        like |= {"provider:network_type": NETWORK_TYPE, "provider:physical_network": ""}
    return [sa.false() for key, value in like.items() if value not in query.others.get(key, (value,))]


def _check_owner(caller: Caller, network: Record) -> None:
    if not is_owner(caller, network):
        raise errors.Forbidden(f"Network {network.uuid} belongs to another project.", kind="PolicyNotAuthorized")


def is_owner(caller: Caller, network: Record) -> bool:
    return caller.is_admin or network.project_id == caller.project_id


KIND = Kind(
    singular="network",
    plural="networks",
    quota="network",
    table=networks.networks,
    page=networks.page,
    visible_to=networks.visible_to,
    views=_views,
    missing="Network {} could not be found.",
    not_found="NetworkNotFound",
    filters=FILTERS,
    admin_filters=ADMIN_FILTERS,
    sortable=SORTABLE,
    more=_clauses,
    own=_check_owner,
)


class Networks(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)
        self._mtu = services.conf.network.mtu
        self._attributes = attributes(self._mtu)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        idempotency.answer_once(self._db, req, resp, lambda keep: self.made(req, self._read, _create, keep))

    def _read(self, item: dict[str, Any], caller: Caller) -> dict[str, Any]:
        values = bodies.read_new(item, self._attributes, caller)
        values["mtu"] = values.get("mtu") or self._mtu
        if values["mtu"] < 68:
            raise bodies.invalid("mtu", f"{values['mtu']} is below 68, the least that IP works with")
        return values


class Network(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, network: topology.delete_network(tx, network))
        self._attributes = attributes(services.conf.network.mtu)

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "network")
        changes = bodies.read_changes(item, self._attributes, caller)

        def work(tx: sa.Connection, network: Record) -> Record:
            check_policy(tx, caller, network.project_id, changes, network.qos_policy)
            return topology.change_network(tx, network, changes)

        self.changed(req, resp, ident, work)


def check_policy(
    tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any], has: str | None = None
) -> None:
    """Both the QoS policy that the values name and the one that an object has must be for the project to use.

    One that an administrator put there, of another project, is for administrators to take away.
    """
    named = values.get("qos_policy", has)
    if named == has:
        return
    if named is not None:
        qos.usable(tx, named, project_id, any_project=caller.is_admin)
    if has is not None:
        qos.check_removable(tx, has, project_id, any_project=caller.is_admin)


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    check_policy(tx, caller, project_id, values)
    known = {host.availability_zone for host in hosts.every(tx)}
    for zone in values.get("zone_hints", ()):
        if zone not in known:
            raise errors.NotFound(f"AvailabilityZone {zone} could not be found.", kind="AvailabilityZoneNotFound")
    return topology.create_network(tx, project_id, **values)
