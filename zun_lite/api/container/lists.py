# SPDX-License-Identifier: Apache-2.0
"""GET /v1/containers: pages of containers, cheap to ask again.

Two things are remembered as they were sent. A project's page is good while the project's revision is what it
was; and each container of a page while its row's version is, so that a page of which one container changed
costs the reading of that one.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import falcon
import orjson

from zun_lite.api import policy
from zun_lite.api.container import paging, parameters, views
from zun_lite.api.container.pages import Pages
from zun_lite.api.container.paging import Asked
from zun_lite.api.container.shown import fields_shown, sees_hosts, utc_now
from zun_lite.api.media import JSON
from zun_lite.api.services import Services
from zun_lite.control import listing
from zun_lite.db import hosts, revisions
from zun_lite.db.workload_pages import Mark, Wanted
from zun_lite.domain.caller import Caller

PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "resource_url", "expand", "all_projects"))
# Longer ones are made up: to remember them would take more than it saves.
LONGEST_QUERY = 256
# The wire's names of filters and sort keys, and the columns that they are.
FILTERS = {
    "name": "name",
    "image": "image",
    "project_id": "project_id",
    "user_id": "user_id",
    "memory": "memory_mib",
    "host": "host",
    "task_state": "task_state",
    "status": "status",
    "auto_remove": "auto_remove",
}
SORT_KEYS = {
    **{key: key for key in ("id", "uuid", "name", "image", "project_id", "user_id", "host", "task_state", "status")},
    **{key: key for key in ("status_reason", "created_at", "updated_at")},
    "cpu": "cpus",
    "memory": "memory_mib",
    "disk": "disk_gib",
}


class ContainerLists:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit
        self._pages = Pages()
        self._items = Pages()

    def answer(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "container:get_all", caller.project_id)
        query = parameters.of_query(req)
        parameters.refuse_unknown(query, (*PAGING, *FILTERS))
        question = (caller.project_id, caller.user_id, caller.roles, *sorted(query.items()))
        moment = self._means.clock.monotonic()
        revision = self._revision(caller, query) if len(req.query_string) <= LONGEST_QUERY else None
        page = None if revision is None else self._pages.get(question, revision, moment)
        if page is None:
            page = self._page(caller, query)
            if revision is not None:
                self._pages.put(question, revision, moment, page)
        resp.content_type = JSON
        resp.data = page

    def _revision(self, caller: Caller, query: dict[str, Any]) -> int | None:
        """Of what the page depends on; None where it depends on more than one project."""
        if "all_projects" in query or caller.project_id is None:
            return None
        with self._means.db.read() as tx:
            return revisions.current(tx, revisions.project(caller.project_id))

    def _page(self, caller: Caller, query: dict[str, Any]) -> bytes:
        asked = paging.read(query, SORT_KEYS, usual="id", most=self._most)
        marks, items = self._read(caller, self._wanted(caller, query, asked))
        kept = {key: value for key, value in query.items() if key in FILTERS or key == "all_projects"}
        uuids = [mark.uuid for mark in marks]
        following = paging.following(f"{self._public_url}/v1/containers", asked, uuids, kept)
        return b'{"containers":[%b],"next":%b}' % (b",".join(items), orjson.dumps(following))

    def _wanted(self, caller: Caller, query: dict[str, Any], asked: Asked) -> Wanted:
        all_projects = parameters.boolean(query, "all_projects")
        if all_projects:
            policy.enforce(caller, "container:get_all_all_projects")
        return listing.wanted(
            self._means,
            caller,
            filters=self._filters(caller, query),
            limit=asked.limit,
            marker=asked.marker,
            sort_key=SORT_KEYS[asked.sort_key],
            descending=asked.descending,
            all_projects=all_projects,
        )

    def _filters(self, caller: Caller, query: dict[str, Any]) -> dict[str, Any]:
        filters: dict[str, Any] = {FILTERS[key]: value for key, value in query.items() if key in FILTERS}
        if "host" in filters:
            policy.enforce(caller, "container:get_one:host", caller.project_id)
            with self._means.db.read() as tx:
                host = hosts.by_name(tx, filters["host"])
            filters["host"] = host.uuid if host else ""
        if "memory_mib" in filters:
            filters["memory_mib"] = parameters.integer(query, "memory", least=0, most=2**40)
        if "auto_remove" in filters:
            filters["auto_remove"] = parameters.boolean(query, "auto_remove")
        return filters

    def _read(self, caller: Caller, page: Wanted) -> tuple[list[Mark], list[bytes]]:
        """The rows of a page, and each as it is shown to this caller."""
        now, moment = utc_now(self._means), self._means.clock.monotonic()
        shown: dict[str, tuple[str, ...]] = {}
        items: dict[str, bytes] = {}

        def unknown(marks: list[Mark], names: listing.HostNames) -> list[str]:
            missing = []
            for uuid, version, project_id, host in marks:
                if project_id not in shown:
                    shown[project_id] = fields_shown(caller, project_id)
                item = self._items.get(_key(uuid, shown[project_id], names.get(host)), version, moment)
                if item is None:
                    missing.append(uuid)
                else:
                    items[uuid] = item
            return missing

        marks, rows, names = listing.read(self._means, page, unknown, hosts_too=sees_hosts(caller))
        for uuid, (version, workload) in rows.items():
            fields, host_name = shown[workload.project_id], names.get(workload.host)
            items[uuid] = orjson.dumps(views.container(workload, now=now, shown=fields, host_name=host_name))
            self._items.put(_key(uuid, fields, host_name), version, moment, items[uuid])
        return marks, [items[mark.uuid] for mark in marks if mark.uuid in items]


def _key(uuid: str, fields: tuple[str, ...], host_name: str | None) -> Hashable:
    """Of a container as it is shown: all that its view depends on besides its row."""
    return uuid, fields, host_name
