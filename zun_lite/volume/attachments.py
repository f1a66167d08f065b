# SPDX-License-Identifier: Apache-2.0
"""Attachments that clients of the Block Storage API make, step by step: reserve, connect, attach, detach.

A volume that a container has is the container's: only another service of the operator's may end that
attachment here (CVE-2023-2088 was that everybody could, while the data was in use). Each function is part
of a transaction of its caller's.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from zun_lite.db import hosts, revisions, volume_attachments, volumes
from zun_lite.db.volume_attachments import ATTACHED, ATTACHING, DETACHING, RESERVED, AttachmentRow
from zun_lite.db.volumes import Volume
from zun_lite.domain import errors
from zun_lite.volume.volumes import invalid


def reserve(
    tx: sa.Connection,
    volume: Volume,
    *,
    instance: str | None = None,
    read_only: bool = False,
    state: str = RESERVED,
    target: str = "",
    host_name: str | None = None,
) -> str:
    """An attachment to be, which keeps others from the volume; its id. Invalid: somebody else has the volume."""
    held = volumes.held(tx, volume.uuid)
    if held is None or not volumes.may_take(held):
        allowed = "available or in-use" if volume.multiattach else "available"
        raise invalid(
            f"Invalid volume: Volume {volume.uuid} status must be {allowed} to reserve, but the current status is "
            f"{held.status if held else 'deleted'}."
        )
    uuid = volume_attachments.insert(
        tx,
        held.uuid,
        held.project_id,
        held.epoch + 1,
        instance=instance,
        read_only=read_only or held.read_only,
        state=state,
        target=target,
        host_name=host_name,
        writer=None if held.multiattach else held.uuid,
    )
    volumes.update(tx, held.uuid, {"epoch": held.epoch + 1})
    volumes.settle(tx, held.uuid)
    return uuid


def connect(tx: sa.Connection, volume: Volume, connector: dict[str, Any], *, own: str | None = None) -> None:
    """Have the volume's file ready on the connector's host, which must be where it is, or can be made.

    own: the attachment of who connects; without it, what os-reserve began, if that was one client's alone.
    Invalid: there is no such host, or the volume is on another one, which does not share it or where somebody has
    it, be it that they are only attaching it: they know by then where it is.
    """
    held = volumes.held(tx, volume.uuid)
    if own is None and len(waiting := _waiting(held)) == 1:
        own = waiting[0].uuid
    name = connector.get("host")
    host = hosts.by_name(tx, name) if isinstance(name, str) else None
    if held is None or host is None:
        raise invalid(
            f"Invalid input received: a volume here can be connected on its own host only, and {str(name)[:80]} is no "
            "host of this cloud."
        )
    if held.host not in (None, host.uuid):
        if not _both_see_it(held, host):
            raise invalid(f"Invalid volume: Volume {held.uuid} is on another host than {host.name}.")
        if any(item.uuid != own and item.state != RESERVED for item in held.attachments):
            raise invalid(f"Invalid volume: Volume {held.uuid} is in use on another host than {host.name}.")
    if held.host != host.uuid or not (held.file_wanted or held.formatted):
        shared = host.inventory is not None and host.inventory.pool_shared
        volumes.update(
            tx, held.uuid, {"host": host.uuid, "shared": shared, "file_wanted": True, "attempt": held.attempt + 1}
        )
        revisions.raise_one(tx, revisions.host(host.uuid))


def set_connector(tx: sa.Connection, attachment: AttachmentRow, connector: dict[str, Any]) -> None:
    """The attachment's client says from where it comes."""
    volume = _volume(tx, attachment)
    if attachment.state not in (RESERVED, ATTACHING):
        raise invalid(f"Invalid volume: attachment {attachment.uuid} is {attachment.state} and cannot be changed.")
    connect(tx, volume, connector, own=attachment.uuid)
    changes: dict[str, Any] = {"connector": connector, "host_name": str(connector["host"]), "state": ATTACHING}
    mode = connector.get("mode")
    if mode in ("ro", "rw"):
        changes["read_only"] = mode == "ro" or volume.read_only
    if connector.get("mountpoint"):
        changes["target"] = str(connector["mountpoint"])[:255]
    volume_attachments.update(tx, attachment.uuid, changes)
    volumes.settle(tx, volume.uuid)


def complete(tx: sa.Connection, attachment: AttachmentRow) -> None:
    """The client has attached it. Invalid: it never said from where."""
    volumes.held(tx, attachment.volume_uuid)
    if attachment.state not in (ATTACHING, ATTACHED):
        raise invalid(
            f"Invalid volume: attachment {attachment.uuid} is {attachment.state}; it must be attaching to be completed."
        )
    volume_attachments.update(tx, attachment.uuid, {"state": ATTACHED})
    volumes.settle(tx, attachment.volume_uuid)


def end(tx: sa.Connection, attachment: AttachmentRow, *, by_service: bool) -> None:
    """The attachment is over. Conflict: a container has the volume, and who asks is none of the operator's services."""
    refuse_if_a_containers(attachment, by_service=by_service)
    volumes.detach(tx, attachment)


def refuse_if_a_containers(attachment: AttachmentRow, *, by_service: bool) -> None:
    """Conflict: see end()."""
    if attachment.workload_uuid is not None and not by_service:
        raise errors.Conflict(
            f"Detach volume from instance {attachment.workload_uuid} using the Container API: its container has it.",
            kind="conflictingRequest",
        )


# the actions of a volume from before there were attachments


def unreserve(tx: sa.Connection, volume: Volume) -> None:
    """Take back what reserve() with state attaching did; nothing if there is nothing such."""
    held = volumes.held(tx, volume.uuid)
    for attachment in _waiting(held):
        volume_attachments.remove(tx, attachment.uuid)
    volumes.settle(tx, volume.uuid)


def attach(
    tx: sa.Connection, volume: Volume, *, instance: str | None, host_name: str | None, target: str, read_only: bool
) -> None:
    """The client has attached what it reserved, or an available volume. Invalid: somebody else has it."""
    held = volumes.held(tx, volume.uuid)
    waiting = _waiting(held)
    if waiting:
        uuid = waiting[0].uuid
    else:
        uuid = reserve(tx, volume, state=ATTACHING)
    read_only = read_only or volume.read_only
    volume_attachments.update(
        tx,
        uuid,
        {
            "instance": instance,
            "host_name": host_name,
            "target": target,
            "read_only": read_only,
            "state": ATTACHED,
        },
    )
    volumes.settle(tx, volume.uuid)


def begin_detaching(tx: sa.Connection, volume: Volume, *, by_service: bool) -> None:
    """Invalid: nobody has it."""
    held = volumes.held(tx, volume.uuid)
    if held is None or held.status != volumes.IN_USE:
        raise invalid(
            f"Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be "
            f"'attached' to detach. It is {held.status if held else 'deleted'}."
        )
    for attachment in held.attachments:
        refuse_if_a_containers(attachment, by_service=by_service)
        volume_attachments.update(tx, attachment.uuid, {"state": DETACHING})
    volumes.settle(tx, held.uuid)


def roll_detaching(tx: sa.Connection, volume: Volume) -> None:
    """What was to be detached stays."""
    held = volumes.held(tx, volume.uuid)
    for attachment in held.attachments if held else ():
        if attachment.state == DETACHING:
            volume_attachments.update(tx, attachment.uuid, {"state": ATTACHED})
    volumes.settle(tx, volume.uuid)


def detach(tx: sa.Connection, volume: Volume, attachment_id: str | None, *, by_service: bool) -> None:
    """End one attachment, or the only one. Invalid: it is not said which. NotFound: it is none of this volume's."""
    held = volumes.held(tx, volume.uuid)
    there = held.attachments if held else ()
    if attachment_id is not None:
        there = tuple(item for item in there if item.uuid == attachment_id)
        if not there:
            raise errors.NotFound(
                f"Volume attachment could not be found with filter: attachment_id = {attachment_id}.",
                kind="itemNotFound",
            )
    if len(there) > 1:
        raise invalid("Invalid volume: Detach volume failed: More than one attachment, but no attachment_id provided.")
    for attachment in there:
        end(tx, attachment, by_service=by_service)


def _waiting(volume: Volume | None) -> list[AttachmentRow]:
    """Attachments that were begun by os-reserve, for nobody in particular yet."""
    return [
        item
        for item in (volume.attachments if volume else ())
        if item.state == ATTACHING and item.workload_uuid is None and item.connector is None and item.instance is None
    ]


def _volume(tx: sa.Connection, attachment: AttachmentRow) -> Volume:
    volume = volumes.held(tx, attachment.volume_uuid)
    assert volume is not None
    return volume


def _both_see_it(volume: Volume, host: hosts.Host) -> bool:
    return volume.shared and host.inventory is not None and host.inventory.pool_shared
