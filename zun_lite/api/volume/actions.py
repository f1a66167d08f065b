# SPDX-License-Identifier: Apache-2.0
"""POST /volume/v3/volumes/{id}/action: one key of the body names the action, its value is what it needs.

Most answer 202 with nothing; the values of the plain ones are null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.api.services import Services
from zun_lite.api.volume import bodies, connections, lookups
from zun_lite.api.volume import microversions as since
from zun_lite.api.volume.attachments import read_connector
from zun_lite.api.volume.microversions import negotiate
from zun_lite.db import volume_snapshots, volumes
from zun_lite.db.volume_attachments import ATTACHING
from zun_lite.domain.caller import Caller
from zun_lite.volume import attachments
from zun_lite.volume import volumes as rules

Work = Callable[[sa.Connection, Caller, volumes.Volume, dict[str, Any]], "dict[str, Any] | None"]
# A status that means work for a host is not one that can be said from outside: what is error_deleting is deleted.
SETTABLE = (volumes.AVAILABLE, volumes.IN_USE, volumes.ERROR, volumes.ERROR_EXTENDING)


@falcon.before(negotiate)
class VolumeActions:
    def __init__(self, services: Services) -> None:
        self._db = services.means.db
        self._waker = services.means.waker
        self._quotas = services.means.volume_quotas
        self._acts: dict[str, Work] = {
            "os-extend": self._extend,
            "os-reset_status": _reset_status,
            "os-set_bootable": _set_bootable,
            "os-update_readonly_flag": _set_read_only,
            "os-retype": self._retype,
            "os-reserve": _reserve,
            "os-unreserve": _unreserve,
            "os-initialize_connection": _connect,
            "os-terminate_connection": _disconnect,
            "os-attach": _attach,
            "os-begin_detaching": _begin_detaching,
            "os-roll_detaching": _roll_detaching,
            "os-detach": _detach,
            "os-force_detach": _force_detach,
            "os-force_delete": _force_delete,
        }

    def on_post(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        caller = req.context.caller
        name, given = read_action(req, self._acts)

        def work(tx: sa.Connection) -> dict[str, Any] | None:
            volume = lookups.volume(tx, caller, ident)
            if name == "os-extend" and since.of(req) < since.EXTEND_IN_USE:
                _refuse_in_use(volume)
            return self._acts[name](tx, caller, volume, given)

        body = self._db.transact(work)
        self._waker.wake()
        if body is not None:
            media.answer(resp, body)
        else:
            resp.status = falcon.HTTP_200 if name == "os-set_bootable" else falcon.HTTP_202

    def _extend(
        self, tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]
    ) -> dict[str, Any] | None:
        if "new_size" not in given:
            raise bodies.bad_request("Invalid input for field/attribute os-extend. 'new_size' is a required property")
        rules.extend(tx, self._quotas, volume, bodies.size("New", given["new_size"]))
        return None

    def _retype(
        self, tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Between types of one file system: the volume stays as it is, and what its type allows changes."""
        kind = lookups.volume_type(tx, caller, bodies.text("new_type", given.get("new_type")), by_name=True)
        held = volumes.held(tx, volume.uuid)
        if held is None or held.status not in (volumes.AVAILABLE, volumes.IN_USE):
            raise bodies.bad_request(
                f"Invalid volume: Volume {volume.uuid} status must be available or in-use to retype."
            )
        if held.volume_type == kind.name:
            raise bodies.bad_request("Invalid input received: New volume_type same as original: " + kind.name + ".")
        if held.formatted and held.fs_type != kind.fs_type:
            raise bodies.bad_request(
                f"Invalid input received: Invalid volume_type provided: {kind.name} has the file system "
                f"{kind.fs_type}, and the volume keeps its {held.fs_type}; make a new volume and copy what is in it."
            )
        if held.attachments and (held.multiattach != kind.multiattach or held.fs_type != kind.fs_type):
            raise bodies.bad_request(
                f"Invalid volume: Volume {volume.uuid} is in use and cannot be retyped to what changes its file system "
                "or how many may have it."
            )
        taken = [snapshot.size_gib for snapshot in volume_snapshots.of_volume(tx, held.uuid)]
        self._quotas.hold(
            tx,
            held.project_id,
            kind.name,
            count=1,
            snapshots=len(taken),
            gigabytes=held.wanted_gib + sum(taken),
            retyped=True,
        )
        volumes.update(
            tx, held.uuid, {"volume_type": kind.name, "multiattach": kind.multiattach, "fs_type": kind.fs_type}
        )
        return None


def read_action(req: falcon.Request, known: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(action, its values) of a body with one key. Invalid: several, none, or an unknown one."""
    document = bodies.read_document(req)
    if len(document) != 1:
        raise bodies.bad_request("The body must have one key, the action.")
    ((name, given),) = document.items()
    if name not in known:
        raise bodies.bad_request(f"There is no such action: {name[:80]}")
    if given is not None and not isinstance(given, dict):
        # clients send an empty text or a list where there is nothing to say
        if given:
            raise bodies.bad_request(f"Invalid input for field/attribute {name}. It must be an object.")
        given = None
    return name, {key: value for key, value in (given or {}).items() if value is not None}


def _refuse_in_use(volume: volumes.Volume) -> None:
    if volume.status == volumes.IN_USE:
        raise bodies.bad_request(
            "Invalid volume: Volume status must be available to extend, but the current status is in-use; "
            "microversion 3.42 can extend it."
        )


def _reset_status(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    lookups.need_admin(caller, "volume_extension:volume_admin_actions:reset_status")
    held = volumes.held(tx, volume.uuid)
    status = given.get("status")
    if held is None or status is None:
        if not {"attach_status", "migration_status"} & set(given):
            raise bodies.bad_request("Invalid input received: Must specify 'status' to be reset.")
        return
    if status not in SETTABLE:
        raise bodies.not_settable(SETTABLE)
    if (status == volumes.IN_USE) != bool(held.attachments) and status in (volumes.AVAILABLE, volumes.IN_USE):
        raise bodies.bad_request(
            f"Invalid volume: Volume {held.uuid} has {len(held.attachments)} attachments, which {status} would deny; "
            "end or make one first."
        )
    volumes.update(
        tx,
        held.uuid,
        {"status": status, "wanted_gib": held.size_gib, "attempt": held.attempt + 1, "problem": None},
    )


def _set_bootable(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    if "bootable" not in given:
        raise bodies.bad_request("Invalid input for field/attribute os-set_bootable. 'bootable' is a required property")
    volumes.update(tx, volume.uuid, {"bootable": bodies.truth("bootable", given["bootable"])})


def _set_read_only(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    if "readonly" not in given:
        raise bodies.bad_request(
            "Invalid input for field/attribute os-update_readonly_flag. 'readonly' is a required property"
        )
    held = volumes.held(tx, volume.uuid)
    if held is None or held.status != volumes.AVAILABLE:
        raise bodies.bad_request(
            f"Invalid volume: Volume {volume.uuid} status must be available to update readonly flag, but current "
            f"status is: {held.status if held else 'deleted'}."
        )
    volumes.update(tx, held.uuid, {"read_only": bodies.truth("readonly", given["readonly"])})


def _reserve(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    attachments.reserve(tx, volume, state=ATTACHING)


def _unreserve(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    attachments.unreserve(tx, volume)


def _connect(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> dict[str, Any]:
    connector = read_connector(given.get("connector"))
    if volume.status not in (volumes.ATTACHING, volumes.RESERVED, volumes.IN_USE):
        raise bodies.bad_request(
            f"Invalid volume: Volume {volume.uuid} is {volume.status}; it must be reserved before it is connected."
        )
    for attachment in volume.attachments:
        attachments.refuse_if_a_containers(attachment, by_service=lookups.is_service(caller))
    attachments.connect(tx, volume, connector)
    current = lookups.volume(tx, caller, volume.uuid)
    return {"connection_info": connections.information(tx, caller, current, None)}


def _disconnect(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    """There is nothing to take down: a file on a host stays where it is."""
    read_connector(given.get("connector") or {})
    for attachment in volume.attachments:
        attachments.refuse_if_a_containers(attachment, by_service=lookups.is_service(caller))


def _attach(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    instance, host_name = given.get("instance_uuid"), given.get("host_name")
    if not instance and not host_name:
        raise bodies.bad_request(
            "Invalid request to attach volume to an invalid target: say instance_uuid or host_name."
        )
    mode = given.get("mode", "rw")
    if mode not in ("ro", "rw"):
        raise bodies.bad_request(
            "Invalid request to attach volume with an invalid mode. Attaching mode should be 'rw' or 'ro'."
        )
    attachments.attach(
        tx,
        volume,
        instance=bodies.text("instance_uuid", instance) if instance else None,
        host_name=bodies.text("host_name", host_name) if host_name else None,
        target=bodies.text("mountpoint", given.get("mountpoint", "")),
        read_only=mode == "ro",
    )


def _begin_detaching(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    attachments.begin_detaching(tx, volume, by_service=lookups.is_service(caller))


def _roll_detaching(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    attachments.roll_detaching(tx, volume)


def _detach(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    ident = given.get("attachment_id")
    attachments.detach(
        tx,
        volume,
        bodies.text("attachment_id", ident) if ident else None,
        by_service=lookups.is_service(caller),
    )


def _force_detach(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    lookups.need_admin(caller, "volume_extension:volume_admin_actions:force_detach")
    _detach(tx, caller, volume, given)


def _force_delete(tx: sa.Connection, caller: Caller, volume: volumes.Volume, given: dict[str, Any]) -> None:
    lookups.need_admin(caller, "volume_extension:volume_admin_actions:force_delete")
    rules.delete(tx, volume, cascade=True, force=True)
