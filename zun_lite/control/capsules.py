# SPDX-License-Identifier: Apache-2.0
"""What users do to capsules that exist: look them up, list them, delete them. Nothing else is to be done to one."""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control.means import Means
from zun_lite.db import actions, workload_pages, workloads
from zun_lite.db.workload_pages import Wanted
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.capsule import CAPSULE
from zun_lite.domain.lifecycle import ABSENT, OFF


def find(means: Means, caller: Caller, ident: str) -> Workload:
    """A capsule by uuid or name: an admin's look-up goes over all projects, anyone else's over their own.

    NotFound: nothing there that the caller can see. Ambiguous: several bear the name.
    """
    project_id = None if caller.is_admin else caller.project_id or ""
    with means.db.read() as tx:
        found = workloads.find(tx, project_id, uuid=names.as_id(ident), name=ident, kind=CAPSULE)
    if not found:
        raise _not_found(ident)
    if len(found) > 1:
        raise errors.Ambiguous(f"Several capsules are named {ident}; use the UUID of one.", kind="Conflict")
    return found[0]


def page(
    means: Means,
    caller: Caller,
    *,
    limit: int,
    marker: str | None = None,
    sort_key: str = "id",
    descending: bool = False,
    all_projects: bool = False,
) -> list[Workload]:
    """One page of the caller's capsules, or of all projects' (the edge has checked the right to)."""
    after = find(means, caller, marker).uuid if marker else None
    with means.db.read() as tx:
        project_id = None if all_projects else caller.project_id or ""
        return workload_pages.page(tx, Wanted(CAPSULE, project_id, limit, {}, after, sort_key, descending))


def delete(means: Means, caller: Caller, capsule: Workload) -> None:
    """Order a capsule's removal, whatever its state. Repeating the order is fine."""

    def accept(tx: sa.Connection) -> None:
        held = workloads.get(tx, capsule.uuid, lock=True)
        if held is None:
            raise _not_found(capsule.uuid)
        if held.goal.presence == ABSENT:
            return
        changed = workloads.change(tx, held, replace(held.goal, presence=ABSENT, power=OFF))
        if changed is None:
            raise errors.Busy(f"Capsule {held.uuid} is being changed by another request; try again.")
        actions.begin(
            tx,
            request_id=caller.request_id,
            workload_uuid=held.uuid,
            project_id=held.project_id,
            user_id=caller.user_id,
            action="delete",
            generation=changed.generation,
        )
        crash.point("api.delete.before_commit")

    means.db.transact(accept)
    crash.point("api.delete.after_commit")
    means.waker.wake()


def _not_found(ident: str) -> errors.NotFound:
    return errors.NotFound(f"Capsule {ident} could not be found.", kind="CapsuleNotFound")
