# SPDX-License-Identifier: Apache-2.0
"""/v1/services: each host's service, taken out of use and back by administrators.

Parameters come in the query or as JSON. The one binary that a host runs bears the reference's name.
"""

from __future__ import annotations

import datetime
from typing import Any

import falcon

from zun_lite.api import policy
from zun_lite.api.container import parameters
from zun_lite.api.media import answer
from zun_lite.control import hosts
from zun_lite.control.hosts import HostReport
from zun_lite.control.means import Means
from zun_lite.domain import errors

BINARY = "zun-compute"


class HostServices:
    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "zun-service:get_all")
        answer(resp, {"services": [view(report) for report in hosts.every(self._means)]})

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "zun-service:delete")
        name, _ = _named(req)
        hosts.remove(self._means, name)
        answer(resp, None)

    def on_put_enable(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "zun-service:enable")
        name, _ = _named(req)
        hosts.enable(self._means, name)
        self._answer(resp, name, "disabled", "disabled_reason")

    def on_put_disable(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "zun-service:disable")
        name, given = _named(req)
        hosts.disable(self._means, name, parameters.text(given, "disabled_reason") or None)
        self._answer(resp, name, "disabled", "disabled_reason")

    def on_put_force_down(self, req: falcon.Request, resp: falcon.Response) -> None:
        policy.enforce(req.context.caller, "zun-service:force_down")
        name, given = _named(req)
        if given.get("forced_down") is None:
            raise errors.Invalid("forced_down must be given: true, or false to take it back.", kind="InvalidValue")
        hosts.force_down(self._means, name, parameters.boolean(given, "forced_down"))
        self._answer(resp, name, "forced_down")

    def _answer(self, resp: falcon.Response, name: str, *keys: str) -> None:
        shown = view(hosts.find(self._means, name))
        answer(resp, {"service": {key: shown[key] for key in ("host", "binary", *keys)}})


def view(report: HostReport) -> dict[str, Any]:
    host = report.host
    seen = _moment(host.seen_at)
    return {
        "id": host.id,
        "host": host.name,
        "binary": BINARY,
        "state": "up" if report.up else "down",
        "disabled": host.disabled,
        "disabled_reason": host.disabled_reason,
        "forced_down": host.forced_down,
        "last_seen_up": seen,
        "report_count": host.report_count,
        "availability_zone": host.availability_zone,
        "created_at": _moment(host.created_at),
        "updated_at": seen,
    }


def _named(req: falcon.Request) -> tuple[str, dict[str, Any]]:
    """(host, all parameters) of a request that names a host's service."""
    given = parameters.of_both(req)
    host, binary = parameters.text(given, "host"), parameters.text(given, "binary")
    if not host or not binary:
        raise errors.Invalid(f"host and binary must be given; binary is {BINARY}.", kind="InvalidValue")
    if binary != BINARY:
        raise errors.NotFound(
            f"Host {host} has no service {binary}; every host has {BINARY}.", kind="ZunServiceNotFound"
        )
    return host, given


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")
