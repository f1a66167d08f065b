# SPDX-License-Identifier: Apache-2.0
"""Tells the operator's webhook of each change of a container: for billing, and for whoever must not miss one.

Beside everything else, in a thread of the controller's: no request and no pass ever waits for it. Each
project's changes are told in their order, at least once: the mark in SQL moves after the webhook took them, so
who is told twice, after a crash in between, sees the same ids. A webhook that does not answer is tried again,
after a second that doubles up to five minutes, for as long as events are kept.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any, Protocol

from zun_lite.db import status_events, webhook_marks
from zun_lite.db.engine import Database
from zun_lite.db.status_events import StatusEvent
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)
AT_A_TIME = 100
PROJECTS_AT_A_TIME = 50
LOOK_EVERY_SECONDS = 1.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
CLAIM_SECONDS = 60.0


class Hook(Protocol):
    url: str

    def tell(self, document: dict[str, Any]) -> None:
        """Unavailable: it was not taken."""
        ...


class Notices:
    """Several controllers may have one each: a project is claimed by whoever tells of it."""

    def __init__(self, db: Database, hook: Hook) -> None:
        self._db = db
        self._hook = hook
        self._stopping = threading.Event()
        self._pause_seconds = 0.0

    def start(self) -> None:
        threading.Thread(target=self._run, name="notices", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                more = self.tell_once()
            except Exception:
                LOG.exception("the webhook could not be told; it is tried again")
                more = False
                self._put_off()
            self._stopping.wait(self._pause_seconds or (0.0 if more else LOOK_EVERY_SECONDS))

    def tell_once(self) -> bool:
        """One look at all projects; whether there may be more at once. Stops at the first that is not taken."""
        with self._db.read() as tx:
            projects = webhook_marks.waiting(tx, PROJECTS_AT_A_TIME)
        told = 0
        for project_id in projects:
            told += self._tell_of(project_id)
            if self._pause_seconds:
                return False
        return told > 0

    def _tell_of(self, project_id: str) -> int:
        """How many of a project's events were taken."""
        seen = self._db.transact(lambda tx: webhook_marks.claim(tx, self._db, project_id, CLAIM_SECONDS))
        if seen is None:
            return 0
        with self._db.read() as tx:
            events = status_events.after(tx, project_id, seen, AT_A_TIME)
            lost = seen >= 0 and not status_events.is_kept(tx, project_id, seen)
        if lost:
            LOG.error("the webhook was away for too long: some changes of project %s are forgotten", project_id)
        if not events:
            self._db.transact(partial(webhook_marks.let_go, project_id=project_id))
            return 0
        try:
            self._hook.tell({"project_id": project_id, "events": [show(project_id, event) for event in events]})
        except errors.Unavailable as error:
            self._put_off()
            LOG.warning("%s It is tried again in %g s.", error.message, self._pause_seconds)
            self._db.transact(partial(webhook_marks.let_go, project_id=project_id))
            return 0
        self._pause_seconds = 0.0
        self._db.transact(partial(webhook_marks.told, project_id=project_id, revision=events[-1].revision))
        return len(events)

    def _put_off(self) -> None:
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, self._pause_seconds * 2))


def show(project_id: str, event: StatusEvent) -> dict[str, Any]:
    """One change on the wire. id: the same each time that it is told."""
    return {
        "id": f"{project_id}.{event.revision}.{event.workload_uuid}",
        "number": event.revision,
        "at": event.created_at.isoformat(timespec="milliseconds") + "Z",
        "kind": event.kind,
        "uuid": event.workload_uuid,
        "name": event.name,
        "user_id": event.user_id,
        "status": event.status,
        "task_state": event.task_state,
        "status_reason": event.status_reason,
        "cpu": event.cpus,
        "memory": event.memory_mib,
        "disk": event.disk_gib,
    }
