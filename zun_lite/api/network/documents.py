# SPDX-License-Identifier: Apache-2.0
"""What clients of /network ask before and besides: versions, extensions, and collections that are empty."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.domain import errors

PREFIX = "/network/v2.0"
COLLECTIONS = (
    "networks", "subnets", "subnetpools", "ports", "security-groups", "security-group-rules", "routers", "floatingips",
)  # fmt: skip

# Collections that clients look into although nothing of them is served here.
EMPTY = (
    "address-scopes", "network-ip-availabilities", "rbac-policies", "service-providers", "trunks",
)  # fmt: skip

# Only what is served: some clients change the shape of their requests for what they find here.
EXTENSIONS = {
    "agent": ("agent", "The agent management extension."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Provides allowed address pairs"),
    "availability_zone": ("Availability Zone", "The availability zone extension."),
    "binding": ("Port Binding", "Expose port bindings of a virtual port to external application"),
    "default-subnetpools": ("Default Subnetpools", "Provides ability to mark and use a subnetpool as the default."),
    "empty-string-filtering": ("Empty String Filtering Extension", "Allow filtering by attributes with empty string"),
    "ext-gw-mode": (
        "Neutron L3 Configurable external gateway mode",
        "Enable SNAT or not on a router gateway",
    ),
    "external-net": ("Neutron external network", "Adds external network attribute to network resource."),
    "extraroute": ("Neutron Extra Route", "Extra routes configuration for L3 router"),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Edit extra routes of a router one at a time."),
    "ip-substring-filtering": ("IP address substring filtering", "Provides IP address substring filtering of ports"),
    "net-mtu": ("Network MTU", "Provides MTU attribute for a network resource."),
    "network_availability_zone": ("Network Availability Zone", "Availability zone support for network."),
    "pagination": ("Pagination support", "Extension that indicates that pagination is enabled."),
    "port-security": ("Port Security", "Provides port security"),
    "project-id": ("project_id field enabled", "Extension that indicates that project_id field is enabled."),
    "provider": ("Provider Network", "Expose mapping of virtual networks to physical networks"),
    "qos": ("Quality of Service", "Limits of bandwidth by policies of ports and networks."),
    "qos-bw-limit-direction": (
        "Direction for QoS bandwidth limit rule",
        "A limit is of what is sent or of what comes.",
    ),
    "qos-default": ("QoS default policy", "Expose the QoS default policy per project"),
    "qos-rule-type-details": ("Details of QoS rule types", "Expose details about QoS rule types."),
    "quota_details": ("Quota details management support", "Expose functions for quotas usage statistics per project"),
    "quotas": ("Quota management support", "Expose functions for quotas management per project"),
    "router": ("Neutron L3 Router", "Routers, their interfaces and gateways, and floating IPs."),
    "security-group": ("security-group", "The security groups extension."),
    "sorting": ("Sorting support", "Extension that indicates that sorting is enabled."),
    "standard-attr-description": ("standard-attr-description", "Extension to add descriptions to standard attributes"),
    "standard-attr-revisions": ("Resource revision numbers", "The revision number of each resource."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Enables to set tag on resources."),
    "standard-attr-timestamp": ("Resource timestamps", "Adds created_at and updated_at to all resources."),
    "subnet_allocation": ("Subnet Allocation", "Enables allocation of subnets from a subnet pool"),
}
UPDATED = "2026-01-01T00:00:00-00:00"


class Documents:
    """The version documents."""

    def __init__(self, services: Services) -> None:
        self._url = f"{services.public_url}{PREFIX}"

    def on_get_root(self, req: falcon.Request, resp: falcon.Response) -> None:
        version = {
            "id": "v2.0",
            "status": "CURRENT",
            "updated": UPDATED,
            "links": [{"rel": "self", "href": f"{self._url}/"}],
        }
        media.answer(resp, {"versions": [version]})

    def on_get_v2(self, req: falcon.Request, resp: falcon.Response) -> None:
        resources = [
            {
                "name": name.replace("-", "_").removesuffix("s"),
                "collection": name.replace("-", "_"),
                "links": [{"rel": "self", "href": f"{self._url}/{name}"}],
            }
            for name in COLLECTIONS
        ]
        media.answer(resp, {"resources": resources})


class Extensions:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"extensions": [_extension(alias) for alias in sorted(EXTENSIONS)]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        if alias not in EXTENSIONS:
            raise errors.NotFound(f"Extension with alias {alias} does not exist", kind="ExtensionNotFound")
        media.answer(resp, {"extension": _extension(alias)})


class Empty:
    """A collection of which nothing is served: it lists as empty, and nothing can be put into it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._body: dict[str, Any] = {name.replace("-", "_"): []}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise errors.NotFound(f"This server has no {self._name}, so none can be made.", kind="HTTPNotFound")


def _extension(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": UPDATED, "links": []}
