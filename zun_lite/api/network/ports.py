# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/ports"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api.network import bodies, kinds, queries, views
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Clauses, Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import hosts, networks, ports
from zun_lite.db.ports import Port as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.network import cidr
from zun_lite.network import ports as rules

FILTERS = {
    "id": Filter("uuid", queries.identifier),
    "name": Filter("name", queries.text),
    "description": Filter("description", queries.text),
    "project_id": Filter("project_id", queries.text),
    "tenant_id": Filter("project_id", queries.text),
    "network_id": Filter("network_uuid", queries.identifier),
    "mac_address": Filter("mac", lambda key, value: value.lower()),
    "admin_state_up": Filter("admin_state_up", queries.boolean),
    "device_id": Filter("device_id", queries.text),
    "device_owner": Filter("device_owner", queries.text),
    "qos_policy_id": Filter("qos_policy", queries.identifier),
}
SORTABLE = {
    "id": "uuid",
    "name": "name",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "network_id": "network_uuid",
    "mac_address": "mac",
    "admin_state_up": "admin_state_up",
    "device_id": "device_id",
    "device_owner": "device_owner",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
MOST_FOUND = 5000
ATTRIBUTES = {
    "network_id": Attribute("network_id", bodies.identifier, required=True),
    "name": Attribute("name", bodies.text, change=True),
    "description": Attribute("description", bodies.text, change=True),
    "admin_state_up": Attribute("admin_state_up", bodies.boolean, change=True),
    "fixed_ips": Attribute("fixed_ips", bodies.fixed_ips, change=True),
    "mac_address": Attribute("mac", bodies.mac),
    "device_id": Attribute("device_id", bodies.text_or_nothing, change=True, null=True),
    "device_owner": Attribute("device_owner", bodies.text_or_nothing, change=True, null=True),
    "security_groups": Attribute("security_group_ids", bodies.identifiers, change=True),
    "binding:host_id": Attribute("host", bodies.text_or_null, change=True, admin=True, null=True),
    "binding:vnic_type": Attribute("", bodies.one_of("normal"), change=True),
    "binding:profile": Attribute("", bodies.one_of({}), change=True),
    "port_security_enabled": Attribute("port_security", bodies.boolean, change=True),
    "allowed_address_pairs": Attribute("address_pairs", bodies.address_pairs, change=True),
    "extra_dhcp_opts": Attribute("", bodies.one_of([]), change=True),
    "dns_name": Attribute("", bodies.one_of(""), change=True),
    "qos_policy_id": Attribute("qos_policy", bodies.identifier_or_null, change=True, null=True),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    names = _host_names(tx, caller)
    around = networks.policies(tx, [port.network_uuid for port in found])
    return [
        views.port(port, admin=caller.is_admin, host_names=names, network_policy=around.get(port.network_uuid))
        for port in found
    ]


def _host_names(tx: sa.Connection, caller: Caller) -> dict[str, str]:
    return {host.uuid: host.name for host in hosts.every(tx)} if caller.is_admin else {}


def _clauses(tx: sa.Connection, query: queries.Query, caller: Caller) -> Clauses:
    """Filters that are not plain columns."""
    clauses: Clauses = []
    parts: list[str] = []
    for condition in query.others.get("fixed_ips", ()):
        key, _, value = condition.partition("=")
        if key == "ip_address":
            clauses.append(ports.on_address(str(cidr.parse_ip(value, "fixed_ips"))))
        elif key == "subnet_id":
            clauses.append(ports.on_subnet(as_id(value) or value))
        elif key == "ip_address_substr":
            parts.append(value.lower())
        else:
            raise bodies.invalid(
                "fixed_ips",
                f"'{condition}' must be ip_address=ADDRESS, ip_address_substr=PART_OF_AN_ADDRESS or subnet_id=ID",
            )
    if parts:
        clauses.append(_like(tx, caller, parts))
    if "security_groups" in query.others:
        clauses.append(ports.in_groups([as_id(value) or value for value in query.others["security_groups"]]))
    if "status" in query.others:
        asked = set(query.others["status"])
        choices = [ports.bound(bound) for word, bound in (("ACTIVE", True), ("DOWN", False)) if word in asked]
        clauses.append(sa.or_(sa.false(), *choices))
    if caller.is_admin and "binding:host_id" in query.others:
        asked = set(query.others["binding:host_id"])
        uuids = {uuid for uuid, name in _host_names(tx, caller).items() if name in asked}
        clauses.append(ports.ports.c.host.in_(sorted(asked | uuids)))
    return clauses


def _like(tx: sa.Connection, caller: Caller, parts: Sequence[str]) -> sa.ColumnElement[bool]:
    """Addresses are kept as numbers, so that their text is looked at here."""
    seen = [] if caller.is_admin else [ports.visible_to(caller.project_id)]
    found = ports.with_address_like(tx, parts, seen)
    if len(found) > MOST_FOUND:
        raise bodies.invalid("fixed_ips", f"more than {MOST_FOUND} ports have such an address; give more of it")
    return ports.ports.c.uuid.in_(sorted(found))


KIND = Kind(
    singular="port",
    plural="ports",
    quota="port",
    table=ports.ports,
    page=ports.page,
    visible_to=ports.visible_to,
    views=_views,
    missing="Port {} could not be found.",
    not_found="PortNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
    more=_clauses,
)


class Ports(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, _read, _create)


class Port(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, port: rules.delete_port(tx, port))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        (item,), _ = bodies.read_items(req, "port")
        changes = bodies.read_changes(item, ATTRIBUTES, caller)
        _check_owner_word(changes, caller)
        fixed_ips = changes.pop("fixed_ips", None)
        group_ids = changes.pop("security_group_ids", None)

        def work(tx: sa.Connection, port: Record) -> Record:
            _check_addresses(tx, caller, port.network_uuid, fixed_ips)
            _check_guard(tx, caller, port, changes)
            networks_edge.check_policy(tx, caller, port.project_id, changes, port.qos_policy)
            return rules.change_port(tx, port, changes, fixed_ips=fixed_ips, security_group_ids=group_ids)

        self.changed(req, resp, ident, work)


def _read(item: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The arguments of create_port(), and the network's id."""
    values = bodies.read_new(item, ATTRIBUTES, caller)
    _check_owner_word(values, caller)
    return values


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    arguments = dict(values)
    network = networks_edge.KIND.find(tx, caller, arguments.pop("network_id"))
    if not networks_edge.is_owner(caller, network):
        if network.external and not network.shared:
            raise errors.Forbidden(
                f"Network {network.uuid} is external; only an administrator may make ports on it.",
                kind="PolicyNotAuthorized",
            )
        if arguments.get("port_security") is False:
            raise _not_owner(network.uuid, "switch port_security_enabled off")
        if arguments.get("address_pairs"):
            raise _not_owner(network.uuid, "give allowed_address_pairs")
        if "mac" in arguments:
            raise _not_owner(network.uuid, "choose a mac_address")
    _check_addresses(tx, caller, network.uuid, arguments.get("fixed_ips"))
    networks_edge.check_policy(tx, caller, project_id, arguments)
    return rules.create_port(tx, network, project_id, **arguments)


def _check_owner_word(values: dict[str, Any], caller: Caller) -> None:
    if str(values.get("device_owner", "")).startswith("network:") and not caller.is_admin:
        raise bodies.forbidden("a device_owner that begins with network:")


def _check_guard(tx: sa.Connection, caller: Caller, port: Record, changes: dict[str, Any]) -> None:
    """What a port may send is for its network's owner to loosen."""
    network = networks.get(tx, port.network_uuid)
    if network is None or networks_edge.is_owner(caller, network):
        return
    if changes.get("port_security", port.port_security) is not port.port_security:
        raise _not_owner(network.uuid, "change port_security_enabled")
    if changes.get("address_pairs", list(port.address_pairs)) != list(port.address_pairs):
        raise _not_owner(network.uuid, "change allowed_address_pairs")


def _not_owner(network_uuid: str, what: str) -> errors.Forbidden:
    return errors.Forbidden(f"Only the owner of network {network_uuid} may {what} on it.", kind="PolicyNotAuthorized")


def _check_addresses(
    tx: sa.Connection, caller: Caller, network_uuid: str, fixed_ips: Sequence[rules.Wanted] | None
) -> None:
    """On another project's network one takes the addresses that come."""
    network = networks.get(tx, network_uuid)
    if network is None or networks_edge.is_owner(caller, network):
        return
    if any(wanted.ip_address is not None for wanted in fixed_ips or ()):
        raise _not_owner(network_uuid, "choose an ip_address")
