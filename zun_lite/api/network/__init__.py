# SPDX-License-Identifier: Apache-2.0
"""The embedded Neutron: the part of the Networking API v2.0 that stock clients need.

Resources read the request, ask zun_lite.network and zun_lite.db, and show records as Neutron does.
"""

from __future__ import annotations

from zun_lite.api.network import documents
from zun_lite.api.network.networks import Network, Networks
from zun_lite.api.network.ports import Port, Ports
from zun_lite.api.network.security_groups import SecurityGroupRules, SecurityGroups
from zun_lite.api.network.subnets import Subnet, Subnets
from zun_lite.api.services import Services


def resources(services: Services) -> list[tuple[str, object, str | None]]:
    """(path template, resource, suffix of its responders) of everything under /network."""
    prefix = documents.PREFIX
    versions, extensions = documents.Documents(services), documents.Extensions()
    groups, rules = SecurityGroups(services), SecurityGroupRules(services)
    quotas = documents.Quotas(services)
    return [
        ("/network", versions, "root"),
        (prefix, versions, "v2"),
        (f"{prefix}/extensions", extensions, None),
        (f"{prefix}/extensions/{{alias}}", extensions, "one"),
        (f"{prefix}/networks", Networks(services), None),
        (f"{prefix}/networks/{{ident}}", Network(services), None),
        (f"{prefix}/subnets", Subnets(services), None),
        (f"{prefix}/subnets/{{ident}}", Subnet(services), None),
        (f"{prefix}/ports", Ports(services), None),
        (f"{prefix}/ports/{{ident}}", Port(services), None),
        (f"{prefix}/security-groups", groups, None),
        (f"{prefix}/security-groups/{{ident}}", groups, "one"),
        (f"{prefix}/security-group-rules", rules, None),
        (f"{prefix}/security-group-rules/{{ident}}", rules, "one"),
        (f"{prefix}/quotas/{{project_id}}", quotas, None),
        (f"{prefix}/quotas/{{project_id}}/default", quotas, None),
        (f"{prefix}/quotas/{{project_id}}/details", quotas, "details"),
        *((f"{prefix}/{name}", documents.Empty(name), None) for name in documents.EMPTY),
    ]
