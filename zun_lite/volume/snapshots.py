# SPDX-License-Identifier: Apache-2.0
"""What may be done to snapshots besides deleting, which is volume/volumes.py's: they go with their volume, too."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from zun_lite.db import revisions, volume_snapshots, volumes
from zun_lite.db.volumes import Volume
from zun_lite.domain.names import new_id
from zun_lite.volume.quotas import VolumeQuotas
from zun_lite.volume.volumes import invalid, keeper_of, refuse_half_made


def create(
    tx: sa.Connection,
    quotas: VolumeQuotas,
    volume: Volume,
    user_id: str,
    *,
    name: str,
    description: str | None,
    metadata: Mapping[str, str],
    force: bool,
) -> str:
    """Its id; it belongs to the volume's project.

    force: also of a volume in use, whose file system then stands still for a moment.
    Invalid: the volume's status does not allow it. Conflict: its file system is only now being made.
    """
    held = volumes.held(tx, volume.uuid)
    allowed = (volumes.AVAILABLE, volumes.IN_USE) if force else (volumes.AVAILABLE,)
    if held is None or held.status not in allowed:
        raise invalid(
            f"Invalid volume: Volume {volume.uuid} status must be {' or '.join(allowed)}, but current status is: "
            f"{held.status if held else 'deleted'}."
        )
    refuse_half_made(held)
    quotas.hold(tx, held.project_id, held.volume_type, snapshots=1, gigabytes=held.size_gib)
    host = keeper_of(tx, held) if held.formatted else None
    uuid = new_id()
    volume_snapshots.insert(
        tx,
        uuid=uuid,
        volume_uuid=held.uuid,
        project_id=held.project_id,
        user_id=user_id,
        name=name,
        description=description,
        size_gib=held.size_gib,
        status=volume_snapshots.AVAILABLE if host is None else volume_snapshots.CREATING,
        host=host,
        shared=held.shared,
    )
    volume_snapshots.set_metadata(tx, uuid, metadata, replace=True)
    if host is not None:
        revisions.raise_one(tx, revisions.host(host))
    return uuid
