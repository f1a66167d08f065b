# SPDX-License-Identifier: Apache-2.0
"""How an image looks in Glance's API: one flat object, a user's own properties beside the others."""

from __future__ import annotations

import datetime
from typing import Any

from zun_lite.db.images import Image

SCHEMA = "/v2/schemas/image"


def image(record: Image) -> dict[str, Any]:
    return {
        **record.properties,
        "id": record.uuid,
        "name": record.name,
        "status": record.status,
        "visibility": record.visibility,
        "container_format": record.container_format,
        "disk_format": record.disk_format,
        "min_disk": record.min_disk,
        "min_ram": record.min_ram,
        "protected": record.protected,
        "os_hidden": record.hidden,
        "owner": record.project_id,
        "size": record.size_bytes,
        "virtual_size": None,
        "checksum": record.md5,
        "os_hash_algo": "sha512" if record.sha512 else None,
        "os_hash_value": record.sha512,
        "tags": list(record.tags),
        "created_at": _moment(record.created_at),
        "updated_at": _moment(record.updated_at),
        "self": f"/v2/images/{record.uuid}",
        "file": f"/v2/images/{record.uuid}/file",
        "schema": SCHEMA,
    }


def _moment(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
