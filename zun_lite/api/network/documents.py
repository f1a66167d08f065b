# SPDX-License-Identifier: Apache-2.0
"""What clients of /network ask before and besides: versions, extensions, quotas, and collections that are empty."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.db import networks, ports, subnets
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

PREFIX = "/network/v2.0"
COLLECTIONS = ("networks", "subnets", "ports", "security-groups", "security-group-rules")

# Collections that clients look into although nothing of them is served here.
EMPTY = (
    "address-scopes", "agents", "availability_zones", "floatingips", "network-ip-availabilities", "quotas",
    "rbac-policies", "routers", "service-providers", "subnetpools", "trunks",
)  # fmt: skip

# Only what is served: some clients change the shape of their requests for what they find here.
EXTENSIONS = {
    "binding": ("Port Binding", "Expose port bindings of a virtual port to external application"),
    "empty-string-filtering": ("Empty String Filtering Extension", "Allow filtering by attributes with empty string"),
    "external-net": ("Neutron external network", "Adds external network attribute to network resource."),
    "net-mtu": ("Network MTU", "Provides MTU attribute for a network resource."),
    "pagination": ("Pagination support", "Extension that indicates that pagination is enabled."),
    "project-id": ("project_id field enabled", "Extension that indicates that project_id field is enabled."),
    "provider": ("Provider Network", "Expose mapping of virtual networks to physical networks"),
    "sorting": ("Sorting support", "Extension that indicates that sorting is enabled."),
    "standard-attr-description": ("standard-attr-description", "Extension to add descriptions to standard attributes"),
    "standard-attr-revisions": ("Resource revision numbers", "The revision number of each resource."),
    "standard-attr-timestamp": ("Resource timestamps", "Adds created_at and updated_at to all resources."),
}
UPDATED = "2026-01-01T00:00:00-00:00"

QUOTAS = (
    "network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule", "subnetpool",
    "rbac_policy",
)  # fmt: skip
UNLIMITED = -1


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
    """A collection of which nothing is served: it lists as empty."""

    def __init__(self, name: str) -> None:
        self._body: dict[str, Any] = {name.replace("-", "_"): []}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body)


class Quotas:
    """Nothing is limited yet, and that is what is said: -1."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _own(req.context.caller, project_id)
        media.answer(resp, {"quota": dict.fromkeys(QUOTAS, UNLIMITED)})

    def on_get_details(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        project_id = _own(req.context.caller, project_id)
        with self._db.read() as tx:
            used = {
                "network": networks.count(tx, project_id),
                "subnet": subnets.count(tx, project_id),
                "port": ports.count(tx, project_id),
            }
        details = {name: {"limit": UNLIMITED, "used": used.get(name, 0), "reserved": 0} for name in QUOTAS}
        media.answer(resp, {"quota": details})


def _own(caller: Caller, project_id: str) -> str:
    project_id = project_id.removesuffix(".json")
    if project_id != caller.project_id and not caller.is_admin:
        raise errors.Forbidden("The quota of another project is for administrators.", kind="PolicyNotAuthorized")
    return project_id


def _extension(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": UPDATED, "links": []}
