# SPDX-License-Identifier: Apache-2.0
"""How a client that stands on a volume's own host reaches it: Cinder's connection_info, of the kind `local`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from zun_lite.api.volume import lookups
from zun_lite.db import hosts
from zun_lite.db.volume_attachments import AttachmentRow
from zun_lite.db.volumes import Volume
from zun_lite.domain.caller import Caller


def information(tx: sa.Connection, caller: Caller, volume: Volume, attachment: AttachmentRow | None) -> dict[str, Any]:
    """device_path is a path of the host's, and therefore for administrators and the operator's services only."""
    read_only = volume.read_only or (attachment is not None and attachment.read_only)
    connection: dict[str, Any] = {
        "volume_id": volume.uuid,
        "access_mode": "ro" if read_only else "rw",
        "encrypted": False,
        "qos_specs": None,
    }
    if attachment is not None:
        connection["attachment_id"] = attachment.uuid
    if caller.is_admin or lookups.is_service(caller):
        host = hosts.get(tx, volume.host) if volume.host else None
        folder = host.inventory.pool_dir if host is not None and host.inventory is not None else ""
        connection["device_path"] = f"{folder}/{volume.uuid}.img"
    return {"driver_volume_type": "local", "data": connection}
