# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/subnets"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api.network import bodies, kinds, queries, views
from zun_lite.api.network import networks as networks_edge
from zun_lite.api.network import subnet_pools as pools_edge
from zun_lite.api.network.bodies import Attribute
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.queries import Filter
from zun_lite.api.services import Services
from zun_lite.db import subnets
from zun_lite.db.subnets import Subnet as Record
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import cidr, subnet_pools, topology

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
    "subnetpool_id": Filter("subnet_pool", queries.identifier),
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
    "allocation_pools": Attribute("pools", bodies.pools, change=True),
    "dns_nameservers": Attribute("dns", bodies.addresses, change=True),
    "host_routes": Attribute("routes", bodies.routes, change=True),
    "ipv6_address_mode": Attribute("ipv6_address_mode", bodies.one_of(*topology.IPV6_MODES)),
    "ipv6_ra_mode": Attribute("ipv6_ra_mode", bodies.one_of(*topology.IPV6_MODES)),
    "project_id": Attribute("", bodies.text),
    "tenant_id": Attribute("", bodies.text),
    "subnetpool_id": Attribute("subnet_pool", bodies.identifier),
    "use_default_subnetpool": Attribute("default_pool", bodies.boolean),
    "prefixlen": Attribute("prefixlen", bodies.integer(0, 128)),
    "service_types": Attribute("", bodies.one_of([]), change=True),
    "segment_id": Attribute("", bodies.one_of(), change=True),
    "dns_publish_fixed_ip": Attribute("", bodies.one_of(False), change=True),
}


def _views(tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
    return [views.subnet(subnet) for subnet in found]


def _check_owner(caller: Caller, subnet: Record) -> None:
    if not caller.is_admin and subnet.project_id != caller.project_id:
        raise errors.Forbidden(f"Subnet {subnet.uuid} belongs to another project.", kind="PolicyNotAuthorized")


KIND = Kind(
    singular="subnet",
    plural="subnets",
    quota="subnet",
    table=subnets.subnets,
    page=subnets.page,
    visible_to=subnets.visible_to,
    views=_views,
    missing="Subnet {} could not be found.",
    not_found="SubnetNotFound",
    filters=FILTERS,
    sortable=SORTABLE,
    own=_check_owner,
)


class Subnets(kinds.Collection[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.answer_made(req, resp, _read, _create)


class Subnet(kinds.Member[Record]):
    def __init__(self, services: Services) -> None:
        super().__init__(services, KIND, lambda tx, caller, subnet: topology.delete_subnet(tx, subnet))

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        (item,), _ = bodies.read_items(req, "subnet")
        changes = bodies.read_changes(item, ATTRIBUTES, req.context.caller)
        self.changed(req, resp, ident, lambda tx, subnet: topology.change_subnet(tx, subnet, changes))


def _read(item: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """The arguments of topology.create_subnet() and subnet_pools.take(), and the network's id."""
    values = bodies.read_new(item, ATTRIBUTES, caller)
    if values.get("ip_version") == 5:
        raise bodies.invalid("ip_version", "5 is not in [4, 6]")
    pooled = "subnet_pool" in values or values.get("default_pool")
    if "cidr" in values and "prefixlen" in values:
        raise _bad_subnet("cidr and prefixlen must not be supplied together")
    if "cidr" in values:
        values["block"] = cidr.parse_cidr(values.pop("cidr"), values.get("ip_version"))
    elif not pooled:
        raise _bad_subnet("a subnetpool must be specified in the absence of a cidr")
    elif "pools" in values:
        raise _bad_subnet("allocation_pools allowed only for specific subnet requests")
    # null says "no gateway"; a field left out says "choose one".
    values["choose_gateway"] = "gateway_ip" not in values
    return values


def _create(tx: sa.Connection, caller: Caller, project_id: str, values: dict[str, Any]) -> Record:
    arguments = dict(values)
    network = networks_edge.KIND.find_own(tx, caller, arguments.pop("network_id"))
    block, version = arguments.pop("block", None), arguments.pop("ip_version", None)
    prefixlen = arguments.pop("prefixlen", None)
    pool = _pool(tx, caller, version or 4, arguments.pop("subnet_pool", None), arguments.pop("default_pool", False))
    if pool is not None:
        if version not in (None, pool.ip_version):
            raise _bad_subnet(f"Cannot allocate IPv{version} subnet from IPv{pool.ip_version} subnet pool")
        block = subnet_pools.take(tx, pool, project_id, block=block, prefixlen=prefixlen)
        arguments["subnet_pool"] = pool.uuid
    elif prefixlen is not None:
        raise _bad_subnet("prefixlen is for subnets of a subnetpool")
    return topology.create_subnet(tx, network, project_id, block, **arguments)


def _pool(
    tx: sa.Connection, caller: Caller, version: int, ident: str | None, usual: bool
) -> subnet_pools.SubnetPool | None:
    """Where the CIDR comes from: the pool of that id, or the IP version's default one."""
    if ident is not None and usual:
        raise _bad_subnet("subnetpool_id and use_default_subnetpool cannot both be specified")
    if ident is not None:
        return pools_edge.KIND.find(tx, caller, ident)
    if not usual:
        return None
    found = subnet_pools.default_pool(tx, version)
    if found is None:
        raise _bad_subnet(f"No default subnetpool found for IPv{version}")
    return found


def _bad_subnet(reason: str) -> errors.Invalid:
    return errors.Invalid(f"Bad subnets request: {reason}.", kind="BadRequest")
