# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/messages, from microversion 3.3 on: why the latest order about a volume or a snapshot failed.

A message is what the host said, kept with the volume or snapshot, whose id it bears; it goes with the next
order, with what it is about, or when it is deleted. What names a path of the host's is for administrators.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import lookups, pages, views
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import volume_snapshots, volumes
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

KEPT = datetime.timedelta(days=30)
VOLUME, SNAPSHOT = "VOLUME", "VOLUME_SNAPSHOT"
UNTOLD = "The host could not do it; its administrator can see why."
_PATH = re.compile(r"(?:^|[\s'\"(])/\w")

Failed = volumes.Volume | volume_snapshots.Snapshot


@falcon.before(negotiate)
class Messages:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The newest first, after a marker; filtered by resource_uuid, resource_type and message_level.

        project_id: another project's, for administrators.
        """
        since.needs(req, since.MESSAGES)
        caller = req.context.caller
        project_id = (caller.is_admin and req.get_param("project_id")) or caller.project_id
        with self._db.read() as tx:
            found = [self._view(item, caller) for item in _failed(tx, project_id)]
        for key in ("resource_uuid", "resource_type", "message_level"):
            asked = req.get_param(key)
            found = [item for item in found if asked in (None, "", item[key])]
        found.sort(key=lambda item: item["created_at"], reverse=True)
        media.answer(resp, {"messages": pages.cut(req, found)})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        since.needs(req, since.MESSAGES)
        with self._db.read() as tx:
            media.answer(resp, {"message": self._view(_find(tx, req.context.caller, ident), req.context.caller)})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        since.needs(req, since.MESSAGES)
        caller = req.context.caller

        def work(tx: sa.Connection) -> None:
            found = _find(tx, caller, ident)
            table = volumes if isinstance(found, volumes.Volume) else volume_snapshots
            table.update(tx, found.uuid, {"problem": None})

        self._db.transact(work)
        resp.status = falcon.HTTP_204

    def _view(self, found: Failed, caller: Caller) -> dict[str, Any]:
        kind, number = (VOLUME, "001") if isinstance(found, volumes.Volume) else (SNAPSHOT, "002")
        said_at = found.updated_at or found.created_at
        return {
            "id": found.uuid,
            "event_id": f"VOLUME_{kind}_001_{number}",
            "user_message": told(found.problem or "", caller),
            "message_level": "ERROR",
            "resource_type": kind,
            "resource_uuid": found.uuid,
            "request_id": f"req-{found.uuid}",
            "created_at": views.moment(said_at),
            "guaranteed_until": views.moment(said_at + KEPT),
            "links": [{"rel": "self", "href": f"{self._public_url}/volume/v3/messages/{found.uuid}"}],
        }


def told(problem: str, caller: Caller) -> str:
    """What the caller may know of it."""
    return UNTOLD if not caller.is_admin and _PATH.search(problem) else problem


def _failed(tx: sa.Connection, project_id: str | None) -> list[Failed]:
    of_volumes = [volumes.belonging_to(project_id), volumes.volumes.c.problem.is_not(None)]
    table = volume_snapshots.volume_snapshots
    of_snapshots = [volume_snapshots.belonging_to(project_id), table.c.problem.is_not(None)]
    return [*volumes.page(tx, of_volumes), *volume_snapshots.page(tx, of_snapshots)]


def _find(tx: sa.Connection, caller: Caller, ident: str) -> Failed:
    uuid = as_id(ident)
    for table in (volumes, volume_snapshots) if uuid else ():
        found: Failed | None = table.get(tx, uuid, *lookups.seen(caller, table.belonging_to))
        if found is not None and found.problem:
            return found
    raise lookups.not_found(f"Message {ident} could not be found.")
