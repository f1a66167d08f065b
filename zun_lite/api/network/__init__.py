# SPDX-License-Identifier: Apache-2.0
"""The embedded Neutron: the part of the Networking API v2.0 that stock clients need.

Resources read the request, ask zun_lite.network and zun_lite.db, and show records as Neutron does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from zun_lite.api.network import (
    documents,
    floating_ips,
    networks,
    ports,
    qos,
    routers,
    security_groups,
    subnet_pools,
    subnets,
)
from zun_lite.api.network.agents import Agents, AvailabilityZones
from zun_lite.api.network.documents import PREFIX
from zun_lite.api.network.floating_ips import FloatingIp, FloatingIps
from zun_lite.api.network.kinds import Kind
from zun_lite.api.network.networks import Network, Networks
from zun_lite.api.network.ports import Port, Ports
from zun_lite.api.network.qos import Limits, Policies, Policy, RuleTypes
from zun_lite.api.network.quotas import Quotas
from zun_lite.api.network.routers import Router, Routers
from zun_lite.api.network.security_groups import SecurityGroup, SecurityGroupRule, SecurityGroupRules, SecurityGroups
from zun_lite.api.network.subnet_pools import SubnetPool, SubnetPools
from zun_lite.api.network.subnets import Subnet, Subnets
from zun_lite.api.network.tagging import Tags
from zun_lite.api.services import Services

Row = tuple[str, object, str | None]


def resources(services: Services) -> list[Row]:
    """(path template, resource, suffix of its responders) of everything under /network."""
    versions, extensions = documents.Documents(services), documents.Extensions()
    limits, rule_types = Limits(services), RuleTypes()
    router, quotas, agents = Router(services), Quotas(services), Agents(services)
    return [
        ("/network", versions, "root"),
        (PREFIX, versions, "v2"),
        (f"{PREFIX}/extensions", extensions, None),
        (f"{PREFIX}/extensions/{{alias}}", extensions, "one"),
        (f"{PREFIX}/networks", Networks(services), None),
        (f"{PREFIX}/networks/{{ident}}", Network(services), None),
        (f"{PREFIX}/subnets", Subnets(services), None),
        (f"{PREFIX}/subnets/{{ident}}", Subnet(services), None),
        (f"{PREFIX}/subnetpools", SubnetPools(services), None),
        (f"{PREFIX}/subnetpools/{{ident}}", SubnetPool(services), None),
        (f"{PREFIX}/ports", Ports(services), None),
        (f"{PREFIX}/ports/{{ident}}", Port(services), None),
        (f"{PREFIX}/security-groups", SecurityGroups(services), None),
        (f"{PREFIX}/security-groups/{{ident}}", SecurityGroup(services), None),
        (f"{PREFIX}/security-group-rules", SecurityGroupRules(services), None),
        (f"{PREFIX}/security-group-rules/{{ident}}", SecurityGroupRule(services), None),
        (f"{PREFIX}/routers", Routers(services), None),
        (f"{PREFIX}/routers/{{ident}}", router, None),
        (f"{PREFIX}/routers/{{ident}}/add_router_interface", router, "add_interface"),
        (f"{PREFIX}/routers/{{ident}}/remove_router_interface", router, "remove_interface"),
        (f"{PREFIX}/routers/{{ident}}/add_extraroutes", router, "add_routes"),
        (f"{PREFIX}/routers/{{ident}}/remove_extraroutes", router, "remove_routes"),
        (f"{PREFIX}/floatingips", FloatingIps(services), None),
        (f"{PREFIX}/floatingips/{{ident}}", FloatingIp(services), None),
        (f"{PREFIX}/qos/policies", Policies(services), None),
        (f"{PREFIX}/qos/policies/{{ident}}", Policy(services), None),
        (f"{PREFIX}/qos/policies/{{ident}}/bandwidth_limit_rules", limits, None),
        (f"{PREFIX}/qos/policies/{{ident}}/bandwidth_limit_rules/{{rule}}", limits, "one"),
        (f"{PREFIX}/qos/rule-types", rule_types, None),
        (f"{PREFIX}/qos/rule-types/{{name}}", rule_types, "one"),
        (f"{PREFIX}/quotas", quotas, "all"),
        (f"{PREFIX}/quotas/{{project_id}}", quotas, None),
        (f"{PREFIX}/quotas/{{project_id}}/default", quotas, "default"),
        (f"{PREFIX}/quotas/{{project_id}}/details", quotas, "details"),
        (f"{PREFIX}/agents", agents, None),
        (f"{PREFIX}/agents/{{ident}}", agents, "one"),
        (f"{PREFIX}/availability_zones", AvailabilityZones(services), None),
        *_tags(services),
        *((f"{PREFIX}/{name}", documents.Empty(name), None) for name in documents.EMPTY),
    ]


def _tags(services: Services) -> Iterator[Row]:
    collections: dict[str, Kind[Any]] = {
        "networks": networks.KIND,
        "subnets": subnets.KIND,
        "subnetpools": subnet_pools.KIND,
        "ports": ports.KIND,
        "security-groups": security_groups.KIND,
        "routers": routers.KIND,
        "floatingips": floating_ips.KIND,
        "policies": qos.KIND,
    }
    for name, kind in collections.items():
        tags = Tags(services, kind.find_own)
        yield f"{PREFIX}/{name}/{{ident}}/tags", tags, None
        yield f"{PREFIX}/{name}/{{ident}}/tags/{{tag}}", tags, "one"
