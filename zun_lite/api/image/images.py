# SPDX-License-Identifier: Apache-2.0
"""/image/v2/images: records, their bytes and their tags. Another project's image is not found, unless it is public."""

from __future__ import annotations

import urllib.parse

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.image import bodies, views
from zun_lite.api.image.transfers import Transfers, body_of, send
from zun_lite.api.services import Services
from zun_lite.control import commit
from zun_lite.db import images
from zun_lite.db.images import Image
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id, new_id


def find(tx: sa.Connection, caller: Caller, ident: str, *, lock: bool = False) -> Image:
    """NotFound: there is none that the caller may see. lock: hold it until the transaction ends."""
    uuid = as_id(ident)
    where = [] if caller.is_admin else [images.seen_by(caller.project_id)]
    found = images.get(tx, uuid, *where, lock=lock) if uuid else None
    if found is None:
        raise errors.NotFound(f"No image found with ID {ident}.")
    return found


def own(tx: sa.Connection, caller: Caller, ident: str, *, lock: bool = False) -> Image:
    """One that the caller may change. Forbidden: it is another project's."""
    found = find(tx, caller, ident, lock=lock)
    if not caller.is_admin and found.project_id != caller.project_id:
        raise errors.Forbidden(f"You are not permitted to change image {ident}.")
    return found


class Images:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller, query = req.context.caller, bodies.read_list(req, self._most)
        where = images.exact(query.columns)
        where += [images.tagged(tag) for tag in query.tags]
        where += [images.with_property(key, value) for key, value in query.properties.items()]
        if not caller.is_admin:
            where.append(images.seen_by(caller.project_id))
        if query.visibility is not None:
            where.append(images.COLUMNS["visibility"] == query.visibility)
        with self._db.read() as tx:
            found = images.page(tx, where, query.page)
        body = {"images": [views.image(record) for record in found], "schema": "/v2/schemas/images"}
        body["first"] = self._link(req, None)
        if found and len(found) == query.page.limit:
            body["next"] = self._link(req, found[-1].uuid)
        media.answer(resp, body)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        wanted = bodies.read_new(req, caller)
        owner = wanted.owner or caller.project_id
        if owner is None:
            raise errors.Forbidden("The token is not scoped to a project; an image belongs to one.")

        def work(tx: sa.Connection) -> Image:
            uuid = wanted.uuid or new_id()
            if images.get(tx, uuid) is not None:
                raise errors.Conflict(f"Image ID {uuid} already exists.")
            return images.insert(
                tx,
                uuid=uuid,
                project_id=owner,
                values=wanted.values,
                tags=wanted.tags,
                properties=wanted.properties,
            )

        made = self._db.transact(work)
        resp.set_header("Location", f"{self._public_url}/image/v2/images/{made.uuid}")
        media.answer(resp, views.image(made), 201)

    def _link(self, req: falcon.Request, marker: str | None) -> str:
        pairs = urllib.parse.parse_qsl(req.query_string, keep_blank_values=True)
        kept = [(key, value) for key, value in pairs if key != "marker"]
        if marker is not None:
            kept.append(("marker", marker))
        return f"/v2/images?{urllib.parse.urlencode(kept)}" if kept else "/v2/images"


class OneImage:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._images = services.means.images

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = find(tx, req.context.caller, ident)
        media.answer(resp, views.image(found))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        operations = bodies.read_changes(req)

        def work(tx: sa.Connection) -> Image:
            image = own(tx, caller, ident, lock=True)
            uuid, changes = image.uuid, bodies.changed(operations, caller, image)
            values = {**changes.values, **({"project_id": changes.owner} if changes.owner else {})}
            images.update(tx, uuid, values)
            images.set_tags(tx, uuid, changes.tags)
            images.set_properties(tx, uuid, changes.properties)
            return find(tx, caller, uuid)

        media.answer(resp, views.image(self._db.transact(work)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = own(tx, req.context.caller, ident)
        self._images.remove(found.uuid, also=commit.image_removed)
        resp.status = 204


class ImageFile:
    def __init__(self, services: Services, transfers: Transfers) -> None:
        self._db = services.means.db
        self._images = services.means.images
        self._transfers = transfers

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = find(tx, req.context.caller, ident)
        if found.location is None:
            resp.status = 204
            return
        opened = self._images.open(found.uuid)
        resp.set_header("Content-MD5", opened.md5)
        send(resp, opened, self._transfers)

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = own(tx, req.context.caller, ident)
        if found.workload_uuid is not None and found.location is None:
            raise errors.Conflict(f"Image {found.uuid} is made of a container; its bytes come from there.")
        if (req.content_type or "").split(";", 1)[0].strip().lower() != "application/octet-stream":
            raise falcon.HTTPUnsupportedMediaType(description="Send an image's bytes as application/octet-stream.")
        with self._transfers.one(req):
            self._images.store(found.uuid, body_of(req), req.content_length)
        resp.status = 204


class Tags:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        caller, tag = req.context.caller, bodies.check_tag(tag)

        def work(tx: sa.Connection) -> None:
            found = own(tx, caller, ident, lock=True)
            images.set_tags(tx, found.uuid, bodies.check_tags([*found.tags, tag]))

        self._db.transact(work)
        resp.status = 204

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        caller = req.context.caller

        def work(tx: sa.Connection) -> None:
            found = own(tx, caller, ident, lock=True)
            if tag not in found.tags:
                raise errors.NotFound(f"Image {ident} has no tag {tag}.")
            images.set_tags(tx, found.uuid, [one for one in found.tags if one != tag])

        self._db.transact(work)
        resp.status = 204


class Members:
    """Images are shared with nobody in particular here."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            own(tx, req.context.caller, ident)
        media.answer(resp, {"members": [], "schema": "/v2/schemas/members"})
