# SPDX-License-Identifier: Apache-2.0
"""Status events: each change that users see is noted once, under a number that only grows, and kept for a day."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from tests.builders import a_caller
from tests.databases import on_every_database
from tests.db.test_reports import RUNNING, ReportCase
from zun_lite.control import actions, events
from zun_lite.control.release import release
from zun_lite.db import status_events
from zun_lite.db.status_events import status_events as table
from zun_lite.db.workloads import Workload
from zun_lite.domain.lifecycle import Observed


@on_every_database
class StatusEventsTest(ReportCase):
    def told(self, project: str, since: int = 0) -> list[tuple[int, str, str]]:
        found = events.changes(self.means, {project: since}).get(project)
        return [(event.revision, event.workload_uuid, event.status) for event in found.events] if found else []

    def live(self) -> Workload:
        made = self.make()
        self.controller.run_once()
        self.report((made.uuid, RUNNING))
        self.report((made.uuid, RUNNING))
        return made

    def test_a_life_is_told_in_order_and_nothing_twice(self):
        made = self.live()
        running = self.told(made.project_id)[-1][0]
        actions.delete(self.means, a_caller(), self.read(made), stop=False, force=True)
        gone = Observed(generation=2, epoch=1, state="absent")
        self.report((made.uuid, gone))
        release(self.means, self.read(made))
        told = self.told(made.project_id)
        self.assertEqual({made.uuid}, {uuid for _, uuid, _ in told})
        statuses = list(dict.fromkeys(status for *_, status in told))
        self.assertEqual(
            ["Creating", "Running", "Deleted"], [one for one in statuses if one not in ("Created", "Deleting")]
        )
        self.assertEqual(sorted({number for number, *_ in told}), [number for number, *_ in told])
        self.assertEqual([event for event in told if event[0] > running], self.told(made.project_id, running))
        self.assertEqual([], self.told("another project"))

    def test_what_is_older_than_a_day_is_forgotten_and_that_is_told(self):
        made = self.live()
        (first, *_), *_, (last, *_) = self.told(made.project_id)
        self.assertTrue(events.changes(self.means, {made.project_id: first})[made.project_id].complete)

        def age(tx: sa.Connection) -> None:
            old = self.db.now(tx) - timedelta(hours=status_events.KEPT_HOURS + 1)
            tx.execute(sa.update(table).where(table.c.revision < last).values(created_at=old))

        self.db.transact(age)
        self.assertLess(0, self.db.transact(lambda tx: status_events.forget_old(tx, self.db)))
        self.assertFalse(events.changes(self.means, {made.project_id: first})[made.project_id].complete)
        self.assertEqual([last], [number for number, *_ in self.told(made.project_id, first)])

    def test_who_asks_first_learns_where_the_project_is(self):
        made = self.live()
        found = events.changes(self.means, {made.project_id: None})[made.project_id]
        self.assertEqual(([], True), (found.events, found.complete))
        self.assertEqual({}, events.changes(self.means, {made.project_id: found.revision}))
        self.assertFalse(events.changes(self.means, {made.project_id: found.revision + 5})[made.project_id].complete)
