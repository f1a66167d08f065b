# SPDX-License-Identifier: Apache-2.0
"""What clients of /volume ask before and besides: versions, zones, services, pools, filters, and what is empty."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups, views
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.microversions import MAXIMUM, MINIMUM, negotiate
from zun_lite.db import hosts
from zun_lite.db.volume_types import LOCAL

PREFIX = "/volume/v3"
UPDATED = "2026-01-01T00:00:00Z"

# Collections that clients look into although nothing of them is served here: path, key.
EMPTY = (
    ("backups", "backups"),
    ("backups/detail", "backups"),
    ("qos-specs", "qos_specs"),
    ("os-volume-transfer", "transfers"),
    ("os-volume-transfer/detail", "transfers"),
    ("volume-transfers", "transfers"),
    ("volume-transfers/detail", "transfers"),
    ("groups", "groups"),
    ("groups/detail", "groups"),
    ("group_snapshots/detail", "group_snapshots"),
    ("group_types", "group_types"),
    ("consistencygroups/detail", "consistencygroups"),
    ("cgsnapshots/detail", "cgsnapshots"),
)
# What of Cinder's extensions is here: alias, name.
EXTENSIONS = (
    ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes"),
    ("os-availability-zone", "AvailabilityZones"),
    ("os-quota-sets", "Quotas"),
    ("os-quota-class-sets", "QuotaClasses"),
    ("os-services", "Services"),
    ("os-types-manage", "TypesManage"),
    ("os-types-extra-specs", "TypesExtraSpecs"),
    ("os-volume-type-access", "VolumeTypeAccess"),
    ("os-volume-actions", "VolumeActions"),
    ("os-admin-actions", "AdminActions"),
    ("os-vol-host-attr", "VolumeHostAttribute"),
    ("os-vol-tenant-attr", "VolumeTenantAttribute"),
    ("os-used-limits", "UsedLimits"),
    ("scheduler-stats", "Scheduler_stats"),
)


class Versions:
    def __init__(self, services: Services) -> None:
        self._url = f"{services.public_url}{PREFIX}/"

    def on_get_root(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body(), 300)

    def on_get_v3(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body())

    def _body(self) -> dict[str, Any]:
        version = {
            "id": "v3.0",
            "status": "CURRENT",
            "version": MAXIMUM,
            "min_version": MINIMUM,
            "updated": UPDATED,
            "links": [{"rel": "self", "href": self._url}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}],
        }
        return {"versions": [version]}


class Empty:
    """A collection of which nothing is served: it lists as empty."""

    def __init__(self, key: str) -> None:
        self._body: dict[str, Any] = {key: []}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body)


class Extensions:
    """By alias, or by the name, which clients ask for, too."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"extensions": [_extension(*item) for item in EXTENSIONS]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        for item in EXTENSIONS:
            if ident in item:
                media.answer(resp, {"extension": _extension(*item)})
                return
        raise lookups.not_found(f"There is no extension {ident}.")


@falcon.before(negotiate)
class Besides:
    """Zones, hosts as services and as pools, and what lists can be filtered by."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get_zones(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"availabilityZoneInfo": [{"zoneName": bodies.ZONE, "zoneState": {"available": True}}]})

    def on_get_services(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Filtered by host and binary."""
        lookups.need_admin(req.context.caller, "volume_extension:services:index")
        host, binary = req.get_param("host"), req.get_param("binary")
        with self._db.read() as tx:
            known = hosts.every(tx)
        found = [_service(item, since.of(req)) for item in known]
        shown = [
            item
            for item in found
            if host in (None, "", item["host"], item["host"].partition("@")[0]) and binary in (None, "", item["binary"])
        ]
        media.answer(resp, {"services": shown})

    def on_get_pools(self, req: falcon.Request, resp: falcon.Response) -> None:
        lookups.need_admin(req.context.caller, "scheduler_extension:scheduler_stats:get_pools")
        detail = bodies.truth("detail", req.get_param("detail") or "0")
        with self._db.read() as tx:
            known = hosts.every(tx)
        media.answer(resp, {"pools": [_pool(host, detail=detail) for host in known]})

    def on_get_filters(self, req: falcon.Request, resp: falcon.Response) -> None:
        known = {
            "volume": bodies.VOLUME_LISTS,
            "snapshot": bodies.SNAPSHOT_LISTS,
            "attachment": bodies.ATTACHMENT_LISTS,
        }
        asked = req.get_param("resource")
        shown = [
            {"resource": name, "filters": sorted(lists.columns)}
            for name, lists in known.items()
            if asked in (None, "", name)
        ]
        media.answer(resp, {"resource_filters": shown})


def _extension(alias: str, name: str) -> dict[str, Any]:
    return {"alias": alias, "name": name, "description": name, "updated": UPDATED, "links": []}


def _service(host: hosts.Host, version: since.Version) -> dict[str, Any]:
    shown = {
        "binary": "cinder-volume",
        "host": f"{host.name}@{LOCAL}",
        "zone": host.availability_zone,
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if host.state == hosts.READY else "down",
        "updated_at": views.moment(host.seen_at),
        "disabled_reason": host.disabled_reason,
    }
    if version >= since.CLUSTER:
        shown["cluster"] = None
    if version >= since.BACKEND_STATE:
        shown["backend_state"] = shown["state"]
    return shown


def _pool(host: hosts.Host, *, detail: bool) -> dict[str, Any]:
    pool: dict[str, Any] = {"name": f"{host.name}@{LOCAL}#{LOCAL}"}
    if detail:
        inventory = host.inventory
        pool["capabilities"] = {
            "volume_backend_name": LOCAL,
            "driver_version": "1.0",
            "storage_protocol": "local",
            "vendor_name": "zun_lite",
            "pool_name": LOCAL,
            "total_capacity_gb": inventory.capacity.disk_gib if inventory else 0,
            "free_capacity_gb": inventory.pool_free_gib if inventory else 0,
            "reserved_percentage": 0,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "multiattach": True,
            "QoS_support": False,
            "backend_state": "up" if host.state == hosts.READY else "down",
            "timestamp": views.moment(host.seen_at),
        }
    return pool
