# SPDX-License-Identifier: Apache-2.0
"""Volumes of a Cinder, for workloads.

Found and made with the rights of the user who asks; attached, detached and deleted by the services' own account,
which has to be an administrator's and have the role `service`. What is done there is written down before
(db/cinder.py), and each step looks first, so that whoever dies in between is followed up. An attachment is in use
for Cinder before its host is told of it, and is ended only once the host has let go.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.common.secrets import SecretBox
from zun_lite.db import cinder, hosts, workloads
from zun_lite.db.cinder import Use
from zun_lite.db.engine import Database
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import LOCKED, Attachment
from zun_lite.volume.cinder_api import CinderApi

MARK = "zun_lite_workload"
"""The metadata of a volume that is made for a workload: its uuid and the position among its mounts."""
LOG = logging.getLogger(__name__)
_COMING = ("creating", "downloading", "restoring-backup")
_MOVING = (*_COMING, "reserved", "attaching", "detaching", "extending", "uploading", "backing-up")
_ABANDONED_SECONDS = 600


class CinderVolumes:
    """The VolumeProvider of an installation whose volumes are a Cinder's. wait_seconds: for a volume that is made."""

    def __init__(self, db: Database, api: CinderApi, secrets: SecretBox, wait_seconds: int = 600) -> None:
        self._db = db
        self._api = api
        self._secrets = secrets
        self._wait_seconds = wait_seconds

    # with the rights of the user who asks

    def resolve(self, caller: Caller, ident: str) -> tuple[str, str | None]:
        """(volume id, None): any host can have it."""
        volume = self._find(caller, ident)
        _refuse_unusable(volume)
        return volume["id"], None

    def prepare(self, caller: Caller, workload_uuid: str, position: int, request: MountRequest) -> MountRequest:
        """The request, with a volume that was made for it where it names none."""
        if request.volume_id is not None:
            return request
        use = self._db.transact(lambda tx: cinder.begin(tx, workload_uuid, position, None, made=request.goes))
        crash.point("api.create.volume.before")
        name = f"{workload_uuid}-{position}"
        body = {
            "name": name,
            "description": f"Made for container {workload_uuid}",
            "size": request.size_gib or 1,
            "metadata": {MARK: name},
        }
        volume = self._api.make_volume(caller, body)
        crash.point("api.create.volume.after")
        self._db.transact(lambda tx: cinder.change(tx, use, volume_uuid=volume["id"]))
        return replace(request, volume_id=volume["id"], auto_remove=request.goes)

    # as a service

    def provide(
        self, workload_uuid: str, project_id: str, host_uuid: str, position: int, request: MountRequest
    ) -> Attachment:
        """The attachment at this position of the workload, made now if it is not yet."""
        with self._db.read() as tx:
            use = cinder.at(tx, workload_uuid, position)
            host = hosts.get(tx, host_uuid)
        if request.volume_id is None or host is None:
            raise errors.NotFound("The volume, or the host that was to have it, is gone.")
        if use is not None and use.connection is not None and use.host == host_uuid:
            return self._answer(use, request)
        if use is not None and use.host not in (None, host_uuid):
            # it was placed anew, which happens only once its former host cannot write any more
            self._end_attachments(use)
        volume = self._owned_volume(request.volume_id, project_id)
        use = self._claim(workload_uuid, position, host_uuid, volume, request)
        try:
            attachment = self._attach(use, volume, _connector(host))
        except errors.NotUsable:
            self._unclaim(use)
            raise
        locked = self._secrets.lock(json.dumps(_connection(attachment)))
        crash.point("controller.cinder.completed")
        taken = use
        # a given volume goes with the workload only once the workload had it
        made = taken.made or request.auto_remove is True
        use = self._db.transact(lambda tx: cinder.change(tx, taken, connection=locked, made=made))
        if use is None:
            self._end_attachments(taken)
            raise errors.Busy(f"The use of volume {taken.volume_uuid} was given up meanwhile.")
        return self._answer(use, request)

    def release(self, workload_uuid: str) -> None:
        """End the workload's attachments; volumes that were made for it are deleted."""
        with self._db.read() as tx:
            uses = cinder.of_workload(tx, workload_uuid)
        for use in uses:
            self._end_attachments(use)
            crash.point("controller.cinder.ended")
            gone = use.made and self._delete(use)
            self._db.transact(partial(_forget, use=use, gone=gone))

    def tidy(self) -> list[str]:
        """Give back what was begun for workloads that never came to be; sentences for the log."""
        with self._db.read() as tx:
            edge = self._db.now(tx) - datetime.timedelta(seconds=_ABANDONED_SECONDS)
            left = cinder.abandoned(tx, edge, workloads.workloads)
        done = []
        for workload_uuid in left:
            with contextlib.suppress(errors.Busy):
                self.abandon(workload_uuid)
                done.append(f"{workload_uuid}: never came to be; the volumes begun for it are given back")
        return done

    def abandon(self, workload_uuid: str) -> None:
        """Delete what prepare() made for a workload that does not come to be; nothing that was there before.

        Unavailable, Busy: tidy() will do it.
        """
        long_ago = datetime.datetime(2000, 1, 1)
        self._db.transact(lambda tx: cinder.give_up(tx, workload_uuid, long_ago))
        with self._db.read() as tx:
            uses = cinder.of_workload(tx, workload_uuid)
        for use in uses:
            self._end_attachments(use)
            # what was attached once holds data, and is left to its owner
            gone = use.host is None and self._delete(use, marked_only=True)
            self._db.transact(partial(_forget, use=use, gone=gone))

    # how

    def _find(self, caller: Caller, ident: str) -> dict[str, Any]:
        if as_id(ident):
            with contextlib.suppress(errors.NotFound):
                volume = self._api.volume(ident, caller)
                # an administrator sees everybody's
                if volume.get("os-vol-tenant-attr:tenant_id", caller.project_id) == caller.project_id:
                    return volume
        found = self._api.volumes_named(ident, caller)
        if not found:
            raise errors.NotFound(f"Volume {ident} could not be found.", kind="VolumeNotFound")
        if len(found) > 1:
            raise errors.Ambiguous(f"Several volumes are named {ident}; use the id of one.")
        return found[0]

    def _owned_volume(self, volume_id: str, project_id: str) -> dict[str, Any]:
        volume = self._api.volume(volume_id)
        if volume.get("os-vol-tenant-attr:tenant_id") != project_id:
            raise errors.NotFound(f"Volume {volume_id} could not be found.", kind="VolumeNotFound")
        return volume

    def _claim(
        self, workload_uuid: str, position: int, host_uuid: str, volume: dict[str, Any], request: MountRequest
    ) -> Use:
        """The use, with an epoch of its own, unless others have the volume in a way that forbids it.

        Busy: the volume is still being made.
        """
        read_only = request.read_only or str(volume["metadata"].get("readonly")).lower() == "true"
        volume_id = volume["id"]

        def begun(tx: sa.Connection) -> Use:
            use = cinder.at(tx, workload_uuid, position)
            return use or cinder.begin(tx, workload_uuid, position, volume_id, made=False)

        def work(tx: sa.Connection) -> Use:
            use = begun(tx)
            if use.host == host_uuid and use.volume_uuid == volume_id:
                return use
            epoch = cinder.next_epoch(tx, volume_id)
            others = [other for other in cinder.of_volume(tx, volume_id) if other.host and other != use]
            _refuse_clash(volume, use, others, read_only, host_uuid)
            claimed = cinder.change(
                tx,
                use,
                volume_uuid=volume_id,
                host=host_uuid,
                epoch=epoch,
                read_only=read_only,
                size_gib=volume["size"],
                multiattach=bool(volume.get("multiattach")),
                connection=None,
            )
            assert claimed is not None
            return claimed

        if volume["status"] in _COMING:
            self._wait_for(volume, self._db.transact(begun))
        return self._db.transact(work)

    def _wait_for(self, volume: dict[str, Any], use: Use) -> None:
        """Busy while it may still come; NotUsable once that took too long."""
        with self._db.read() as tx:
            waited = self._db.now(tx) - use.created_at
        if waited.total_seconds() > self._wait_seconds:
            raise errors.NotUsable(
                f"Volume {volume['id']} is still {volume['status']} after {self._wait_seconds} s.",
                kind="VolumeNotUsable",
            )
        raise errors.Busy(f"Volume {volume['id']} is {volume['status']}.")

    def _attach(self, use: Use, volume: dict[str, Any], connector: dict[str, Any]) -> dict[str, Any]:
        """Cinder's attachment, completed, with how the host reaches the volume."""
        volume_id = volume["id"]
        if volume.get("encrypted"):
            raise errors.NotUsable(
                f"Volume {volume_id} is encrypted, which containers cannot use.", kind="VolumeNotUsable"
            )
        found = self._api.attachments(volume_id, use.workload_uuid)
        if found:
            attachment = self._api.attachment(found[0]["id"])
        else:
            _refuse_unusable(volume)
            attachment = self._api.reserve(volume_id, use.workload_uuid)
        crash.point("controller.cinder.reserved")
        attachment_id = attachment["id"]
        if not attachment.get("connection_info"):
            mode = "ro" if use.read_only else "rw"
            attachment = self._api.connect(attachment_id, {**connector, "mode": mode})
        crash.point("controller.cinder.connected")
        self._api.complete(attachment_id)
        return attachment

    def _end_attachments(self, use: Use) -> None:
        """Unavailable, Busy: try again."""
        if use.volume_uuid is None:
            return
        try:
            found = self._api.attachments(use.volume_uuid, use.workload_uuid)
        except errors.NotFound:
            return
        for attachment in found:
            try:
                self._api.end(attachment["id"])
            except errors.NotFound:
                continue
            except errors.NotUsable as error:
                raise errors.Busy(error.message) from error

    def _unclaim(self, use: Use) -> None:
        """It cannot be had: nothing of it is left to be in others' way."""
        self._end_attachments(use)
        self._db.transact(lambda tx: cinder.change(tx, use, host=None))

    def _delete(self, use: Use, *, marked_only: bool = False) -> bool:
        """Delete the workload's volume; whether it goes. marked_only: one that was not made here stays.

        Busy: Cinder does not let it go yet.
        """
        mark = f"{use.workload_uuid}-{use.position}"
        if use.volume_uuid is None:
            # whoever made it died before its id was written down
            return all([self._delete_one(volume["id"]) for volume in self._api.volumes_marked(MARK, mark)])
        if marked_only:
            try:
                if self._api.volume(use.volume_uuid)["metadata"].get(MARK) != mark:
                    return False
            except errors.NotFound:
                return True
        return self._delete_one(use.volume_uuid)

    def _delete_one(self, volume_id: str) -> bool:
        try:
            self._api.delete_volume(volume_id)
        except errors.NotFound:
            return True
        except errors.NotUsable as error:
            try:
                status = self._api.volume(volume_id)["status"]
            except errors.NotFound:
                return True
            if status in _MOVING:
                raise errors.Busy(error.message) from error
            if not status.endswith("deleting"):
                LOG.warning("volume %s: was to go with its container, and is left to its owner: %s", volume_id, error)
            return status.endswith("deleting")
        return True

    def _answer(self, use: Use, request: MountRequest) -> Attachment:
        assert use.volume_uuid is not None and use.connection is not None
        with self._db.read() as tx:
            formatted = cinder.is_formatted(tx, use.volume_uuid)
        return Attachment(
            volume_id=use.volume_uuid,
            epoch=use.epoch,
            size_gib=use.size_gib,
            target=request.target,
            formatted=formatted,
            read_only=use.read_only,
            owned=use.made,
            shared=use.multiattach,
            connection={LOCKED: use.connection},
        )


def _refuse_unusable(volume: dict[str, Any]) -> None:
    status = volume["status"]
    if status == "available" or status in _COMING or (status == "in-use" and volume.get("multiattach")):
        return
    raise errors.NotUsable(
        f"Volume {volume['id']} is {status}; a volume must be available to be mounted.", kind="VolumeNotUsable"
    )


def _refuse_clash(volume: dict[str, Any], use: Use, others: list[Use], read_only: bool, host_uuid: str) -> None:
    """What is mounted on several hosts is mounted there for reading, and a file system bears no strangers beside us."""
    volume_id = volume["id"]
    ours = {use.workload_uuid, *(other.workload_uuid for other in others)}
    if others and not volume.get("multiattach"):
        raise errors.NotUsable(f"Volume {volume_id} is in use by a container.", kind="VolumeNotUsable")
    if any(item.get("server_id") not in ours for item in volume.get("attachments", ())):
        raise errors.NotUsable(
            f"Volume {volume_id} is attached to something else than containers.", kind="VolumeNotUsable"
        )
    for other in others:
        if other.host != host_uuid and not (read_only and other.read_only):
            raise errors.NotUsable(
                f"Volume {volume_id} is attached on another host; on several hosts it can only be read.",
                kind="VolumeNotUsable",
            )


def _connector(host: hosts.Host) -> dict[str, Any]:
    """What Cinder's driver needs to know of the host, as the host said; a name of its own is the least."""
    said = dict(host.inventory.connector) if host.inventory is not None else {}
    address = host.address.rpartition(":")[0].strip("[]")
    usual = {"ip": address, "os_type": "linux", "platform": "x86_64", "multipath": False}
    return {**usual, **said, "host": host.name}


def _connection(attachment: dict[str, Any]) -> dict[str, Any]:
    """{"driver_volume_type", "data"}: attachments have the driver's own facts one level up."""
    found = attachment.get("connection_info") or {}
    if "driver_volume_type" not in found:
        raise errors.Unavailable(f"Cinder does not say how attachment {attachment.get('id')} is reached.")
    facts = found.get("data") or {key: value for key, value in found.items() if key != "driver_volume_type"}
    return {"driver_volume_type": found["driver_volume_type"], "data": facts}


def _forget(tx: sa.Connection, use: Use, gone: bool) -> None:
    cinder.end(tx, use)
    if gone and use.volume_uuid is not None:
        cinder.forget_volume(tx, use.volume_uuid)
