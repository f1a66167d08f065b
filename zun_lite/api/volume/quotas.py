# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/os-quota-sets and os-quota-class-sets: what a project may have, and has; and the limits that it sees."""

from __future__ import annotations

import re
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups
from zun_lite.db import revisions, volume_quotas
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.volume.quotas import DEFAULT_CLASS, GIGABYTES, MOST, SNAPSHOTS, UNLIMITED, VOLUMES, scope, used

LONGEST_OWNER = 64
_BESIDES = ("tenant_id", "project_id", "id", "force", "class_name")


class Quotas:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.volume_quotas

    def on_get(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _own(req.context.caller, project_id)
        with_usage = bodies.truth("usage", req.get_param("usage") or "0")
        with self._db.read() as tx:
            limits: dict[str, Any] = dict(self._quotas.of_project(tx, project_id))
            if with_usage:
                counts = used(tx, project_id)
                limits = {
                    name: {"limit": most, "in_use": counts.get(name, 0), "reserved": 0} for name, most in limits.items()
                }
        media.answer(resp, {"quota_set": {"id": project_id, **limits}})

    def on_get_defaults(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        _own(req.context.caller, project_id)
        with self._db.read() as tx:
            media.answer(resp, {"quota_set": {"id": project_id, **self._quotas.defaults(tx)}})

    def on_put(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        lookups.need_admin(req.context.caller, "volume_extension:quotas:update")
        _check_owner(project_id)
        body = bodies.read_object(req, "quota_set")

        def work(tx: sa.Connection) -> dict[str, int]:
            revisions.raise_one(tx, scope(project_id))
            limits = _read(body, self._quotas.defaults(tx))
            volume_quotas.set_for_owner(tx, volume_quotas.project(project_id), limits)
            return self._quotas.of_project(tx, project_id)

        media.answer(resp, {"quota_set": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, project_id: str) -> None:
        """The project has the defaults again."""
        lookups.need_admin(req.context.caller, "volume_extension:quotas:delete")
        self._db.transact(lambda tx: volume_quotas.reset_project(tx, project_id))
        resp.status = falcon.HTTP_200

    def on_get_class(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        lookups.need_admin(req.context.caller, "volume_extension:quota_classes")
        with self._db.read() as tx:
            media.answer(resp, {"quota_class_set": {"id": name, **self._of_class(tx, name)}})

    def on_put_class(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        lookups.need_admin(req.context.caller, "volume_extension:quota_classes")
        _check_owner(name)
        body = bodies.read_object(req, "quota_class_set")

        def work(tx: sa.Connection) -> dict[str, int]:
            limits = _read(body, self._quotas.defaults(tx))
            volume_quotas.set_for_owner(tx, volume_quotas.quota_class(name), limits)
            return self._of_class(tx, name)

        media.answer(resp, {"quota_class_set": self._db.transact(work)})

    def on_get_limits(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Of the caller's project, or of another one for administrators."""
        caller = req.context.caller
        project_id = (caller.is_admin and req.get_param("project_id")) or caller.project_id or ""
        with self._db.read() as tx:
            limits, counts = self._quotas.of_project(tx, project_id), used(tx, project_id)
        absolute = {
            "maxTotalVolumes": limits[VOLUMES],
            "maxTotalVolumeGigabytes": limits[GIGABYTES],
            "maxTotalSnapshots": limits[SNAPSHOTS],
            "maxTotalBackups": limits["backups"],
            "maxTotalBackupGigabytes": limits["backup_gigabytes"],
            "totalVolumesUsed": counts[VOLUMES],
            "totalGigabytesUsed": counts[GIGABYTES],
            "totalSnapshotsUsed": counts[SNAPSHOTS],
            "totalBackupsUsed": 0,
            "totalBackupGigabytesUsed": 0,
        }
        media.answer(resp, {"limits": {"rate": [], "absolute": absolute}})

    def _of_class(self, tx: sa.Connection, name: str) -> dict[str, int]:
        limits = self._quotas.defaults(tx)
        if name == DEFAULT_CLASS:
            return limits
        own = volume_quotas.of_owner(tx, volume_quotas.quota_class(name))
        return {resource: own.get(resource, most) for resource, most in limits.items()}


def _read(body: dict[str, Any], known: dict[str, int]) -> dict[str, int]:
    """Limits by resource; null is not said."""
    limits = {}
    for name, value in body.items():
        if name in _BESIDES or value is None:
            continue
        if name not in known:
            raise bodies.bad_request(f"Bad key(s) in quota set: {name[:80]}")
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not UNLIMITED <= value <= MOST:
            raise bodies.bad_request(
                f"Invalid input for field/attribute {name}. Value: {str(value)[:40]}. It must be a number from "
                f"{UNLIMITED} to {MOST}."
            )
        limits[name] = value
    return limits


def _check_owner(name: str) -> None:
    if len(name) > LONGEST_OWNER:
        raise bodies.bad_request(f"Invalid input received: the id has more than {LONGEST_OWNER} characters.")


def _own(caller: Caller, project_id: str) -> None:
    if project_id != caller.project_id and not caller.is_admin:
        raise errors.Forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.", kind="forbidden")
