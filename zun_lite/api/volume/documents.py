# SPDX-License-Identifier: Apache-2.0
"""What clients of /volume ask before and besides: versions, types, limits, zones, services, quotas."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, views
from zun_lite.api.volume.microversions import MAXIMUM, MINIMUM
from zun_lite.db import hosts, volumes
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.volume.embedded import LOCAL

PREFIX = "/volume/v3"
UPDATED = "2026-01-01T00:00:00Z"
UNLIMITED = -1
QUOTAS = (
    "volumes", "gigabytes", "per_volume_gigabytes", "snapshots", "backups", "backup_gigabytes", "groups",
    f"volumes_{LOCAL}", f"gigabytes_{LOCAL}", f"snapshots_{LOCAL}",
)  # fmt: skip

# Collections that clients look into although nothing of them is served here: path, key.
EMPTY = (
    ("extensions", "extensions"),
    ("snapshots", "snapshots"),
    ("snapshots/detail", "snapshots"),
    ("backups", "backups"),
    ("backups/detail", "backups"),
    ("qos-specs", "qos_specs"),
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


class Types:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"volume_types": [views.volume_type()]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        if ident not in ("default", views.TYPE_ID):
            raise errors.NotFound(f"Volume type {ident} could not be found.", kind="itemNotFound")
        media.answer(resp, {"volume_type": views.volume_type()})


class Empty:
    """A collection of which nothing is served: it lists as empty."""

    def __init__(self, key: str) -> None:
        self._body: dict[str, Any] = {key: []}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, self._body)


class Besides:
    """Limits, zones, services and quotas. Nothing is limited yet, and that is what is said: -1."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get_limits(self, req: falcon.Request, resp: falcon.Response) -> None:
        count, gigabytes = self._usage(req.context.caller.project_id)
        absolute = {
            "maxTotalVolumes": UNLIMITED,
            "maxTotalVolumeGigabytes": UNLIMITED,
            "maxTotalSnapshots": UNLIMITED,
            "maxTotalBackups": UNLIMITED,
            "maxTotalBackupGigabytes": UNLIMITED,
            "totalVolumesUsed": count,
            "totalGigabytesUsed": gigabytes,
            "totalSnapshotsUsed": 0,
            "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }
        media.answer(resp, {"limits": {"rate": [], "absolute": absolute}})

    def on_get_zones(self, req: falcon.Request, resp: falcon.Response) -> None:
        media.answer(resp, {"availabilityZoneInfo": [{"zoneName": bodies.ZONE, "zoneState": {"available": True}}]})

    def on_get_services(self, req: falcon.Request, resp: falcon.Response) -> None:
        if not req.context.caller.is_admin:
            raise errors.Forbidden("Policy doesn't allow volume_extension:services:index to be performed.")
        with self._db.read() as tx:
            known = hosts.every(tx)
        media.answer(resp, {"services": [_service(host) for host in known]})

    def on_get_quotas(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _check_own(req.context.caller, project_id)
        limits: dict[str, Any] = dict.fromkeys(QUOTAS, UNLIMITED)
        if (req.get_param("usage") or "").lower() in ("true", "1"):
            count, gigabytes = self._usage(project_id)
            used = {f"volumes{end}": count for end in ("", f"_{LOCAL}")}
            used |= {f"gigabytes{end}": gigabytes for end in ("", f"_{LOCAL}")}
            limits = {name: {"limit": UNLIMITED, "in_use": used.get(name, 0), "reserved": 0} for name in QUOTAS}
        media.answer(resp, {"quota_set": {"id": project_id, **limits}})

    def on_get_default_quotas(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        media.answer(resp, {"quota_set": {"id": project_id, **dict.fromkeys(QUOTAS, UNLIMITED)}})

    def on_get_quota_class(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        media.answer(resp, {"quota_class_set": {"id": name, **dict.fromkeys(QUOTAS, UNLIMITED)}})

    def _usage(self, project_id: str | None) -> tuple[int, int]:
        with self._db.read() as tx:
            return volumes.usage(tx, project_id or "")


def _check_own(caller: Caller, project_id: str) -> None:
    if project_id != caller.project_id and not caller.is_admin:
        raise errors.Forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")


def _service(host: hosts.Host) -> dict[str, Any]:
    return {
        "binary": "cinder-volume",
        "host": f"{host.name}@{LOCAL}",
        "zone": host.availability_zone,
        "status": "disabled" if host.disabled else "enabled",
        "state": "up" if host.state == hosts.READY else "down",
        "updated_at": views.moment(host.seen_at),
        "disabled_reason": host.disabled_reason,
    }
