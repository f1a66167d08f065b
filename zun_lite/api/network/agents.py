# SPDX-License-Identifier: Apache-2.0
"""/network/v2.0/agents and /network/v2.0/availability_zones: hosts, as who asks Neutron for them expects them."""

from __future__ import annotations

import datetime
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.network import queries
from zun_lite.api.services import Services
from zun_lite.db import hosts
from zun_lite.db.hosts import Host
from zun_lite.db.listing import Page
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

BINARY, KIND = "zun-lite-netd", "zun_lite host"
_SORTABLE = {key: key for key in ("id", "host", "binary", "agent_type", "availability_zone", "admin_state_up")}


class Agents:
    """One a host. For administrators."""

    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._max_limit = services.conf.api.max_limit

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        _need_admin(req.context.caller)
        query = queries.read_query(req, {}, _SORTABLE, self._max_limit)
        with self._means.db.read() as tx:
            views = [self._view(tx, host) for host in hosts.every(tx)]
        for key, values in query.others.items():
            views = [view for view in views if key not in view or str(view[key]) in values]
        media.answer(resp, {"agents": [queries.project(view, query.fields) for view in _cut(views, query.page)]})

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        _need_admin(req.context.caller)
        with self._means.db.read() as tx:
            host = hosts.get(tx, as_id(ident) or "")
            if host is None:
                raise errors.NotFound(f"Agent {ident} could not be found.", kind="AgentNotFound")
            media.answer(resp, {"agent": self._view(tx, host)})

    def _view(self, tx: sa.Connection, host: Host) -> dict[str, Any]:
        edge = self._means.db.now(tx) - datetime.timedelta(seconds=self._means.host_timeout_seconds)
        alive = host.seen_at is not None and host.seen_at >= edge and not host.forced_down
        return {
            "id": host.uuid,
            "binary": BINARY,
            "agent_type": KIND,
            "host": host.name,
            "topic": "N/A",
            "alive": alive and host.state != hosts.UNKNOWN,
            "admin_state_up": not host.disabled,
            "availability_zone": host.availability_zone,
            "description": host.problem or "",
            "configurations": {},
            "resources_synced": None,
            "resource_versions": {},
            "created_at": _moment(host.created_at),
            "started_at": _moment(host.created_at),
            "heartbeat_timestamp": _moment(host.seen_at),
        }


class AvailabilityZones:
    """Of networks and routers; every zone has both."""

    def __init__(self, services: Services) -> None:
        self._db = services.means.db

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = queries.read_pairs(req)
        with self._db.read() as tx:
            names = sorted({host.availability_zone for host in hosts.every(tx)})
        views = [
            {"name": name, "resource": resource, "state": "available"}
            for name in names
            for resource in ("network", "router")
        ]
        for key in ("name", "resource", "state"):
            views = [view for view in views if key not in asked or view[key] in asked[key]]
        media.answer(resp, {"availability_zones": views})


def _cut(views: list[dict[str, Any]], page: Page) -> list[dict[str, Any]]:
    """A page of all that there are, forwards."""
    for key, descending in reversed(page.order):
        views = sorted(views, key=lambda view: str(view[key]), reverse=descending)
    if page.marker is not None:
        ids = [view["id"] for view in views]
        if page.marker not in ids:
            raise errors.Invalid(f"The marker {page.marker} is not the id of anything in this list; start again.")
        views = views[ids.index(page.marker) + 1 :]
    return views[: page.limit]


def _need_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise errors.Forbidden("Hosts are for administrators to see.", kind="PolicyNotAuthorized")


def _moment(when: datetime.datetime | None) -> str | None:
    return when.isoformat(sep=" ", timespec="seconds") if when is not None else None
