# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/network_list, network_attach, network_detach, and the two of security groups."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import versions
from zun_lite.api.container import lookups, nets, parameters
from zun_lite.api.container.containers import find
from zun_lite.api.container.nets import WantedNet
from zun_lite.api.media import answer
from zun_lite.control import networks
from zun_lite.control.means import Means
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.domain.wiring import Address, Endpoint

LISTED_SINCE, GROUPED_SINCE = 13, 18
ATTACH_SINCE, DETACH_SINCE, GROUPS_UNTIL = 8, 6, 14


class Connections:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get_network_list(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "network_list", since=LISTED_SINCE)
        workload = find(self._means, req.context.caller, ident, "network_list", {})
        show = _by_port if req.context.minor >= GROUPED_SINCE else _by_address
        answer(resp, {"networks": [item for endpoint in workload.wiring.endpoints for item in show(endpoint)]})

    def on_post_network_attach(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "network_attach", since=ATTACH_SINCE)
        wanted = nets.read_attach(parameters.of_both(req))
        workload, owner = self._find(req, ident, "network_attach")
        network = lookups.network(self._means, owner, wanted)
        networks.attach(self._means, req.context.caller, workload, network)
        answer(resp, None)

    def on_post_network_detach(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "network_detach", since=DETACH_SINCE)
        wanted = nets.read_detach(parameters.of_both(req))
        workload, owner = self._find(req, ident, "network_detach")
        network_id = _attached(workload, wanted) or self._network_of(owner, wanted)
        networks.detach(self._means, req.context.caller, workload, network_id)
        answer(resp, None, 202)

    def on_post_add_security_group(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload, group_id = self._group(req, ident, "add_security_group")
        networks.add_group(self._means, req.context.caller, workload, group_id)
        answer(resp, None, 202)

    def on_post_remove_security_group(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload, group_id = self._group(req, ident, "remove_security_group")
        networks.remove_group(self._means, req.context.caller, workload, group_id)
        answer(resp, None, 202)

    def _network_of(self, owner: Caller, wanted: WantedNet) -> str:
        if wanted.port is not None:
            return self._means.networks.find_port(owner, wanted.port)[1]
        return self._means.networks.resolve(owner, wanted.network or "")

    def _find(self, req: falcon.Request, ident: str, verb: str) -> tuple[Workload, Caller]:
        workload = find(self._means, req.context.caller, ident, verb, {})
        return workload, networks.owner_of(req.context.caller, workload)

    def _group(self, req: falcon.Request, ident: str, verb: str) -> tuple[Workload, str]:
        versions.serve(req.context.minor, verb, until=GROUPS_UNTIL)
        name = parameters.text(parameters.of_both(req), "name")
        if not name or len(name) > 255:
            raise errors.Invalid("name must be a security group's id or name, of 1 to 255 characters.")
        workload, owner = self._find(req, ident, verb)
        return workload, lookups.group(self._means, owner, name)


def _attached(workload: Workload, wanted: WantedNet) -> str | None:
    """The id of the attached network that is named by its id or a port's; its owner may have hidden it meanwhile."""
    ident = as_id(wanted.port or wanted.network or "")
    for endpoint in workload.wiring.endpoints:
        if ident == (endpoint.network_id if wanted.port is None else endpoint.port_id):
            return endpoint.network_id
    return None


def _by_port(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "net_id": endpoint.network_id,
            "port_id": endpoint.port_id,
            "fixed_ips": [_address(address) for address in endpoint.addresses],
        }
    ]


def _by_address(endpoint: Endpoint) -> list[dict[str, Any]]:
    ids = {"net_id": endpoint.network_id, "port_id": endpoint.port_id}
    return [{**ids, **_address(address)} for address in endpoint.addresses]


def _address(address: Address) -> dict[str, Any]:
    return {
        "subnet_id": address.subnet_id,
        "version": 6 if ":" in address.ip else 4,
        "ip_address": address.ip,
    }
