# SPDX-License-Identifier: Apache-2.0
"""/volume/v3/volumes and the metadata of each volume."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency, media
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, views
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import hosts, volumes
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id, new_id
from zun_lite.volume import embedded

TYPES = frozenset((embedded.LOCAL, views.TYPE_ID))


def find(tx: sa.Connection, caller: Caller, ident: str) -> volumes.Volume:
    """NotFound: there is none that the caller may see."""
    uuid = as_id(ident)
    found = volumes.get(tx, uuid) if uuid else None
    if found is None or not (caller.is_admin or found.project_id == caller.project_id):
        raise errors.NotFound(f"Volume {ident} could not be found.", kind="itemNotFound")
    return found


@falcon.before(negotiate)
class Volumes:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        self._list(req, resp, lambda record, _: views.summary(record, self._public_url))

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        admin = req.context.caller.is_admin
        self._list(
            req, resp, lambda record, names: views.volume(record, self._public_url, admin=admin, host_names=names)
        )

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        if caller.project_id is None:
            raise errors.Forbidden("The token is not scoped to a project; a volume belongs to one.", kind="forbidden")
        idempotency.answer_once(
            self._db, req, resp, lambda keep: self._create(req, caller, keep), req.get_header("OpenStack-API-Version")
        )

    def _create(self, req: falcon.Request, caller: Caller, keep: Keep) -> Reply:
        project_id, user_id = caller.project_id or "", caller.user_id
        wanted = bodies.read_new_volume(req, TYPES)

        def work(tx: sa.Connection) -> Reply:
            uuid = new_id()
            volumes.insert(
                tx,
                uuid=uuid,
                project_id=project_id,
                user_id=user_id,
                name=wanted.name,
                description=wanted.description,
                size_gib=wanted.size_gib,
                volume_type=embedded.LOCAL,
                availability_zone=bodies.ZONE,
            )
            volumes.set_metadata(tx, uuid, wanted.metadata, replace=True)
            shown = views.volume(find(tx, caller, uuid), self._public_url, admin=caller.is_admin, host_names={})
            reply = Reply(202, {"volume": shown})
            keep(tx, lambda: reply)
            return reply

        return self._db.transact(work)

    def _list(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        show: Callable[[volumes.Volume, dict[str, str]], dict[str, Any]],
    ) -> None:
        caller = req.context.caller
        query = bodies.read_list(req, caller, self._max_limit)
        where = [] if query.all_projects else [volumes.belonging_to(caller.project_id)]
        where += [volumes.with_metadata(key, value) for key, value in query.metadata.items()]
        with self._db.read() as tx:
            # No volume here is bootable, so a list of those that are has none.
            found = [] if query.bootable else volumes.page(tx, where, query.columns, query.page, query.offset)
            names = host_names(tx, caller)
        body: dict[str, Any] = {"volumes": [show(record, names) for record in found]}
        if found and len(found) == query.page.limit:
            body["volumes_links"] = [{"rel": "next", "href": self._next(req, found[-1].uuid)}]
        media.answer(resp, body)

    def _next(self, req: falcon.Request, marker: str) -> str:
        pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True)
        kept = [(key, value) for key, value in pairs if key not in ("marker", "offset")]
        return f"{self._public_url}{req.path}?{urllib.parse.urlencode([*kept, ('marker', marker)])}"


@falcon.before(negotiate)
class Volume:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker
        self._public_url = services.public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            shown = self._view(tx, req.context.caller, ident)
        media.answer(resp, {"volume": shown})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        changes = bodies.read_changes(req)
        pairs = changes.pop("metadata", None)

        def work(tx: sa.Connection) -> dict[str, Any]:
            uuid = find(tx, caller, ident).uuid
            volumes.update(tx, uuid, changes)
            if pairs is not None:
                volumes.set_metadata(tx, uuid, pairs, replace=True)
            return self._view(tx, caller, uuid)

        media.answer(resp, {"volume": self._db.transact(work)})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: embedded.delete(tx, find(tx, caller, ident)))
        self._waker.wake()
        resp.status = falcon.HTTP_202

    def _view(self, tx: sa.Connection, caller: Caller, ident: str) -> dict[str, Any]:
        names = host_names(tx, caller)
        return views.volume(find(tx, caller, ident), self._public_url, admin=caller.is_admin, host_names=names)


class Metadata:
    """All pairs of a volume, and each by its key. Clients send no microversion here."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = find(tx, req.context.caller, ident)
        media.answer(resp, {"metadata": dict(found.metadata)})

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._set(req, resp, ident, replace=False)

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._set(req, resp, ident, replace=True)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        with self._db.read() as tx:
            pairs = dict(find(tx, req.context.caller, ident).metadata)
        if key not in pairs:
            raise _no_key(ident, key)
        media.answer(resp, {"meta": {key: pairs[key]}})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        pairs = bodies.metadata("meta", bodies.read_object(req, "meta"))
        if list(pairs) != [key]:
            raise bodies.bad_request(f"The body must have one pair, whose key is the {key} of the path.")
        self._put(req.context.caller, ident, pairs, replace=False)
        media.answer(resp, {"meta": pairs})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        caller = req.context.caller
        if not self._db.transact(lambda tx: volumes.drop_metadata(tx, find(tx, caller, ident).uuid, key)):
            raise _no_key(ident, key)
        resp.status = falcon.HTTP_200

    def _set(self, req: falcon.Request, resp: falcon.Response, ident: str, *, replace: bool) -> None:
        pairs = bodies.metadata("metadata", bodies.read_object(req, "metadata"))
        media.answer(resp, {"metadata": self._put(req.context.caller, ident, pairs, replace=replace)})

    def _put(self, caller: Caller, ident: str, pairs: dict[str, str], *, replace: bool) -> dict[str, str]:
        """All pairs that there are then."""

        def work(tx: sa.Connection) -> dict[str, str]:
            uuid = find(tx, caller, ident).uuid
            volumes.set_metadata(tx, uuid, pairs, replace=replace)
            every = dict(find(tx, caller, uuid).metadata)
            if len(every) > bodies.MOST_PAIRS:
                raise bodies.bad_request(
                    f"A volume has at most {bodies.MOST_PAIRS} pairs of metadata; drop some first."
                )
            return every

        return self._db.transact(work)


def host_names(tx: sa.Connection, caller: Caller) -> dict[str, str]:
    """Names of hosts by their uuid, for those who may see them."""
    return {host.uuid: host.name for host in hosts.every(tx)} if caller.is_admin else {}


def _no_key(ident: str, key: str) -> errors.NotFound:
    return errors.NotFound(f"Volume {ident} has no metadata with key {key}.", kind="itemNotFound")
