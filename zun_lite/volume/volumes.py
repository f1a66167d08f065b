# SPDX-License-Identifier: Apache-2.0
"""What may be done to volumes: make, out of another one or not, extend, mark, delete.

Each function is part of a transaction of its caller's. What needs the file is an order to the host
that has it, and done once that host says so (volume/orders.py). Messages are Cinder's, where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from zun_lite.db import hosts, revisions, volume_snapshots, volume_types, volumes
from zun_lite.db.volume_types import VolumeType
from zun_lite.db.volumes import Volume
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.volume.quotas import VolumeQuotas

_MAY_COPY = (volumes.AVAILABLE, volumes.IN_USE)
_MAY_EXTEND = (volumes.AVAILABLE, volumes.IN_USE)
_MAY_DELETE = (volumes.AVAILABLE, volumes.ERROR, volumes.ERROR_EXTENDING, volumes.ERROR_DELETING)


@dataclass(frozen=True)
class Origin:
    """What a volume is made out of, with its size. host: whose pool has the file, None where there is none."""

    size_gib: int
    volume_type: str
    host: str | None
    shared: bool
    fs_type: str
    snapshot_id: str | None = None
    source_volid: str | None = None


@dataclass(frozen=True)
class NewVolume:
    """size_gib: None is its origin's. metadata: of the user's own."""

    size_gib: int | None
    kind: VolumeType
    name: str = ""
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    made_for: str | None = None


def create(tx: sa.Connection, quotas: VolumeQuotas, project_id: str, user_id: str, wanted: NewVolume) -> str:
    """Its id. Available at once if there is nothing to copy. Invalid: no size, or smaller than its origin."""
    origin, kind = wanted.origin, wanted.kind
    size_gib = _size(wanted)
    quotas.hold(tx, project_id, kind.name, count=1, gigabytes=size_gib, size_gib=size_gib)
    to_copy = origin is not None and origin.host is not None
    host = keeper(tx, origin.host, shared=origin.shared) if origin is not None and origin.host else None
    uuid = new_id()
    volumes.insert(
        tx,
        uuid=uuid,
        project_id=project_id,
        user_id=user_id,
        name=wanted.name,
        description=wanted.description,
        size_gib=size_gib,
        volume_type=kind.name,
        fs_type=origin.fs_type if origin is not None and to_copy else kind.fs_type,
        multiattach=kind.multiattach,
        made_for=wanted.made_for,
        status=volumes.CREATING if to_copy else volumes.AVAILABLE,
        snapshot_id=origin.snapshot_id if origin else None,
        source_volid=origin.source_volid if origin else None,
        host=host,
        shared=origin.shared if origin and to_copy else False,
    )
    volumes.set_metadata(tx, uuid, wanted.metadata, replace=True)
    if host is not None:
        revisions.raise_one(tx, revisions.host(host))
    return uuid


def out_of_snapshot(tx: sa.Connection, snapshot: volume_snapshots.Snapshot) -> Origin:
    """The snapshot as an origin, held. Invalid: it is not available."""
    held = volume_snapshots.held(tx, snapshot.uuid)
    if held is None or held.status != volume_snapshots.AVAILABLE:
        status = held.status if held else "deleted"
        raise invalid(
            f"Invalid snapshot: Originating snapshot status must be one of 'available' values, and {snapshot.uuid} is "
            f"{status}."
        )
    volume = volumes.get(tx, held.volume_uuid)
    assert volume is not None
    return Origin(held.size_gib, volume.volume_type, held.host, held.shared, volume.fs_type, snapshot_id=snapshot.uuid)


def out_of_volume(tx: sa.Connection, source: Volume) -> Origin:
    """The volume as an origin, held. Invalid: it is neither available nor in use."""
    held = volumes.held(tx, source.uuid)
    if held is None or held.status not in _MAY_COPY:
        status = held.status if held else "deleted"
        raise invalid(
            "Invalid volume: Originating volume status must be one of 'available, in-use' values, and "
            f"{source.uuid} is {status}."
        )
    refuse_half_made(held)
    file_host = held.host if held.formatted else None
    return Origin(held.size_gib, held.volume_type, file_host, held.shared, held.fs_type, source_volid=source.uuid)


def extend(tx: sa.Connection, quotas: VolumeQuotas, volume: Volume, size_gib: int) -> None:
    """Larger, also while it is in use. Invalid: not larger, or a status in which it cannot."""
    held = volumes.held(tx, volume.uuid)
    if held is None or held.status not in _MAY_EXTEND:
        raise invalid(
            f"Invalid volume: Volume {volume.uuid} status must be 'available' or 'in-use' to extend, "
            f"currently {held.status if held else 'deleted'}."
        )
    if size_gib <= held.size_gib:
        raise invalid(
            f"Invalid input received: New size for extend must be greater than current size. "
            f"(current: {held.size_gib}, extended: {size_gib})."
        )
    more = size_gib - held.wanted_gib
    quotas.hold(tx, held.project_id, held.volume_type, gigabytes=more, size_gib=size_gib)
    if held.host is None:
        volumes.update(tx, held.uuid, {"size_gib": size_gib, "wanted_gib": size_gib})
        return
    volumes.order(tx, held, volumes.EXTENDING, wanted_gib=size_gib, host=keeper_of(tx, held))


def delete(tx: sa.Connection, volume: Volume, *, cascade: bool = False, force: bool = False) -> None:
    """A volume without a file is gone at once; one with a file when its host has removed it.

    cascade: its snapshots too. force: whatever its status. Invalid: it is in use, has snapshots, or is copied.
    """
    held = volumes.held(tx, volume.uuid)
    if held is None or held.status == volumes.DELETING:
        return
    if held.attachments or not (force or held.status in _MAY_DELETE):
        raise _not_deletable()
    if volumes.copies_of(tx, volume_uuid=held.uuid):
        raise invalid(f"Invalid volume: Volume {held.uuid} is being copied to another volume; wait for that.")
    kept = volume_snapshots.of_volume(tx, held.uuid)
    if kept and not cascade:
        raise _not_deletable()
    for snapshot in kept:
        delete_snapshot(tx, snapshot, force=force)
    if held.host is None:
        volumes.update(tx, held.uuid, {"status": volumes.DELETING})
        volumes.remove(tx, held.uuid)
    else:
        volumes.order(tx, held, volumes.DELETING, host=keeper_of(tx, held))


def delete_snapshot(tx: sa.Connection, snapshot: volume_snapshots.Snapshot, *, force: bool = False) -> None:
    """Gone when its host has removed the file. Invalid: its status does not allow it, or it is copied."""
    held = volume_snapshots.held(tx, snapshot.uuid)
    if held is None or held.status == volume_snapshots.DELETING:
        return
    allowed = (volume_snapshots.AVAILABLE, volume_snapshots.ERROR, volume_snapshots.ERROR_DELETING)
    if held.status not in allowed and not force:
        raise invalid(
            f"Invalid snapshot: Snapshot status must be available or error or error_deleting and must not be part of a "
            f"group; {held.uuid} is {held.status}."
        )
    if volumes.copies_of(tx, snapshot_uuid=held.uuid):
        raise invalid(f"Invalid snapshot: Snapshot {held.uuid} is being copied to a volume; wait for that.")
    if held.host is None:
        volume_snapshots.remove(tx, held.uuid)
    else:
        host = keeper(tx, held.host, shared=held.shared)
        volume_snapshots.order(tx, held, volume_snapshots.DELETING, host=host)


def keeper_of(tx: sa.Connection, volume: Volume) -> str:
    """The host that is to act on the volume's file."""
    assert volume.host is not None
    return volume.host if volume.attachments else keeper(tx, volume.host, shared=volume.shared)


def keeper(tx: sa.Connection, host_uuid: str, *, shared: bool) -> str:
    """The host that is to act on a file: the one that did, or another that sees it when that one is lost."""
    if not shared:
        return host_uuid
    if any(host.uuid == host_uuid and host.state == hosts.READY for host in hosts.every(tx)):
        return host_uuid
    return _sharer(tx, host_uuid) or host_uuid


def hand_over(tx: sa.Connection, host_uuid: str) -> None:
    """Make what the host has in a shared pool, and nobody uses, another's who sees it, if there is one."""
    heir = _sharer(tx, host_uuid)
    if heir is not None:
        volumes.hand_over(tx, host_uuid, heir)
        volume_snapshots.hand_over(tx, host_uuid, heir)
        revisions.raise_one(tx, revisions.host(heir))


def _sharer(tx: sa.Connection, host_uuid: str) -> str | None:
    """Another host that is there and sees a shared pool."""
    for host in hosts.every(tx):
        sees = host.inventory is not None and host.inventory.pool_shared
        if host.uuid != host_uuid and host.state == hosts.READY and sees:
            return host.uuid
    return None


def refuse_half_made(volume: Volume) -> None:
    """Conflict: the volume's first container is only now being made, so that nobody knows whether it has a file."""
    if volume.attachments and not volume.formatted:
        raise errors.Conflict(f"Volume {volume.uuid} gets its file system just now; try again.")


def kind_for_new(tx: sa.Connection, origin: Origin | None) -> VolumeType:
    """The type of a volume for which none was said: its origin's, else the default."""
    known = volume_types.every(tx)
    if origin is not None:
        known = [item for item in known if item.name == origin.volume_type] or known
        return known[0]
    return known[-1]


def invalid(sentence: str) -> errors.Invalid:
    return errors.Invalid(sentence, kind="badRequest")


def _size(wanted: NewVolume) -> int:
    origin = wanted.origin
    if wanted.size_gib is None:
        if origin is None:
            raise invalid("Invalid input received: the size of the volume in GiB is missing.")
        return origin.size_gib
    if origin is not None and wanted.size_gib < origin.size_gib:
        what = "snapshot" if origin.snapshot_id else "volume"
        raise invalid(
            f"Invalid input received: Volume size '{wanted.size_gib}'GB cannot be smaller than the original {what} "
            f"size {origin.size_gib}GB. They must be >= original {what} size."
        )
    return wanted.size_gib


def _not_deletable() -> errors.Invalid:
    return invalid(
        "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
        "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a "
        "transfer, or be disassociated from snapshots after volume transfer."
    )
