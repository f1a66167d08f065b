# SPDX-License-Identifier: Apache-2.0
"""Status changes since a revision, for the gateways, who ask for all their listeners at once."""

from __future__ import annotations

from dataclasses import dataclass

from zun_lite.control.means import Means
from zun_lite.db import revisions, status_events
from zun_lite.db.status_events import StatusEvent

MOST = 500


@dataclass(frozen=True)
class Changes:
    """revision: all up to it are among events. complete: False when some between were forgotten already."""

    revision: int
    events: list[StatusEvent]
    complete: bool


def changes(means: Means, since: dict[str, int | None]) -> dict[str, Changes]:
    """By project, what changed after the revision that was seen of it; None asks where a project is now."""
    found: dict[str, Changes] = {}
    with means.db.read() as tx:
        for project_id, seen in since.items():
            now = revisions.current(tx, revisions.project(project_id))
            if seen is None:
                found[project_id] = Changes(now, [], True)
            elif now > seen:
                events = status_events.after(tx, project_id, seen, MOST)
                last = events[-1].revision if len(events) >= MOST else now
                found[project_id] = Changes(last, events, status_events.is_kept(tx, project_id, seen))
            elif now < seen:
                # a number that this project never had: another database's
                found[project_id] = Changes(now, [], False)
    return found
