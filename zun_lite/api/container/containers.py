# SPDX-License-Identifier: Apache-2.0
"""/v1/containers and /v1/containers/{ident}: create, list, show, delete."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import urlencode

import falcon
import orjson
import sqlalchemy as sa

from zun_lite.api import idempotency, policy, versions
from zun_lite.api.container import lookups, parameters, views
from zun_lite.api.container.changes import ChangeReader
from zun_lite.api.container.pages import Pages
from zun_lite.api.container.request import CreateReader
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.api.services import Services
from zun_lite.control import actions, update
from zun_lite.control.create import create_container
from zun_lite.control.means import Means
from zun_lite.db import hosts, revisions
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller

PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "resource_url", "expand", "all_projects"))
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


class Containers:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._most = services.conf.api.max_limit
        self._reader = CreateReader(services.conf.container)
        self._pages = Pages()

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "container:create", caller.project_id)
        if not is_json(req):
            raise falcon.HTTPUnsupportedMediaType(description=f"Send the container's description as {JSON}.")
        idempotency.answer_once(
            self._means.db, req, resp, lambda keep: self._create(req, caller, keep), req.context.minor
        )

    def _create(self, req: falcon.Request, caller: Caller, keep: Keep) -> Reply:
        query = parameters.of_query(req)
        parameters.refuse_unknown(query, ("run",))
        body = read_object(req)
        run = parameters.boolean({"run": body.pop("run", None), **query}, "run")
        request = self._reader.read(caller, body, req.context.minor)
        if caller.project_id is None:
            raise errors.Forbidden("A container belongs to a project; use a token that is scoped to one.")
        spec = lookups.resolve(self._means, caller, request)
        names = host_names(self._means, caller)

        def reply(made: Workload) -> Reply:
            shown = show(self._means, self._public_url, caller, made, names)
            return Reply(202, shown, f"{self._public_url}/v1/containers/{made.uuid}")

        def accepted(tx: sa.Connection, made: Workload) -> None:
            keep(tx, lambda: reply(made))

        return reply(create_container(self._means, caller, request.name, spec, run=run, accepted=accepted))

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        caller = req.context.caller
        policy.enforce(caller, "container:get_all", caller.project_id)
        query = parameters.of_query(req)
        parameters.refuse_unknown(query, (*PAGING, *FILTERS))
        question = (caller.project_id, caller.user_id, caller.roles, *sorted(query.items()))
        moment = self._means.clock.monotonic()
        revision = self._revision(caller, query)
        page = None if revision is None else self._pages.get(question, revision, moment)
        if page is None:
            page = orjson.dumps(self._page(caller, query))
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

    def _page(self, caller: Caller, query: dict[str, Any]) -> dict[str, Any]:
        all_projects = parameters.boolean(query, "all_projects")
        if all_projects:
            policy.enforce(caller, "container:get_all_all_projects")
        limit = min(parameters.integer(query, "limit", least=1, most=2**31) or self._most, self._most)
        sort_key, sort_dir = query.get("sort_key") or "id", query.get("sort_dir") or "asc"
        if sort_key not in SORT_KEYS:
            raise errors.Invalid(f"sort_key must be one of {', '.join(sorted(SORT_KEYS))}, not '{sort_key}'.")
        if sort_dir not in ("asc", "desc"):
            raise errors.Invalid(f"sort_dir must be asc or desc, not '{sort_dir}'.")
        found = actions.page(
            self._means,
            caller,
            filters=self._filters(caller, query),
            limit=limit,
            marker=query.get("marker") or None,
            sort_key=SORT_KEYS[sort_key],
            descending=sort_dir == "desc",
            all_projects=all_projects,
        )
        now, names = utc_now(self._means), host_names(self._means, caller)
        shown = {project_id: fields_shown(caller, project_id) for project_id in {row.project_id for row in found}}
        items = [
            views.container(row, now=now, shown=shown[row.project_id], host_name=names.get(row.host)) for row in found
        ]
        following = None
        if len(found) == limit:
            kept = {key: value for key, value in query.items() if key in FILTERS or key == "all_projects"}
            paging = {"sort_key": sort_key, "sort_dir": sort_dir, "limit": limit, "marker": found[-1].uuid}
            following = f"{self._public_url}/v1/containers?{urlencode({**kept, **paging})}"
        return {"containers": items, "next": following}

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


class Container:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._changes = ChangeReader(services.conf.container)

    def on_get(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        workload = find(self._means, caller, ident, "get_one", parameters.of_query(req))
        answer(resp, show(self._means, self._public_url, caller, workload))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        change = self._changes.read(parameters.of_both(req), req.context.minor)
        workload = find(self._means, caller, ident, "update", {})
        answer(resp, show(self._means, self._public_url, caller, update.update(self._means, workload, change)))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller, query = req.context.caller, parameters.of_query(req)
        parameters.refuse_unknown(query, ("force", "stop", "all_projects"))
        force, stop = parameters.boolean(query, "force"), parameters.boolean(query, "stop")
        if force:
            versions.require(req.context.minor, 7, "Deleting with force")
        if stop:
            versions.require(req.context.minor, 12, "Deleting with stop")
        workload = find(self._means, caller, ident, "delete", query)
        if force:
            policy.enforce(caller, "container:delete_force", workload.project_id)
        if stop:
            policy.enforce(caller, "container:stop", workload.project_id)
        actions.delete(self._means, caller, workload, stop=stop, force=force)
        resp.status = 204


def find(means: Means, caller: Caller, ident: str, verb: str, query: dict[str, Any]) -> Workload:
    """The container that a path names, if the caller may do this verb to it.

    Another project's is not found, except by an administrator, who looks through all.
    """
    everywhere = parameters.boolean(query, "all_projects")
    if everywhere:
        policy.enforce(caller, f"container:{verb}_all_projects")
    workload = actions.find(means, caller, ident, all_projects=everywhere)
    policy.enforce(caller, f"container:{verb}", workload.project_id, workload.user_id)
    return workload


def show(
    means: Means,
    public_url: str,
    caller: Caller,
    workload: Workload,
    names: dict[str | None, str] | None = None,
) -> dict[str, Any]:
    """names: what host_names() answered; read here if it was not yet."""
    host_name = (host_names(means, caller) if names is None else names).get(workload.host)
    shown = fields_shown(caller, workload.project_id)
    body = views.container(workload, now=utc_now(means), shown=shown, host_name=host_name)
    body["links"] = views.links(public_url, workload.uuid)
    return body


def fields_shown(caller: Caller, project_id: str) -> tuple[str, ...]:
    """The guarded fields that the caller may see of a container of this project."""
    return tuple(name for name in views.GUARDED if policy.allows(caller, f"container:get_one:{name}", project_id))


def host_names(means: Means, caller: Caller) -> dict[str | None, str]:
    """Names of hosts by uuid, for whom they are shown to."""
    if not policy.allows(caller, "container:get_one:host"):
        return {}
    with means.db.read() as tx:
        return {host.uuid: host.name for host in hosts.every(tx)}


def utc_now(means: Means) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(means.clock.now(), datetime.UTC).replace(tzinfo=None)
