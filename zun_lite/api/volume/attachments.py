# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/attachments, from microversion 3.27 on: what clients and containers have of volumes."""

from __future__ import annotations

from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, connections, lookups, pages, views
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import volume_attachments
from zun_lite.domain.caller import Caller
from zun_lite.volume import attachments as rules

_MOST_BYTES_OF_CONNECTOR = 4096


@falcon.before(negotiate)
class Attachments:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, detail=False)

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, detail=True)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        since.needs(req, since.ATTACHMENTS)
        caller = req.context.caller
        lookups.project_of(caller)
        body = {key: value for key, value in bodies.read_object(req, "attachment").items() if value is not None}
        bodies.refuse_unknown(body, frozenset(("volume_uuid", "instance_uuid", "connector", "mode")))
        if not body.get("volume_uuid"):
            raise bodies.bad_request("Invalid input for field/attribute attachment. 'volume_uuid' is missing.")
        ident = bodies.text("volume_uuid", body["volume_uuid"])
        instance = bodies.text("instance_uuid", body["instance_uuid"]) if body.get("instance_uuid") else None
        connector = read_connector(body.get("connector") or {})

        def work(tx: sa.Connection) -> dict[str, Any]:
            volume = lookups.volume(tx, caller, ident)
            uuid = rules.reserve(
                tx, volume, instance=instance, read_only=connector.get("mode") == "ro" or body.get("mode") == "ro"
            )
            if connector:
                rules.set_connector(tx, lookups.attachment(tx, caller, uuid), connector)
            return show(tx, caller, uuid)

        media.answer(resp, {"attachment": self._db.transact(work)})
        self._waker.wake()

    def _list(self, req: falcon.Request, resp: falcon.Response, *, detail: bool) -> None:
        since.needs(req, since.ATTACHMENTS)
        caller, table = req.context.caller, volume_attachments.volume_attachments
        query = bodies.read_list(req, caller, self._max_limit, bodies.ATTACHMENT_LISTS, since.of(req))
        where: list[Any] = [] if query.all_projects else [table.c.project_id == caller.project_id]
        where += pages.narrowed(query, table)
        instance = query.columns.pop("instance", None)
        if instance:
            where.append(sa.or_(table.c.instance.in_(instance), table.c.workload_uuid.in_(instance)))
        with self._db.read() as tx:
            found = volume_attachments.page(tx, where, query.columns, query.page, query.offset)
        body = pages.body(
            req, self._public_url, "attachments", query, found, lambda item: views.attachment(item, detail=detail)
        )
        media.answer(resp, body)


@falcon.before(negotiate)
class Attachment:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        since.needs(req, since.ATTACHMENTS)
        with self._db.read() as tx:
            media.answer(resp, {"attachment": show(tx, req.context.caller, ident)})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        since.needs(req, since.ATTACHMENTS)
        caller = req.context.caller
        connector = read_connector(bodies.read_object(req, "attachment").get("connector") or {})
        if not connector:
            raise bodies.bad_request("Invalid input for field/attribute attachment. 'connector' is missing.")

        def work(tx: sa.Connection) -> dict[str, Any]:
            rules.set_connector(tx, lookups.attachment(tx, caller, ident), connector)
            return show(tx, caller, ident)

        media.answer(resp, {"attachment": self._db.transact(work)})
        self._waker.wake()

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        """Answers with the attachments of the volume that are left."""
        since.needs(req, since.ATTACHMENTS)
        caller = req.context.caller

        def work(tx: sa.Connection) -> list[dict[str, Any]]:
            found = lookups.attachment(tx, caller, ident)
            rules.end(tx, found, by_service=lookups.is_service(caller))
            left = volume_attachments.of_volumes(tx, [found.volume_uuid]).get(found.volume_uuid, [])
            return [views.attachment(item, detail=False) for item in left]

        media.answer(resp, {"attachments": self._db.transact(work)})

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        since.needs(req, since.COMPLETE)
        caller = req.context.caller
        if "os-complete" not in bodies.read_document(req):
            raise bodies.bad_request("There is no such action; an attachment knows os-complete.")
        self._db.transact(lambda tx: rules.complete(tx, lookups.attachment(tx, caller, ident)))
        resp.status = falcon.HTTP_204


def read_connector(value: Any) -> dict[str, Any]:
    """The client's own account of its machine, of which `host` counts here."""
    if not isinstance(value, dict) or len(str(value)) > _MOST_BYTES_OF_CONNECTOR:
        raise bodies.bad_request(
            f"Invalid input for field/attribute connector. It must be an object of at most {_MOST_BYTES_OF_CONNECTOR} "
            "bytes."
        )
    return value


def show(tx: sa.Connection, caller: Caller, ident: str) -> dict[str, Any]:
    """One attachment, with how the volume is reached once a connector was said."""
    found = lookups.attachment(tx, caller, ident)
    connection = None
    if found.connector is not None:
        connection = connections.information(tx, caller, lookups.volume(tx, caller, found.volume_uuid), found)
    return views.attachment(found, detail=True, connection=connection)
