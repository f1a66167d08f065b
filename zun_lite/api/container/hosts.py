# SPDX-License-Identifier: Apache-2.0
"""/v1/hosts and /v1/availability_zones: what the cloud is made of."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import policy, versions
from zun_lite.api.container import paging, parameters
from zun_lite.api.media import answer
from zun_lite.api.services import Services
from zun_lite.control import hosts
from zun_lite.control.hosts import HostReport

SORT_KEYS = (
    *("hostname", "uuid", "mem_total", "mem_used", "cpus", "cpu_used", "disk_total", "disk_used"),
    *("total_containers", "architecture", "os_type", "os", "kernel_version"),
)
SINCE = 4


class Hosts:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        versions.serve(req.context.minor, "The list of hosts", since=SINCE)
        policy.enforce(req.context.caller, "host:get_all")
        asked = paging.read(parameters.of_query(req), SORT_KEYS, usual="hostname", most=self._most)
        page = paging.cut([view(report) for report in hosts.every(self._means)], asked, tie="uuid")
        following = paging.following(f"{self._public_url}/v1/hosts", asked, [item["uuid"] for item in page])
        answer(resp, {"hosts": [{**item, "links": self._links(item["uuid"])} for item in page], "next": following})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        versions.serve(req.context.minor, "A host", since=SINCE)
        policy.enforce(req.context.caller, "host:get")
        shown = view(hosts.find(self._means, ident))
        answer(resp, {**shown, "links": self._links(shown["uuid"])})

    def _links(self, uuid: str) -> list[dict[str, str]]:
        return [
            {"rel": "self", "href": f"{self._public_url}/v1/hosts/{uuid}"},
            {"rel": "bookmark", "href": f"{self._public_url}/hosts/{uuid}"},
        ]


class AvailabilityZones:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, key = req.context.caller, "availability_zone"
        policy.enforce(caller, "availability_zones:get_all", caller.project_id)
        asked = paging.read(parameters.of_query(req), (key,), usual=key, most=self._most)
        page = paging.cut([{key: zone} for zone in hosts.zones(self._means)], asked, tie=key)
        marks = [item[key] for item in page]
        following = paging.following(f"{self._public_url}/v1/availability_zones", asked, marks)
        answer(resp, {"availability_zones": page, "next": following})


def view(report: HostReport) -> dict[str, Any]:
    """One that has not said yet what it has is shown with nothing."""
    host, inventory, used = report.host, report.host.inventory, report.used
    capacity = inventory.capacity if inventory else None
    return {
        "uuid": host.uuid,
        "hostname": host.name,
        "mem_total": capacity.memory_mib if capacity else 0,
        "mem_used": used.memory_mib,
        "cpus": int(capacity.cpus) if capacity else 0,
        "cpu_used": round(used.cpus, 3),
        "total_containers": report.containers,
        "disk_total": capacity.disk_gib if capacity else 0,
        "disk_used": used.disk_gib,
        "disk_quota_supported": False,
        "architecture": inventory.architecture if inventory else None,
        "os_type": inventory.os_type if inventory else None,
        "os": inventory.os if inventory else None,
        "kernel_version": inventory.kernel_version if inventory else None,
        "labels": dict(_pair(label) for label in inventory.labels) if inventory else {},
        "runtimes": list(inventory.runtimes) if inventory else [],
        "enable_cpu_pinning": True,
    }


def _pair(label: str) -> tuple[str, str]:
    name, _, value = label.partition("=")
    return name, value
