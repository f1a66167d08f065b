# SPDX-License-Identifier: Apache-2.0
"""What the page of metrics asks the database."""

from __future__ import annotations

import sqlalchemy as sa

from tests.builders import a_caller, a_spec, copy_workload, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.api.metrics import COUNT_EVERY_SECONDS, Cloud
from zun_lite.common.clock import StoppedClock
from zun_lite.control.create import create_container


@on_every_database
class MetricsTest(DatabaseTestCase):
    def statements(self, cloud: Cloud) -> tuple[list[str], float]:
        """What was asked while the page was made, and how many workloads it tells of."""
        said: list[str] = []

        def note(connection, cursor, statement, *more) -> None:
            said.append(statement)

        sa.event.listen(self.db.engine, "before_cursor_execute", note)
        try:
            found = [metric for metric in cloud.collect() if metric.name == "zun_lite_workloads"]
        finally:
            sa.event.remove(self.db.engine, "before_cursor_execute", note)
        return said, sum(sample.value for metric in found for sample in metric.samples)

    def test_a_thousand_containers_cost_no_more_queries_than_ten(self):
        clock = StoppedClock()
        cloud = Cloud(self.db, clock)
        create_container(means_of(self.db), a_caller(), "c0", a_spec(), run=False)
        copy_workload(self.db, ({"status": f"S{number % 3}"} for number in range(9)))
        asked, found = self.statements(cloud)
        self.assertEqual(10, found)
        self.assertNotEqual([], asked)
        clock.advance(COUNT_EVERY_SECONDS)
        copy_workload(self.db, ({"status": f"S{number % 3}"} for number in range(990)))
        self.assertEqual((asked, 1000), self.statements(cloud))
