# SPDX-License-Identifier: Apache-2.0
"""How a container and its actions look on the wire.

Plain dicts, built field by field: a list of hundreds must be cheap. Lists and objects are never
null. Fields for administrators are absent, not null, for others.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection
from typing import Any

from zun_lite.db.actions import Action
from zun_lite.db.workloads import Workload
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.spec import Healthcheck, RestartPolicy
from zun_lite.domain.wiring import Endpoint

_HEALTH = {"healthy": " (healthy)", "unhealthy": " (unhealthy)", "starting": " (health: starting)"}
_UNITS = (("days", 86400), ("hours", 3600), ("mins", 60))


# Fields that a rule of their own guards, container:get_one:FIELD.
GUARDED = ("host", "image_pull_policy", "privileged", "runtime")
DEFAULT_RUNTIME = "runc"


def container(
    workload: Workload, *, now: datetime.datetime, shown: Collection[str], host_name: str | None
) -> dict[str, Any]:
    """now: UTC, without a zone. shown: which of the guarded fields are shown."""
    spec, seen = workload.spec, workload.observed or Observed()
    body = {
        "uuid": workload.uuid,
        "name": workload.name,
        "image": spec.image,
        "image_driver": spec.image_driver,
        "command": list(spec.command or seen.command or ()),
        "entrypoint": list(spec.entrypoint or seen.entrypoint or ()),
        "status": workload.status,
        "status_reason": workload.status_reason,
        "status_detail": status_detail(workload.status, seen, now),
        "task_state": workload.task_state,
        "cpu": spec.cpus,
        "cpu_policy": spec.cpu_policy,
        "memory": str(spec.memory_mib),
        "disk": spec.disk_gib,
        "environment": spec.environment,
        "labels": spec.labels,
        "workdir": spec.workdir,
        "hostname": spec.hostname or seen.hostname,
        "ports": list(seen.ports),
        "addresses": _addresses(workload.wiring.endpoints),
        "security_groups": list(spec.security_groups or workload.wiring.security_groups),
        "restart_policy": _restart_policy(spec.restart_policy),
        "interactive": spec.interactive,
        "tty": spec.tty,
        "auto_remove": spec.auto_remove,
        "auto_heal": spec.auto_heal,
        "healthcheck": _healthcheck(spec.healthcheck),
        "registry_id": spec.registry_id,
        "project_id": workload.project_id,
        "user_id": workload.user_id,
        "created_at": _moment(workload.created_at),
        "updated_at": _moment(workload.updated_at),
    }
    if shown:
        guarded = {
            "host": host_name,
            "image_pull_policy": spec.image_pull_policy,
            "privileged": spec.privileged,
            "runtime": spec.runtime or (DEFAULT_RUNTIME if seen.container_id else None),
        }
        body.update((name, guarded[name]) for name in shown)
    return body


def links(public_url: str, uuid: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{public_url}/v1/containers/{uuid}"},
        {"rel": "bookmark", "href": f"{public_url}/containers/{uuid}"},
    ]


def action(row: Action) -> dict[str, Any]:
    return {
        "action": row.action,
        "container_uuid": row.workload_uuid,
        "request_id": row.request_id,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "start_time": _action_moment(row.started_at),
        "finish_time": _action_moment(row.finished_at),
        "message": row.message,
    }


def action_events(row: Action, *, traceback: bool) -> list[dict[str, Any]]:
    """What came of it: one event, with the reason of a failure for administrators."""
    result = None if row.finished_at is None else "Error" if row.message else "Success"
    return [
        {
            "event": f"compute__do_container_{row.action}",
            "start_time": _action_moment(row.started_at),
            "finish_time": _action_moment(row.finished_at),
            "result": result,
            "traceback": row.reason if traceback and row.finished_at else None,
        }
    ]


def status_detail(status: str, seen: Observed, now: datetime.datetime) -> str | None:
    """In Docker's words: Up 3 mins, Exited(0) 8 mins ago ..."""
    if status in ("Created", "Restarting", "Dead"):
        return status
    if status in ("Running", "Paused"):
        since = _ago(seen.started_at, now)
        more = " (paused)" if status == "Paused" else _HEALTH.get(seen.health or "", "")
        return f"Up {since}{more}" if since else None
    if status == "Stopped":
        since = _ago(seen.finished_at, now)
        failed = "(error)" if seen.exit_code else ""
        return f"Exited({seen.exit_code or 0}) {since} ago {failed}" if since else None
    return None


def _ago(moment: str | None, now: datetime.datetime) -> str | None:
    if not moment:
        return None
    try:
        then = datetime.datetime.fromisoformat(moment).replace(tzinfo=None)
    except ValueError:
        return None
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def _addresses(endpoints: tuple[Endpoint, ...]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.network_id, []).extend(
            {
                "addr": address.ip,
                "version": 6 if ":" in address.ip else 4,
                "port": endpoint.port_id,
                "subnet_id": address.subnet_id,
                "preserve_on_delete": not endpoint.owned,
            }
            for address in endpoint.addresses
        )
    return found


def _restart_policy(asked: RestartPolicy | None) -> dict[str, str]:
    return {"Name": asked.name, "MaximumRetryCount": str(asked.maximum_retry_count)} if asked else {}


def _healthcheck(asked: Healthcheck | None) -> dict[str, Any]:
    if asked is None:
        return {}
    return {
        "test": asked.test,
        "interval": asked.interval_seconds,
        "retries": asked.retries,
        "timeout": asked.timeout_seconds,
    }


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else str(moment)


def _action_moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")
