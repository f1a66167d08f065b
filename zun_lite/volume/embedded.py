# SPDX-License-Identifier: Apache-2.0
"""Volumes of our own: files in the pool of the host that first used them, and their records in SQL.

An empty volume is made as a record only; its file comes with its first attachment, which also settles the
host. Each method is one transaction of its own, and does nothing that was done already: an attachment
is known by the container's uuid and the position among its mounts.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from zun_lite.db import hosts, volume_attachments, volume_snapshots, volume_types, volumes
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import Attachment
from zun_lite.volume.quotas import VolumeQuotas
from zun_lite.volume.volumes import NewVolume, create, delete

LOG = logging.getLogger(__name__)


class EmbeddedVolumes:
    """The VolumeProvider of an installation that has no Cinder."""

    def __init__(self, db: Database, quotas: VolumeQuotas | None = None) -> None:
        self._db = db
        self._quotas = quotas or VolumeQuotas()

    def resolve(self, caller: Caller, ident: str) -> tuple[str, str | None]:
        """(volume id, host uuid or None) of a volume of the caller's project that can be mounted."""
        with self._db.read() as tx:
            uuid = as_id(ident)
            mine = [volumes.belonging_to(caller.project_id)]
            found = volumes.page(tx, [*mine, volumes.volumes.c.uuid == uuid]) if uuid else []
            found = found or volumes.page(tx, [*mine, volumes.volumes.c.name == ident])
        if not found:
            raise errors.NotFound(f"Volume {ident} could not be found.", kind="VolumeNotFound")
        if len(found) > 1:
            raise errors.Ambiguous(f"Several volumes are named {ident}; use the id of one.")
        if not volumes.may_take(found[0]):
            raise _not_usable(found[0])
        # several hosts see a shared one; but where it is mounted already, it stays
        free = found[0].shared and not found[0].attachments
        return found[0].uuid, None if free else found[0].host

    def prepare(self, caller: Caller, workload_uuid: str, position: int, request: MountRequest) -> MountRequest:
        """The request as it is: a volume is made when it is provided."""
        return request

    def abandon(self, workload_uuid: str) -> None:
        """Nothing: nothing was prepared."""

    def tidy(self) -> list[str]:
        """Nothing."""
        return []

    def provide(
        self, workload_uuid: str, project_id: str, host_uuid: str, position: int, request: MountRequest
    ) -> Attachment:
        """The attachment at this position of the workload, made now if it is not yet."""

        def work(tx: sa.Connection) -> Attachment:
            there = volume_attachments.at(tx, workload_uuid, position)
            if there is None:
                volume_id = request.volume_id or self._make(tx, workload_uuid, project_id, request)
                return _attach(tx, volume_id, workload_uuid, project_id, host_uuid, position, request)
            volume = volumes.get(tx, there.volume_uuid)
            assert volume is not None
            if there.host != host_uuid:
                raise _elsewhere(volume)
            return _answer(volume, there.epoch, there.target, there.read_only)

        return self._db.transact(work)

    def release(self, workload_uuid: str) -> None:
        """End the workload's attachments. Volumes that were made for it are deleted.

        One that cannot be, because it has snapshots or is being copied, say, is left to its owner.
        """

        def work(tx: sa.Connection) -> None:
            for attachment in volume_attachments.of_workload(tx, workload_uuid):
                volumes.detach(tx, attachment)
                volume = volumes.get(tx, attachment.volume_uuid)
                if volume is not None and volume.made_for == workload_uuid:
                    _delete_or_leave(tx, volume)

        self._db.transact(work)

    def _make(self, tx: sa.Connection, workload_uuid: str, project_id: str, request: MountRequest) -> str:
        wanted = NewVolume(
            request.size_gib or 1,
            volume_types.default(tx),
            description=f"Made for container {workload_uuid}",
            made_for=workload_uuid if request.goes else None,
        )
        uuid = create(tx, self._quotas, project_id, "", wanted)
        volumes.update(tx, uuid, {"name": uuid})
        return uuid


def _delete_or_leave(tx: sa.Connection, volume: volumes.Volume) -> None:
    try:
        delete(tx, volume)
    except errors.Invalid as error:
        LOG.warning("volume %s: stays when its container goes, and is its owner's: %s", volume.uuid, error.message)
        problem = f"It stays although container {volume.made_for}, with which it was to go, is gone. {error.message}"
        volumes.update(tx, volume.uuid, {"made_for": None, "problem": problem})


def _attach(
    tx: sa.Connection,
    volume_id: str,
    workload_uuid: str,
    project_id: str,
    host_uuid: str,
    position: int,
    request: MountRequest,
) -> Attachment:
    volume = volumes.get(tx, volume_id)
    if volume is None or volume.project_id != project_id:
        raise errors.NotFound(f"Volume {volume_id} could not be found.", kind="VolumeNotFound")
    host = hosts.get(tx, host_uuid)
    shared = host is not None and host.inventory is not None and host.inventory.pool_shared
    if volume.host not in (None, host_uuid):
        if not (volume.shared and shared) or volume.attachments:
            raise _elsewhere(volume)
        if any(item.status == volume_snapshots.CREATING for item in volume_snapshots.of_volume(tx, volume_id)):
            raise errors.Busy(f"Volume {volume_id} can move to another host once its snapshot is taken.")
    read_only = request.read_only or volume.read_only
    epoch = volumes.attach(
        tx,
        volume_id,
        workload_uuid=workload_uuid,
        position=position,
        host=host_uuid,
        target=request.target,
        read_only=read_only,
        shared=shared,
    )
    if epoch is None:
        raise _not_usable(volumes.get(tx, volume_id) or volume)
    if request.volume_id and request.goes:
        volumes.give_away(tx, volume_id, workload_uuid)
    return _answer(volume, epoch, request.target, read_only)


def _answer(volume: volumes.Volume, epoch: int, target: str, read_only: bool) -> Attachment:
    return Attachment(
        volume_id=volume.uuid,
        epoch=epoch,
        size_gib=volume.size_gib,
        target=target,
        fs_type=volume.fs_type,
        formatted=volume.formatted,
        read_only=read_only,
        owned=volume.made_for is not None,
        shared=volume.multiattach,
    )


def _not_usable(volume: volumes.Volume) -> errors.NotUsable:
    return errors.NotUsable(
        f"Volume {volume.uuid} is {volume.status}; a volume must be available to be mounted.", kind="VolumeNotUsable"
    )


def _elsewhere(volume: volumes.Volume) -> errors.NotUsable:
    return errors.NotUsable(
        f"Volume {volume.uuid} is on host {volume.host}, and can be mounted there only.", kind="VolumeNotUsable"
    )
