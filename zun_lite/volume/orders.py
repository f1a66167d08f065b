# SPDX-License-Identifier: Apache-2.0
"""What a host is to do about volumes and snapshots, and what follows from what it says of it.

Orders are a level: they follow from the records, and stay until the host has said that they are done
or cannot be. An order that failed is not given again by itself, but for removals, which the host goes
on trying. News of an older attempt, or of another host, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

import sqlalchemy as sa

from zun_lite.db import revisions, volume_snapshots, volumes
from zun_lite.db.volume_snapshots import Snapshot
from zun_lite.db.volumes import Volume
from zun_lite.domain.desired import COPY, DESTROY, GROW, MAKE, SNAPSHOT, TAKE, VOLUME, VolumeNews, VolumeOrder

LOG = logging.getLogger(__name__)
_LATER = (
    "The volume is larger, but its file system is not yet: its host cannot make it larger while it is in use. Stop and "
    "start what has the volume, all of it if several have."
)


def for_host(tx: sa.Connection, host_uuid: str) -> Iterator[VolumeOrder]:
    """All that the host is to do now, volumes that it is to remove excepted (db/volumes.doomed)."""
    for snapshot in volume_snapshots.ordered(tx, host_uuid):
        act = TAKE if snapshot.status == volume_snapshots.CREATING else DESTROY
        yield VolumeOrder(
            snapshot.uuid,
            SNAPSHOT,
            act,
            snapshot.attempt,
            snapshot.size_gib,
            source_kind=VOLUME,
            source_id=snapshot.volume_uuid,
        )
    for volume in volumes.ordered(tx, host_uuid):
        yield _order(volume)


def take_news(tx: sa.Connection, host_uuid: str, news: VolumeNews) -> None:
    """Store what a host says."""
    if news.kind == SNAPSHOT:
        snapshot = volume_snapshots.held(tx, news.uuid)
        if snapshot is not None and snapshot.host == host_uuid and snapshot.attempt == news.attempt:
            _take_of_snapshot(tx, snapshot, news.problem)
        return
    volume = volumes.held(tx, news.uuid)
    if volume is None or volume.host != host_uuid:
        return
    if volume.status in volumes.DOOMED:
        if news.attempt == 0 and news.problem:
            _change(tx, volume, volumes.ERROR_DELETING, problem=news.problem)
    elif volume.attempt == news.attempt:
        _take_of_volume(tx, volume, news.problem, later=news.later)


def _order(volume: Volume) -> VolumeOrder:
    origin = volume.snapshot_id or volume.source_volid
    if volume.status == volumes.CREATING and origin:
        act = COPY
    else:
        act = GROW if volume.status == volumes.EXTENDING else MAKE
    return VolumeOrder(
        volume.uuid,
        VOLUME,
        act,
        volume.attempt,
        volume.wanted_gib,
        volume.fs_type,
        source_kind="" if act != COPY else SNAPSHOT if volume.snapshot_id else VOLUME,
        source_id=origin or "" if act == COPY else "",
        made=volume.formatted,
    )


def _take_of_volume(tx: sa.Connection, volume: Volume, problem: str | None, *, later: bool) -> None:
    if volume.status == volumes.CREATING:
        if problem:
            _change(tx, volume, volumes.ERROR, problem=problem)
        else:
            _change(tx, volume, volumes.AVAILABLE, formatted=True)
    elif volume.status == volumes.EXTENDING:
        if problem:
            _change(tx, volume, volumes.ERROR_EXTENDING, problem=problem, wanted_gib=volume.size_gib)
        else:
            status = volumes.status_by_use(volume)
            _change(tx, volume, status, formatted=True, size_gib=volume.wanted_gib)
            if later and volume.attachments:
                volumes.update(tx, volume.uuid, {"problem": _LATER})
    elif volume.file_wanted and not volume.formatted:
        if problem:
            _change(tx, volume, volume.status, problem=problem, file_wanted=False)
        else:
            _change(tx, volume, volume.status, formatted=True)


def _take_of_snapshot(tx: sa.Connection, snapshot: Snapshot, problem: str | None) -> None:
    if snapshot.status == volume_snapshots.CREATING:
        status = volume_snapshots.ERROR if problem else volume_snapshots.AVAILABLE
        volume_snapshots.update(tx, snapshot.uuid, {"status": status, "problem": problem})
    elif snapshot.status in volume_snapshots.DOOMED and problem:
        volume_snapshots.update(tx, snapshot.uuid, {"status": volume_snapshots.ERROR_DELETING, "problem": problem})
        return
    elif snapshot.status in volume_snapshots.DOOMED:
        volume_snapshots.remove(tx, snapshot.uuid)
    else:
        return
    _log("snapshot", snapshot.uuid, problem)
    assert snapshot.host is not None
    revisions.raise_one(tx, revisions.host(snapshot.host))


def _change(tx: sa.Connection, volume: Volume, status: str, **changes: object) -> None:
    volumes.update(tx, volume.uuid, {"status": status, "problem": None, **changes})
    _log("volume", volume.uuid, str(changes["problem"]) if "problem" in changes else None)
    assert volume.host is not None
    if status != volumes.ERROR_DELETING:
        revisions.raise_one(tx, revisions.host(volume.host))


def _log(what: str, uuid: str, problem: str | None) -> None:
    if problem:
        LOG.warning("%s %s: its host cannot do what is asked for: %s", what, uuid, problem)
    else:
        LOG.info("%s %s: its host has done what was asked for", what, uuid)
