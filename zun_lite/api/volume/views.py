# SPDX-License-Identifier: Apache-2.0
"""Records as Cinder shows them at microversion 3.0: no field more, since some clients refuse those."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from zun_lite.db.volumes import Volume
from zun_lite.volume.embedded import LOCAL

TYPE_ID = "5f1ab2d7-6c1e-4d6f-9a50-1a7b5b3c9f10"


def summary(record: Volume, public_url: str) -> dict[str, Any]:
    return {"id": record.uuid, "name": record.name, "links": _links(record, public_url)}


def volume(record: Volume, public_url: str, *, admin: bool, host_names: Mapping[str, str]) -> dict[str, Any]:
    """host_names: by host uuid."""
    view: dict[str, Any] = {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "status": record.status,
        "size": record.size_gib,
        "volume_type": record.volume_type,
        "availability_zone": record.availability_zone,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "attachments": [
            {
                "id": record.uuid,
                "attachment_id": attachment.uuid,
                "volume_id": record.uuid,
                "server_id": attachment.workload_uuid,
                "host_name": host_names.get(attachment.host, attachment.host) if admin else None,
                "device": attachment.target,
                "attached_at": moment(attachment.attached_at),
            }
            for attachment in record.attachments
        ],
        "bootable": "false",
        "encrypted": False,
        "multiattach": False,
        "metadata": dict(record.metadata),
        "snapshot_id": None,
        "source_volid": None,
        "consistencygroup_id": None,
        "replication_status": None,
        "user_id": record.user_id,
        "os-vol-tenant-attr:tenant_id": record.project_id,
        "links": _links(record, public_url),
    }
    if admin:
        host = record.host
        view |= {
            "os-vol-host-attr:host": f"{host_names.get(host, host)}@{LOCAL}#{LOCAL}" if host else None,
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
    return view


def volume_type() -> dict[str, Any]:
    """The one type: a file in the pool of the host that first uses the volume."""
    return {
        "id": TYPE_ID,
        "name": LOCAL,
        "description": "A file on the host of the container that first uses the volume",
        "is_public": True,
        "os-volume-type-access:is_public": True,
        "qos_specs_id": None,
        "extra_specs": {},
    }


def moment(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="microseconds")


def _links(record: Volume, public_url: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{public_url}/volume/v3/volumes/{record.uuid}"},
        {"rel": "bookmark", "href": f"{public_url}/volume/volumes/{record.uuid}"},
    ]
