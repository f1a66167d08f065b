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
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

BINARY, KIND = "zun-lite-netd", "zun_lite host"


class Agents:
    """One a host. For administrators."""

    def __init__(self, services: Services) -> None:
        self._means = services.means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        _need_admin(req.context.caller)
        asked = queries.read_pairs(req)
        fields = asked.pop("fields", ())
        with self._means.db.read() as tx:
            views = [self._view(tx, host) for host in hosts.every(tx)]
        for key, values in asked.items():
            views = [view for view in views if key not in view or str(view[key]) in values]
        media.answer(resp, {"agents": [queries.project(view, fields) for view in views]})

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


def _need_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise errors.Forbidden("Hosts are for administrators to see.", kind="PolicyNotAuthorized")


def _moment(when: datetime.datetime | None) -> str | None:
    return when.isoformat(sep=" ", timespec="seconds") if when is not None else None
