# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/snapshots; the metadata of each is metadata.py's."""

from __future__ import annotations

from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups, pages, views
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.actions import read_action
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import volume_snapshots
from zun_lite.domain.caller import Caller
from zun_lite.volume import snapshots as rules
from zun_lite.volume import volumes as volume_rules

# error_deleting is none of them: the host goes on removing the data of such a snapshot.
SETTABLE = (volume_snapshots.AVAILABLE, volume_snapshots.ERROR)


@falcon.before(negotiate)
class Snapshots:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.volume_quotas
        self._waker = services.means.waker
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, detail=False)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, detail=True)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, version = req.context.caller, since.of(req)
        lookups.project_of(caller)
        body = {key: value for key, value in bodies.read_object(req, "snapshot").items() if value is not None}
        bodies.refuse_unknown(body, frozenset(("volume_id", "name", "description", "metadata", "force")))
        if not body.get("volume_id"):
            raise bodies.bad_request("Invalid input for field/attribute snapshot. 'volume_id' is a required property")
        ident = bodies.text("volume_id", body["volume_id"])
        name = bodies.text("name", body.get("name", ""))
        description = bodies.text("description", body["description"]) if "description" in body else None
        metadata = bodies.metadata("metadata", body.get("metadata", {}))
        force = bodies.truth("force", body.get("force", False))

        def work(tx: sa.Connection) -> dict[str, Any]:
            uuid = rules.create(
                tx,
                self._quotas,
                lookups.volume(tx, caller, ident),
                caller.user_id,
                name=name,
                description=description,
                metadata=metadata,
                force=force,
            )
            return views.snapshot(lookups.snapshot(tx, caller, uuid), version=version, detail=False)

        media.answer(resp, {"snapshot": self._db.transact(work)}, 202)
        self._waker.wake()

    def _list(self, req: falcon.Request, resp: falcon.Response, *, detail: bool) -> None:
        caller, version, table = req.context.caller, since.of(req), volume_snapshots.volume_snapshots
        query = bodies.read_list(req, caller, self._max_limit, bodies.SNAPSHOT_LISTS, version)
        where: list[Any] = [] if query.all_projects else [volume_snapshots.belonging_to(caller.project_id)]
        where += pages.narrowed(query, table, volume_snapshots.with_metadata)
        with self._db.read() as tx:
            found = volume_snapshots.page(tx, where, query.columns, query.page, query.offset)
            count = pages.count(tx, table, where, volume_snapshots.COLUMNS, query)

        def show(record: volume_snapshots.Snapshot) -> dict[str, Any]:
            return views.snapshot(record, version=version, detail=detail)

        media.answer(resp, pages.body(req, self._public_url, "snapshots", query, found, show, count))


@falcon.before(negotiate)
class Snapshot:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker
        self._acts = {"os-reset_status": _reset_status, "os-force_delete": _force_delete}

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = lookups.snapshot(tx, req.context.caller, ident)
        media.answer(resp, {"snapshot": views.snapshot(found, version=since.of(req))})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller, version = req.context.caller, since.of(req)
        changes = bodies.read_changes(req, "snapshot")
        pairs = changes.pop("metadata", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            uuid = lookups.snapshot(tx, caller, ident).uuid
            volume_snapshots.update(tx, uuid, changes)
            if pairs is not None:
                volume_snapshots.set_metadata(tx, uuid, pairs, replace=True)
            return views.snapshot(lookups.snapshot(tx, caller, uuid), version=version, detail=False)

        media.answer(resp, {"snapshot": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: volume_rules.delete_snapshot(tx, lookups.snapshot(tx, caller, ident)))
        self._waker.wake()
        resp.status = falcon.HTTP_202

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        name, given = read_action(req, self._acts)
        self._db.transact(lambda tx: self._acts[name](tx, caller, lookups.snapshot(tx, caller, ident), given))
        self._waker.wake()
        resp.status = falcon.HTTP_202


def _reset_status(
    tx: sa.Connection, caller: Caller, snapshot: volume_snapshots.Snapshot, given: dict[str, Any]
) -> None:
    lookups.need_admin(caller, "volume_extension:snapshot_admin_actions:reset_status")
    if given.get("status") not in SETTABLE:
        raise bodies.not_settable(SETTABLE)
    changes = {"status": given["status"], "attempt": snapshot.attempt + 1, "problem": None}
    volume_snapshots.update(tx, snapshot.uuid, changes)


def _force_delete(
    tx: sa.Connection, caller: Caller, snapshot: volume_snapshots.Snapshot, given: dict[str, Any]
) -> None:
    lookups.need_admin(caller, "volume_extension:snapshot_admin_actions:force_delete")
    volume_rules.delete_snapshot(tx, snapshot, force=True)
