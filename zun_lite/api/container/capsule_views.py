# SPDX-License-Identifier: Apache-2.0
"""How a capsule looks on the wire: as now, and as before microversion 1.32."""

from __future__ import annotations

import datetime
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from zun_lite.api.container import views
from zun_lite.db.workloads import Workload
from zun_lite.domain.capsule import CapsuleSpec, Member
from zun_lite.domain.lifecycle import Observed

NAMES_SINCE = 32
# What administrators see of a capsule, and what of its containers.
GUARDED = ("host",)
_SHOWN = {
    "created": "Created",
    "running": "Running",
    "exited": "Stopped",
    "paused": "Paused",
    "restarting": "Restarting",
    "dead": "Dead",
}


def capsule(
    workload: Workload,
    *,
    minor: int,
    public_url: str,
    now: datetime.datetime,
    shown: Collection[str],
    members_shown: Collection[str],
    host_name: str | None,
) -> dict[str, Any]:
    """now: UTC, without a zone. shown, members_shown: which of the guarded fields are, of it and of its containers."""
    spec = workload.spec
    assert isinstance(spec, CapsuleSpec)
    seen = dict((workload.observed or Observed()).members)
    containers, init_containers = (
        [_member(workload, item, seen.get(item.uuid), now, members_shown, host_name) for item in members]
        for members in (spec.members, spec.init_members)
    )
    whole = views.container(workload, now=now, shown=(), host_name=None)
    body: dict[str, Any] = {
        "uuid": workload.uuid,
        "links": links(public_url, workload.uuid),
        "name": workload.name,
        "labels": spec.labels,
        "annotations": spec.annotations or {},
        "containers": containers,
        "init_containers": init_containers,
    }
    kept = ("project_id", "user_id", "status", "status_reason", "restart_policy", "memory", "cpu", "addresses")
    body.update((field, whole[field]) for field in (*kept, "created_at", "updated_at"))
    if "host" in shown:
        body["host"] = host_name
    return body if minor >= NAMES_SINCE else _as_before(body)


def links(public_url: str, uuid: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{public_url}/v1/capsules/{uuid}"},
        {"rel": "bookmark", "href": f"{public_url}/capsules/{uuid}"},
    ]


def member_status(workload: Workload, seen: Observed | None) -> str:
    """Of one container of a capsule."""
    if workload.status in ("Deleting", "Deleted", "Unknown"):
        return workload.status
    if seen is None:
        return "Error" if workload.status == "Error" else "Creating"
    return _SHOWN.get(seen.state, "Unknown")


def _member(
    workload: Workload,
    member: Member,
    seen: Observed | None,
    now: datetime.datetime,
    shown: Collection[str],
    host_name: str | None,
) -> dict[str, Any]:
    """A container without links: it cannot be asked for by itself."""
    alone = replace(
        workload,
        uuid=member.uuid,
        name=member.name,
        spec=member.spec,
        observed=seen,
        status=member_status(workload, seen),
        status_reason=None,
        task_state=None,
    )
    body = views.container(alone, now=now, shown=shown, host_name=host_name)
    exposed = {int(port.split("/")[0]) for port in member.spec.exposed_ports}
    body["ports"] = sorted({*body["ports"], *exposed})
    return body


def _as_before(body: dict[str, Any]) -> dict[str, Any]:
    renamed = {"name": "meta_name", "labels": "meta_labels"}
    return {
        **{renamed.get(key, key): value for key, value in body.items()},
        "restart_policy": body["restart_policy"].get("Name"),
        "volumes_info": {},
        "containers_uuids": [],
        "init_containers_uuids": [],
        "capsule_version": "",
    }
