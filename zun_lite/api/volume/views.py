# SPDX-License-Identifier: Apache-2.0
"""Records as Cinder shows them at a request's microversion: no field more, since some clients refuse those."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.microversions import Version
from zun_lite.db.volume_attachments import ATTACHED, DETACHING, AttachmentRow
from zun_lite.db.volume_snapshots import CREATING, Snapshot
from zun_lite.db.volume_types import LOCAL, VolumeType
from zun_lite.db.volumes import Volume


def summary(record: Volume, public_url: str) -> dict[str, Any]:
    return {"id": record.uuid, "name": record.name, "links": _links(record, public_url)}


def volume(
    record: Volume, public_url: str, *, admin: bool, host_names: Mapping[str, str], version: Version
) -> dict[str, Any]:
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
                "server_id": attachment.server,
                "host_name": _host_name(attachment, host_names) if admin else None,
                "device": attachment.target,
                "attached_at": moment(attachment.attached_at),
            }
            for attachment in record.attachments
            if attachment.state in (ATTACHED, DETACHING)
        ],
        "bootable": "true" if record.bootable else "false",
        "encrypted": False,
        "multiattach": record.multiattach,
        "metadata": {**dict(record.metadata), **({"readonly": "True"} if record.read_only else {})},
        "snapshot_id": record.snapshot_id,
        "source_volid": record.source_volid,
        "consistencygroup_id": None,
        "replication_status": None,
        "user_id": record.user_id,
        "os-vol-tenant-attr:tenant_id": record.project_id,
        "links": _links(record, public_url),
    }
    if version >= since.GROUP_ID:
        view["group_id"] = None
    if version >= since.SHARED_TARGETS:
        view |= {"shared_targets": False, "service_uuid": record.host if admin else None}
    if admin:
        host = record.host
        view |= {
            "os-vol-host-attr:host": f"{host_names.get(host, host)}@{LOCAL}#{LOCAL}" if host else None,
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
        if version >= since.PROVIDER_ID:
            view["provider_id"] = None
    return view


def snapshot(record: Snapshot, *, version: Version, detail: bool = True) -> dict[str, Any]:
    view: dict[str, Any] = {
        "id": record.uuid,
        "name": record.name,
        "description": record.description,
        "volume_id": record.volume_uuid,
        "status": record.status,
        "size": record.size_gib,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "metadata": dict(record.metadata),
    }
    if version >= since.USER_OF_SNAPSHOT:
        view["user_id"] = record.user_id
    if detail:
        view |= {
            "os-extended-snapshot-attributes:progress": "0%" if record.status == CREATING else "100%",
            "os-extended-snapshot-attributes:project_id": record.project_id,
        }
        if version >= since.GROUP_SNAPSHOT_ID:
            view["group_snapshot_id"] = None
    return view


def attachment(record: AttachmentRow, *, detail: bool, connection: dict[str, Any] | None = None) -> dict[str, Any]:
    """connection: how the volume is reached, for who may know it."""
    view: dict[str, Any] = {
        "id": record.uuid,
        "volume_id": record.volume_uuid,
        "instance": record.server,
        "status": record.state,
    }
    if detail:
        view |= {
            "attached_at": moment(record.attached_at) if record.state in (ATTACHED, DETACHING) else "",
            "detached_at": "",
            "attach_mode": "ro" if record.read_only else "rw",
            "connection_info": connection or {},
        }
    return view


def volume_type(kind: VolumeType, *, admin: bool) -> dict[str, Any]:
    """What a host is told by a type's specs is its administrators' business, whether it is multi-attach everybody's."""
    told = kind.extra_specs if admin else {key: value for key, value in kind.extra_specs.items() if key in _FOR_ALL}
    return {
        "id": kind.uuid,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
        "os-volume-type-access:is_public": kind.is_public,
        "qos_specs_id": None,
        "extra_specs": dict(told),
    }


def moment(value: datetime.datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="microseconds")


_FOR_ALL = ("multiattach", "fs_type")


def _host_name(attachment: AttachmentRow, host_names: Mapping[str, str]) -> str | None:
    return host_names.get(attachment.host, attachment.host) if attachment.host else attachment.host_name


def _links(record: Volume, public_url: str) -> list[dict[str, str]]:
    return [
        {"rel": "self", "href": f"{public_url}/volume/v3/volumes/{record.uuid}"},
        {"rel": "bookmark", "href": f"{public_url}/volume/volumes/{record.uuid}"},
    ]
