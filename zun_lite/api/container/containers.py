# SPDX-License-Identifier: Apache-2.0
"""/v1/containers and /v1/containers/{ident}: create, list, show, delete."""

from __future__ import annotations

from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import idempotency, policy, versions
from zun_lite.api.container import lookups, parameters, views
from zun_lite.api.container.changes import ChangeReader
from zun_lite.api.container.lists import ContainerLists
from zun_lite.api.container.request import CreateReader
from zun_lite.api.container.shown import fields_shown, host_names, utc_now
from zun_lite.api.idempotency import Keep, Reply
from zun_lite.api.media import JSON, answer, is_json, read_object
from zun_lite.api.services import Services
from zun_lite.control import actions, update
from zun_lite.control.create import create_container
from zun_lite.control.means import Means
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller


class Containers:
    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._public_url = services.public_url
        self._reader = CreateReader(services.conf.container)
        self._lists = ContainerLists(services)

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
        self._lists.answer(req, resp)


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
            policy.enforce(caller, "container:delete_force", workload.project_id, workload.user_id)
        if stop:
            policy.enforce(caller, "container:stop", workload.project_id, workload.user_id)
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
