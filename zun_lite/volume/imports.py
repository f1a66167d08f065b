# SPDX-License-Identifier: Apache-2.0
"""The record of a volume whose file an operator brought to a host's pool. Each function is part of a transaction."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.db import volumes
from zun_lite.db.volume_types import VolumeType
from zun_lite.volume.quotas import VolumeQuotas


@dataclass(frozen=True)
class Imported:
    """A volume that is to be. host: in whose pool its file is, or will be."""

    uuid: str
    project_id: str
    host: str
    name: str
    size_gib: int
    fs_type: str
    kind: VolumeType
    shared: bool


def refuse_over_quota(tx: sa.Connection, quotas: VolumeQuotas, wanted: Imported) -> None:
    """TooLarge: the project may not have one more volume, or not so large a one."""
    size_gib = wanted.size_gib
    quotas.hold(tx, wanted.project_id, wanted.kind.name, count=1, gigabytes=size_gib, size_gib=size_gib)


def record(tx: sa.Connection, quotas: VolumeQuotas, wanted: Imported) -> None:
    """An available volume, with its file. TooLarge: see refuse_over_quota()."""
    refuse_over_quota(tx, quotas, wanted)
    volumes.insert(
        tx,
        uuid=wanted.uuid,
        project_id=wanted.project_id,
        user_id="",
        name=wanted.name,
        description=None,
        size_gib=wanted.size_gib,
        volume_type=wanted.kind.name,
        fs_type=wanted.fs_type,
        multiattach=wanted.kind.multiattach,
        host=wanted.host,
        shared=wanted.shared,
    )
    volumes.update(tx, wanted.uuid, {"formatted": True})
