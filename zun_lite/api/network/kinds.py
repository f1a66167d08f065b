# SPDX-License-Identifier: Apache-2.0
"""What all kinds of networking objects have in common at the edge: lists, single objects, what is not found.

A Kind says what differs. Creating and changing are each kind's own; Collection and Member give them what
goes around it. Knows nothing of what any object is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.idempotency import Reply
from zun_lite.api.network import bodies, queries, tagging
from zun_lite.api.network.queries import Filter, Query
from zun_lite.api.services import Services
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

Record = TypeVar("Record")
Clauses = list[sa.ColumnElement[bool]]


def _no_clauses(tx: sa.Connection, query: Query, caller: Caller) -> Clauses:
    return []


def _anybody(caller: Caller, record: Any) -> None:
    return None


@dataclass(frozen=True)
class Kind(Generic[Record]):
    """One kind of object.

    singular, plural: its keys in bodies. quota: the resource that it counts as, if any. table: where its uuid is.
    page: (tx, where, filters, Page) to records. visible_to: (project) to what it may see. views: (tx,
    records, caller) to objects on the wire, without tags. missing: a sentence with a {} for the id, and not_found,
    its type. sortable: column names by key. more: clauses for filters that are not plain columns. own:
    Forbidden, where the caller may see the record but not change it.
    """

    singular: str
    plural: str
    quota: str | None
    table: sa.Table
    page: Callable[..., list[Record]]
    visible_to: Callable[[str | None], sa.ColumnElement[bool]]
    views: Callable[[sa.Connection, Sequence[Record], Caller], list[dict[str, Any]]]
    missing: str
    not_found: str
    filters: Mapping[str, Filter]
    sortable: Mapping[str, str]
    admin_filters: Mapping[str, Filter] | None = None
    more: Callable[[sa.Connection, Query, Caller], Clauses] = _no_clauses
    own: Callable[[Caller, Record], None] = _anybody
    tagged: bool = True

    def find(self, tx: sa.Connection, caller: Caller, ident: str) -> Record:
        """NotFound for what the caller may not see."""
        uuid = as_id(ident)
        found = self.page(tx, [self.table.c.uuid == uuid, *self.seen_by(caller)]) if uuid else []
        if not found:
            raise errors.NotFound(self.missing.format(ident), kind=self.not_found)
        return found[0]

    def find_own(self, tx: sa.Connection, caller: Caller, ident: str) -> Record:
        """NotFound for what the caller may not see; Forbidden for what it may only see."""
        found = self.find(tx, caller, ident)
        self.own(caller, found)
        return found

    def seen_by(self, caller: Caller) -> Clauses:
        return [] if caller.is_admin else [self.visible_to(caller.project_id)]

    def shown(self, tx: sa.Connection, found: Sequence[Record], caller: Caller) -> list[dict[str, Any]]:
        views = self.views(tx, found, caller)
        return tagging.tagged(tx, views) if self.tagged else views

    def shown_one(self, tx: sa.Connection, record: Record, caller: Caller) -> dict[str, Any]:
        return self.shown(tx, [record], caller)[0]


class Collection(Generic[Record]):
    """All objects of a kind."""

    def __init__(self, services: Services, kind: Kind[Record]) -> None:
        self._kind = kind
        self._db = services.means.db
        self._quotas = services.means.network_quotas
        self._public_url = services.public_url
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        kind, caller = self._kind, req.context.caller
        filters = kind.admin_filters if caller.is_admin and kind.admin_filters is not None else kind.filters
        query = queries.read_query(req, filters, kind.sortable, self._max_limit)
        with self._db.read() as tx:
            where = [*kind.seen_by(caller), *kind.more(tx, query, caller)]
            if kind.tagged:
                where += tagging.clauses(query, kind.table.c.uuid)
            found = kind.page(tx, where, query.columns, query.page)
            shown = kind.shown(tx, found, caller)
        links = queries.links(req, self._public_url, kind.plural, query, [view["id"] for view in shown])
        media.answer(resp, {kind.plural: [queries.project(view, query.fields) for view in shown], **links})

    def answer_made(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        read: Callable[[dict[str, Any], Caller], dict[str, Any]],
        make: Callable[[sa.Connection, Caller, str, dict[str, Any]], Record],
        *,
        bulk: bool = True,
    ) -> None:
        """Answer with what made() made."""
        reply = self.made(req, read, make, bulk=bulk)
        media.answer(resp, reply.body, reply.status)

    def made(
        self,
        req: falcon.Request,
        read: Callable[[dict[str, Any], Caller], dict[str, Any]],
        make: Callable[[sa.Connection, Caller, str, dict[str, Any]], Record],
        keep: Callable[[sa.Connection, Callable[[], Reply]], Any] | None = None,
        *,
        bulk: bool = True,
    ) -> Reply:
        """Create what the body asks for, all or nothing, each within its project's quota.

        read: (object in the body, caller) to values. make: (tx, caller, project id, values) to a record. keep: see
        idempotency.answer_once(). bulk: there may be a list of them.
        """
        kind, caller = self._kind, req.context.caller
        items, several = bodies.read_items(req, kind.singular, kind.plural if bulk else None)
        wanted = [(bodies.project_of(item, caller), read(item, caller)) for item in items]

        def work(tx: sa.Connection) -> Reply:
            made = []
            for project_id, values in wanted:
                if kind.quota is not None:
                    self._quotas.hold(tx, project_id, kind.quota)
                made.append(make(tx, caller, project_id, values))
            shown = kind.shown(tx, made, caller)
            reply = Reply(201, {kind.plural: shown} if several else {kind.singular: shown[0]})
            if keep is not None:
                keep(tx, lambda: reply)
            return reply

        return self._db.transact(work)


class Member(Generic[Record]):
    """One object of a kind."""

    def __init__(
        self, services: Services, kind: Kind[Record], remove: Callable[[sa.Connection, Caller, Record], None]
    ) -> None:
        self._kind = kind
        self._db = services.means.db
        self._remove = remove

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        kind, caller = self._kind, req.context.caller
        with self._db.read() as tx:
            shown = kind.shown_one(tx, kind.find(tx, caller, ident), caller)
        media.answer(resp, {kind.singular: queries.project(shown, queries.read_pairs(req).get("fields", ()))})

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        self._db.transact(lambda tx: self._remove(tx, caller, self._kind.find_own(tx, caller, ident)))
        resp.status = falcon.HTTP_204

    def changed(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        ident: str,
        work: Callable[[sa.Connection, Record], Record],
    ) -> None:
        """Answer with the object as work(tx, record) leaves it."""
        kind, caller = self._kind, req.context.caller

        def change(tx: sa.Connection) -> dict[str, Any]:
            return kind.shown_one(tx, work(tx, kind.find_own(tx, caller, ident)), caller)

        media.answer(resp, {kind.singular: self._db.transact(change)})
