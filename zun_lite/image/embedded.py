# SPDX-License-Identifier: Apache-2.0
"""The embedded image service: records in SQL, bytes in files of one folder.

API servers that share the database must share the folder as well.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from zun_lite.db import images, revisions
from zun_lite.db.engine import Database
from zun_lite.db.images import Image
from zun_lite.db.listing import Page
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.image.base import Found, Source
from zun_lite.image.files import ImageFiles, OpenFile, Written, too_large

DOCKER = "docker"
GIB = 1024**3


class EmbeddedImages:
    """folder: of the bytes. max_size_gib: of one image. project_gib: of all images of a project."""

    def __init__(self, db: Database, folder: str, max_size_gib: int = 16, project_gib: int = 64) -> None:
        self._db = db
        self._files = ImageFiles(folder)
        self._most_bytes = max_size_gib * GIB
        self._project_bytes = project_gib * GIB

    def resolve(self, caller: Caller, ident: str) -> str:
        with self._db.read() as tx:
            found = _candidates(tx, caller, ident)
        if not found:
            raise errors.NoSuchImage(f"Image {ident} could not be found in the image service.", kind="ImageNotFound")
        if len(found) > 1:
            raise errors.Ambiguous(
                f"Several images are named {ident}; use the id of the one you mean.", kind="Conflict"
            )
        if found[0].container_format != DOCKER:
            raise errors.NotUsable(f"Image {ident} is not an image of containers; its container_format must be docker.")
        if found[0].status != images.ACTIVE:
            raise errors.NotUsable(f"Image {ident} is {found[0].status}; only an active image can be used.")
        return found[0].uuid

    def search(self, caller: Caller, name: str, *, exactly: bool, limit: int) -> list[Found]:
        named = images.images.c.name
        where = [
            images.seen_by(caller.project_id),
            images.images.c.container_format == DOCKER,
            images.images.c.hidden.is_(False),
            named == name if exactly else named.contains(name, autoescape=True),
        ]
        with self._db.read() as tx:
            found = images.page(tx, where, Page(limit=limit))
        return [Found(image.uuid, image.name, image.tags, image.status, image.size_bytes) for image in found]

    def make(
        self, tx: sa.Connection, uuid: str, project_id: str, name: str, tag: str, workload_uuid: str, request_id: str
    ) -> None:
        values = {
            "name": name,
            "container_format": DOCKER,
            "disk_format": "qcow2",
            "workload_uuid": workload_uuid,
            "request_id": request_id,
        }
        images.insert(tx, uuid=uuid, project_id=project_id, values=values, tags=(tag,))

    def store(
        self,
        uuid: str,
        source: Source,
        size_bytes: int | None,
        *,
        also: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        most_bytes = self._db.transact(lambda tx: self._begin(tx, uuid))
        self._sweep()
        try:
            written = self._files.write(source, size_bytes, most_bytes)
        except BaseException:
            self._db.transact(lambda tx: images.give_up_upload(tx, uuid))
            raise
        try:
            done = self._db.transact(lambda tx: self._end(tx, uuid, written, also))
        except errors.TooLarge:
            self._files.remove(written.location)
            self._db.transact(lambda tx: images.give_up_upload(tx, uuid))
            raise
        if not done:
            self._files.remove(written.location)
            raise errors.Conflict(f"Image {uuid} got its bytes from another upload, or was deleted meanwhile.")

    def open(self, uuid: str) -> OpenFile:
        with self._db.read() as tx:
            image = images.get(tx, uuid)
        if image is None or image.status != images.ACTIVE or not image.location:
            raise errors.NotFound(f"Image {uuid} has no bytes.")
        return OpenFile(image.size_bytes or 0, image.md5 or "", image.sha512 or "", self._files.open(image.location))

    def remove(self, uuid: str, *, also: Callable[[sa.Connection, Image], None] | None = None) -> None:
        def work(tx: sa.Connection) -> Image | None:
            image = images.get(tx, uuid, lock=True)
            if image is not None and image.protected:
                raise errors.Forbidden(f"Image {uuid} is protected and cannot be deleted; unprotect it first.")
            if image is not None and also is not None:
                also(tx, image)
            images.remove(tx, uuid)
            return image

        removed = self._db.transact(work)
        if removed is not None:
            self._files.remove(removed.location)

    def _begin(self, tx: sa.Connection, uuid: str) -> int:
        """How many bytes may come."""
        image = images.get(tx, uuid)
        if image is None:
            raise errors.NotFound(f"Image {uuid} could not be found.")
        if not images.begin_upload(tx, uuid):
            raise errors.Conflict(f"Image {uuid} is {image.status}; bytes can be sent once, to a queued image.")
        return min(self._most_bytes, self._left(tx, image.project_id))

    def _end(
        self, tx: sa.Connection, uuid: str, written: Written, also: Callable[[sa.Connection], None] | None
    ) -> bool:
        """TooLarge: others of the project's came to their end first and left too little room."""
        image = images.get(tx, uuid)
        if image is None:
            return False
        revisions.raise_one(tx, f"images:{image.project_id}")
        left = self._left(tx, image.project_id)
        if written.size_bytes > left:
            raise too_large(left)
        done = images.end_upload(
            tx, uuid, size_bytes=written.size_bytes, md5=written.md5, sha512=written.sha512, location=written.location
        )
        if done and also is not None:
            also(tx)
        return done

    def _left(self, tx: sa.Connection, project_id: str) -> int:
        """How many bytes the project may still have."""
        return max(0, self._project_bytes - images.bytes_of_project(tx, project_id))

    def _sweep(self) -> None:
        if self._files.is_time_to_sweep():
            with self._db.read() as tx:
                named = images.locations(tx)
            self._files.sweep(named)


def _candidates(tx: sa.Connection, caller: Caller, ident: str) -> list[Image]:
    """By id; else by name; else by name:tag. Of two of one name the caller's own goes before others'."""
    uuid = names.as_id(ident)
    image = images.get(tx, uuid, images.seen_by(caller.project_id)) if uuid else None
    if image is not None:
        return [image]
    name, colon, tag = ident.rpartition(":")
    ways = [[images.images.c.name == ident]]
    if colon:
        ways.append([images.images.c.name == name, images.tagged(tag)])
    for way in ways:
        way.append(images.images.c.status == images.ACTIVE)
        for whose in (images.images.c.project_id == (caller.project_id or ""), images.seen_by(caller.project_id)):
            found = images.page(tx, [*way, whose], Page(limit=2))
            if found:
                return found
    return []
