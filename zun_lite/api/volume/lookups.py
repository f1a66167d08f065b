# SPDX-License-Identifier: Apache-2.0
"""Records by the ids that clients name, as far as the caller may see them: what is another project's is not there.

It is not read either, so that the time of an answer does not tell that it exists.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from zun_lite.db import hosts, volume_attachments, volume_snapshots, volume_types, volumes
from zun_lite.db.volume_types import VolumeType
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import as_id

SERVICE_ROLE = "service"


def volume(tx: sa.Connection, caller: Caller, ident: str) -> volumes.Volume:
    """NotFound: there is none that the caller may see."""
    uuid = as_id(ident)
    found = volumes.get(tx, uuid, *seen(caller, volumes.belonging_to)) if uuid else None
    if found is None:
        raise not_found(f"Volume {ident} could not be found.")
    return found


def snapshot(tx: sa.Connection, caller: Caller, ident: str) -> volume_snapshots.Snapshot:
    """NotFound."""
    uuid = as_id(ident)
    found = volume_snapshots.get(tx, uuid, *seen(caller, volume_snapshots.belonging_to)) if uuid else None
    if found is None:
        raise not_found(f"Snapshot {ident} could not be found.")
    return found


def attachment(tx: sa.Connection, caller: Caller, ident: str) -> volume_attachments.AttachmentRow:
    """NotFound."""
    uuid = as_id(ident)
    found = volume_attachments.get(tx, uuid, *seen(caller, volume_attachments.belonging_to)) if uuid else None
    if found is None:
        raise not_found(f"Volume attachment could not be found with filter: attachment_id = {ident}.")
    return found


def volume_type(tx: sa.Connection, caller: Caller, ident: str, *, by_name: bool = False) -> VolumeType:
    """by_name: a name will do, too. NotFound."""
    for kind in volume_types.every(tx):
        named = kind.uuid == ident or (by_name and kind.name == ident)
        if named and (caller.is_admin or kind.is_for(caller.project_id)):
            return kind
    raise not_found(
        f"Volume type with name {ident} could not be found." if by_name else f"Volume type {ident} could not be found."
    )


def host_names(tx: sa.Connection, caller: Caller) -> dict[str, str]:
    """Names of hosts by their uuid, for those who may see them."""
    return dict(hosts.names(tx)) if caller.is_admin else {}


def need_admin(caller: Caller, rule: str) -> None:
    """Forbidden, with the name of the rule in Cinder's policy."""
    if not caller.is_admin:
        raise errors.Forbidden(f"Policy doesn't allow {rule} to be performed.", kind="forbidden")


def is_service(caller: Caller) -> bool:
    """Whether the caller is another service of the operator's, which knows what it detaches."""
    return SERVICE_ROLE in caller.roles


def project_of(caller: Caller) -> str:
    """Forbidden: the token has none."""
    if caller.project_id is None:
        raise errors.Forbidden("The token is not scoped to a project; a volume belongs to one.", kind="forbidden")
    return caller.project_id


def not_found(sentence: str) -> errors.NotFound:
    return errors.NotFound(sentence, kind="itemNotFound")


def seen(caller: Caller, belonging_to: Callable[[str | None], sa.ColumnElement[bool]]) -> list[sa.ColumnElement[bool]]:
    """What a record that the caller may see has to be."""
    return [] if caller.is_admin else [belonging_to(caller.project_id)]
