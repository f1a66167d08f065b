# SPDX-License-Identifier: Apache-2.0
"""The metadata of volumes and of snapshots: all pairs of one, and each by its key.

Clients send no microversion here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, lookups
from zun_lite.db import volume_snapshots, volumes
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller


class Described(Protocol):
    @property
    def uuid(self) -> str: ...

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]: ...


class SetPairs(Protocol):
    def __call__(self, tx: sa.Connection, uuid: str, pairs: Mapping[str, str], *, replace: bool) -> None: ...


@dataclass(frozen=True)
class Kind:
    """What has metadata. title: how messages call it."""

    title: str
    find: Callable[[sa.Connection, Caller, str], Described]
    set_pairs: SetPairs
    drop: Callable[[sa.Connection, str, str], bool]


OF_VOLUMES = Kind("Volume", lookups.volume, volumes.set_metadata, volumes.drop_metadata)
OF_SNAPSHOTS = Kind("Snapshot", lookups.snapshot, volume_snapshots.set_metadata, volume_snapshots.drop_metadata)


class Metadata:
    def __init__(self, services: Services, kind: Kind) -> None:
        self._db = services.means.db
        self._kind = kind

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            found = self._kind.find(tx, req.context.caller, ident)
        media.answer(resp, {"metadata": dict(found.metadata)})

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._set(req, resp, ident, replace=False)

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        self._set(req, resp, ident, replace=True)

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        with self._db.read() as tx:
            pairs = dict(self._kind.find(tx, req.context.caller, ident).metadata)
        if key not in pairs:
            raise self._no_key(ident, key)
        media.answer(resp, {"meta": {key: pairs[key]}})

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        pairs = bodies.metadata("meta", bodies.read_object(req, "meta"))
        if list(pairs) != [key]:
            raise bodies.bad_request(f"The body must have one pair, whose key is the {key} of the path.")
        self._put(req.context.caller, ident, pairs, replace=False)
        media.answer(resp, {"meta": pairs})

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, key: str) -> None:
        caller, kind = req.context.caller, self._kind
        if not self._db.transact(lambda tx: kind.drop(tx, kind.find(tx, caller, ident).uuid, key)):
            raise self._no_key(ident, key)
        resp.status = falcon.HTTP_200

    def _set(self, req: falcon.Request, resp: falcon.Response, ident: str, *, replace: bool) -> None:
        pairs = bodies.metadata("metadata", bodies.read_object(req, "metadata"))
        media.answer(resp, {"metadata": self._put(req.context.caller, ident, pairs, replace=replace)})

    def _put(self, caller: Caller, ident: str, pairs: dict[str, str], *, replace: bool) -> dict[str, Any]:
        """All pairs that there are then."""
        kind = self._kind

        def work(tx: sa.Connection) -> dict[str, Any]:
            uuid = kind.find(tx, caller, ident).uuid
            kind.set_pairs(tx, uuid, pairs, replace=replace)
            every = dict(kind.find(tx, caller, uuid).metadata)
            if len(every) > bodies.MOST_PAIRS:
                raise bodies.bad_request(
                    f"A {kind.title.lower()} has at most {bodies.MOST_PAIRS} pairs of metadata; drop some first."
                )
            return every

        return self._db.transact(work)

    def _no_key(self, ident: str, key: str) -> errors.NotFound:
        return lookups.not_found(f"{self._kind.title} {ident} has no metadata with key {key}.")
