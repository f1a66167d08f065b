# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/COLLECTION/{ident}/tags and /tags/{tag}, and what tags mean in lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import bodies
from zun_lite.api.network.queries import Query
from zun_lite.api.services import Services
from zun_lite.db import tags
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

MOST_TAGS = 50
# (tx, caller, ident) to something with a uuid; NotFound, Forbidden.
Find = Callable[[sa.Connection, Caller, str], Any]


def tagged(tx: sa.Connection, views: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The views with their objects' tags."""
    known = tags.of(tx, [view["id"] for view in views])
    return [{**view, "tags": known.get(view["id"], [])} for view in views]


def clauses(query: Query, column: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
    """What tags, tags-any, not-tags and not-tags-any in a list's query ask for. column: the objects' uuid."""
    found: list[sa.ColumnElement[bool]] = []
    for key, having in (("tags", tags.having_all), ("tags-any", tags.having_any)):
        for prefix, negated in (("", False), ("not-", True)):
            given = [tag for text in query.others.get(prefix + key, ()) for tag in text.split(",") if tag]
            wanted = list(dict.fromkeys(given))
            if len(wanted) > MOST_TAGS:
                raise bodies.bad_request(f"A list can be asked for {MOST_TAGS} tags at most.")
            if wanted:
                clause = having(column, wanted)
                found.append(sa.not_(clause) if negated else clause)
    return found


class Tags:
    """Those of one collection's objects."""

    def __init__(self, services: Services, find: Find) -> None:
        self._db = services.means.db
        self._find = find

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        with self._db.read() as tx:
            uuid = self._find(tx, req.context.caller, ident).uuid
            found = tags.of(tx, [uuid]).get(uuid, [])
        media.answer(resp, {"tags": found})

    def on_put(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller, wanted = req.context.caller, _read(req)

        def work(tx: sa.Connection) -> None:
            tags.put(tx, self._find(tx, caller, ident).uuid, wanted)

        self._db.transact(work)
        media.answer(resp, {"tags": sorted(set(wanted))})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: tags.remove_all(tx, self._find(tx, caller, ident).uuid))
        resp.status = falcon.HTTP_204

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        with self._db.read() as tx:
            uuid = self._find(tx, req.context.caller, ident).uuid
            if tag not in tags.of(tx, [uuid]).get(uuid, ()):
                raise _no_tag(tag)
        resp.status = falcon.HTTP_204

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        caller, wanted = req.context.caller, _checked(tag)

        def work(tx: sa.Connection) -> None:
            uuid = self._find(tx, caller, ident).uuid
            if len(tags.of(tx, [uuid]).get(uuid, ())) >= MOST_TAGS:
                raise bodies.bad_request(f"An object may have {MOST_TAGS} tags at most.")
            tags.add(tx, uuid, wanted)

        self._db.transact(work)
        resp.status = falcon.HTTP_201

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, ident: str, tag: str) -> None:
        caller = req.context.caller
        if not self._db.transact(lambda tx: tags.remove(tx, self._find(tx, caller, ident).uuid, tag)):
            raise _no_tag(tag)
        resp.status = falcon.HTTP_204


def _read(req: falcon.Request) -> list[str]:
    try:
        body = media.loads(req.bounded_stream.read() or b"null")
    except ValueError as error:
        raise bodies.bad_request(f"The body is not the JSON that is needed: {error}.") from None
    wanted = body.get("tags") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(wanted, list) or len(wanted) > MOST_TAGS:
        raise bodies.bad_request(f'Invalid tags body: it must be {{"tags": [...]}} with up to {MOST_TAGS} tags.')
    return [_checked(tag) for tag in wanted]


def _checked(tag: Any) -> str:
    if not bodies.text("tags", tag) or "," in tag:
        raise bodies.invalid("tags", "a tag must not be empty, and must not hold a comma")
    return tag


def _no_tag(tag: str) -> errors.NotFound:
    return errors.NotFound(f"Tag {tag} could not be found.", kind="TagNotFound")
