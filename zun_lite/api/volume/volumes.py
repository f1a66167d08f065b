# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/volumes: lists, creates, shows, changes and deletes; their actions are actions.py's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency, media
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups, pages, views
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import volumes
from zun_lite.domain.caller import Caller
from zun_lite.volume import volumes as rules
from zun_lite.volume.volumes import NewVolume, Origin, invalid


@falcon.before(negotiate)
class Volumes:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._quotas = services.means.volume_quotas
        self._waker = services.means.waker
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, lambda record, _: views.summary(record, self._public_url))

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        admin, version = req.context.caller.is_admin, since.of(req)

        def show(record: volumes.Volume, names: dict[str, str]) -> dict[str, Any]:
            return views.volume(record, self._public_url, admin=admin, host_names=names, version=version)

        self._list(req, resp, show)

    def on_get_summary(self, req: falcon.Request, resp: falcon.Response) -> None:
        """How many volumes there are, and how large they are together."""
        since.needs(req, since.SUMMARY)
        query = bodies.read_list(req, req.context.caller, self._max_limit, bodies.VOLUME_LISTS)
        with self._db.read() as tx:
            found = volumes.page(tx, self._seen(req.context.caller, query))
        summary: dict[str, Any] = {"total_count": len(found), "total_size": sum(record.size_gib for record in found)}
        if since.of(req) >= since.SUMMARY_METADATA:
            said: dict[str, set[str]] = {}
            for record in found:
                for key, value in record.metadata:
                    said.setdefault(key, set()).add(value)
            summary["metadata"] = {key: sorted(values) for key, values in said.items()}
        media.answer(resp, {"volume-summary": summary})

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        lookups.project_of(caller)
        idempotency.answer_once(
            self._db, req, resp, lambda keep: self._create(req, caller, keep), req.get_header("OpenStack-API-Version")
        )

    def _create(self, req: falcon.Request, caller: Caller, keep: Keep) -> Reply:
        wanted, version = bodies.read_new_volume(req), since.of(req)

        def work(tx: sa.Connection) -> Reply:
            origin = _origin(tx, caller, wanted)
            kind = rules.kind_for_new(tx, origin)
            if wanted.volume_type is not None:
                kind = lookups.volume_type(tx, caller, wanted.volume_type, by_name=True)
                if origin is not None and origin.host is not None and origin.fs_type != kind.fs_type:
                    raise invalid(
                        f"Invalid input received: Invalid volume_type provided: {kind.name} (a copy keeps the file "
                        f"system of what it is made from, which is {origin.fs_type})."
                    )
            new = NewVolume(wanted.size_gib, kind, wanted.name, wanted.description, wanted.metadata, origin)
            uuid = rules.create(tx, self._quotas, lookups.project_of(caller), caller.user_id, new)
            made = lookups.volume(tx, caller, uuid)
            names = lookups.host_names(tx, caller)
            shown = views.volume(made, self._public_url, admin=caller.is_admin, host_names=names, version=version)
            reply = Reply(202, {"volume": shown})
            keep(tx, lambda: reply)
            return reply

        reply = self._db.transact(work)
        self._waker.wake()
        return reply

    def _list(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        show: Callable[[volumes.Volume, dict[str, str]], dict[str, Any]],
    ) -> None:
        caller = req.context.caller
        query = bodies.read_list(req, caller, self._max_limit, bodies.VOLUME_LISTS, since.of(req))
        where = self._seen(caller, query)
        with self._db.read() as tx:
            found = volumes.page(tx, where, query.columns, query.page, query.offset)
            names = lookups.host_names(tx, caller)
            count = pages.count(tx, volumes.volumes, where, volumes.COLUMNS, query)
        media.answer(
            resp, pages.body(req, self._public_url, "volumes", query, found, lambda item: show(item, names), count)
        )

    def _seen(self, caller: Caller, query: bodies.ListQuery) -> list[Any]:
        where = [] if query.all_projects else [volumes.belonging_to(caller.project_id)]
        if query.bootable is not None:
            where.append(volumes.volumes.c.bootable.is_(query.bootable))
        return where + pages.narrowed(query, volumes.volumes, volumes.with_metadata)


@falcon.before(negotiate)
class Volume:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            shown = self._view(tx, req, ident)
        media.answer(resp, {"volume": shown})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        changes = bodies.read_changes(req)
        pairs = changes.pop("metadata", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            uuid = lookups.volume(tx, req.context.caller, ident).uuid
            volumes.update(tx, uuid, changes)
            if pairs is not None:
                volumes.set_metadata(tx, uuid, pairs, replace=True)
            return self._view(tx, req, uuid)

        media.answer(resp, {"volume": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        cascade = bodies.truth("cascade", req.get_param("cascade") or "0")
        force = bodies.truth("force", req.get_param("force") or "0")
        if force:
            lookups.need_admin(caller, "volume:force_delete")

        def work(tx: sa.Connection) -> None:
            rules.delete(tx, lookups.volume(tx, caller, ident), cascade=cascade, force=force)

        self._db.transact(work)
        self._waker.wake()
        resp.status = falcon.HTTP_202

    def _view(self, tx: sa.Connection, req: falcon.Request, ident: str) -> dict[str, Any]:
        caller = req.context.caller
        found, names = lookups.volume(tx, caller, ident), lookups.host_names(tx, caller)
        return views.volume(found, self._public_url, admin=caller.is_admin, host_names=names, version=since.of(req))


def _origin(tx: sa.Connection, caller: Caller, wanted: bodies.CreateBody) -> Origin | None:
    if wanted.snapshot_id is not None:
        return rules.out_of_snapshot(tx, lookups.snapshot(tx, caller, wanted.snapshot_id))
    if wanted.source_volid is not None:
        return rules.out_of_volume(tx, lookups.volume(tx, caller, wanted.source_volid))
    return None
