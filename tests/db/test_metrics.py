# SPDX-License-Identifier: Apache-2.0
"""What the page of metrics asks the database, and what it makes of the answers."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import sqlalchemy as sa

from tests.builders import a_caller, a_spec, copy_workload, means_of
from tests.certificates import DAY, Authority
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.api.cloud_metrics import COUNT_EVERY_SECONDS, Cloud
from zun_lite.common.clock import StoppedClock
from zun_lite.control.create import create_container
from zun_lite.db import hosts, workloads
from zun_lite.domain.desired import Inventory
from zun_lite.domain.resources import Resources

HOST_KEY_DAYS = 30.0


class MetricsTestCase(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.clock = StoppedClock()

    def cloud(self, **certificates: str) -> Cloud:
        return Cloud(self.db, self.clock, certificates, HOST_KEY_DAYS)

    def numbers(self, cloud: Cloud) -> dict[str, float]:
        """By name without its beginning, and label where there is one; counted anew."""
        self.clock.advance(COUNT_EVERY_SECONDS)
        return {
            ":".join((metric.name.removeprefix("zun_lite_"), *sample.labels.values())): sample.value
            for metric in cloud.collect()
            for sample in metric.samples
        }

    def container(self, name: str) -> None:
        create_container(means_of(self.db), a_caller(), name, a_spec(), run=False)

    def host(self, name: str, *, free_gib: int = 50, disk_gib: int = 100, **values: object) -> None:
        with self.db.transaction() as tx:
            hosts.enrol(tx, name, name, f"{name}:9518", "key")
            inventory = Inventory(Resources(4, 4096, disk_gib), pool_free_gib=free_gib)
            hosts.took_inventory(tx, name, "boot", inventory)
            tx.execute(sa.update(hosts.hosts).where(hosts.hosts.c.name == name).values(**values or {"state": "ready"}))


@on_every_database
class WorkloadsTest(MetricsTestCase):
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
        cloud = self.cloud()
        self.container("c0")
        copy_workload(self.db, ({"status": f"S{number % 3}"} for number in range(9)))
        asked, found = self.statements(cloud)
        self.assertEqual(10, found)
        self.assertNotEqual([], asked)
        self.clock.advance(COUNT_EVERY_SECONDS)
        copy_workload(self.db, ({"status": f"S{number % 3}"} for number in range(990)))
        self.assertEqual((asked, 1000), self.statements(cloud))

    def test_changes_that_are_under_way_are_counted_and_the_quietest_tells_its_time(self):
        cloud = self.cloud()
        self.assertEqual((0, 0), self.changes(cloud))
        self.host("h1")
        self.container("changing")
        changing, quiet = self.changes(cloud)
        self.assertEqual(1, changing)
        self.assertLess(quiet, 60)
        self.heard_of_before(datetime.timedelta(hours=1))
        changing, quiet = self.changes(cloud)
        self.assertEqual(1, changing)
        self.assertAlmostEqual(3600, quiet, delta=60)
        with self.db.transaction() as tx:
            tx.execute(sa.update(workloads.workloads).values(task_state=None))
        self.assertEqual((0, 0), self.changes(cloud))

    def changes(self, cloud: Cloud) -> tuple[float, float]:
        found = self.numbers(cloud)
        return found["workloads_changing"], found["change_quiet_seconds"]

    def heard_of_before(self, span: datetime.timedelta) -> None:
        with self.db.transaction() as tx:
            tx.execute(sa.update(workloads.workloads).values(updated_at=self.db.now(tx) - span))


class HostsAndCertificatesTest(MetricsTestCase):
    def test_hosts_ail_when_they_are_silent_or_have_a_problem_and_are_in_use(self):
        cloud = self.cloud()
        self.host("well")
        found = self.numbers(cloud)
        self.assertEqual((0, 0), (found["hosts_ailing:silent"], found["hosts_ailing:problem"]))
        self.host("silent", state=hosts.UNKNOWN, problem="Docker does not answer")
        self.host("ailing", problem="Docker does not answer")
        self.host("away", state=hosts.UNKNOWN, disabled=True)
        found = self.numbers(cloud)
        self.assertEqual((1, 1), (found["hosts_ailing:silent"], found["hosts_ailing:problem"]))
        self.assertEqual((2, 2), (found["hosts:unknown"], found["hosts:ready"]))

    def test_the_fullest_pool_and_the_first_key_to_end_are_those_of_hosts_in_use(self):
        cloud = self.cloud()
        found = self.numbers(cloud)
        self.assertNotIn("volume_pool_least_free_ratio", found)
        self.assertNotIn("host_key_end_timestamp_seconds", found)
        self.host("roomy", free_gib=90)
        self.host("tight", free_gib=5)
        self.host("away", free_gib=0, disabled=True, key_made_at=datetime.datetime(2000, 1, 1))
        self.host("revoked", public_key="", key_made_at=datetime.datetime(2000, 1, 1))
        with self.db.transaction() as tx:
            made = self.db.now(tx) - datetime.timedelta(days=3)
            tx.execute(sa.update(hosts.hosts).where(hosts.hosts.c.name == "tight").values(key_made_at=made))
        found = self.numbers(cloud)
        self.assertAlmostEqual(0.05, found["volume_pool_least_free_ratio"])
        ends = made.replace(tzinfo=datetime.UTC) + datetime.timedelta(days=HOST_KEY_DAYS)
        self.assertAlmostEqual(ends.timestamp(), found["host_key_end_timestamp_seconds"], delta=1)

    def test_a_certificate_tells_when_it_ends_and_a_new_one_too(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(folder.rmdir)
        authority = Authority(folder)
        pair = authority.pair("api", "cloud.example.org", lasts=2 * DAY)
        self.addCleanup(lambda: [path.unlink() for path in folder.iterdir()])
        cloud = self.cloud(api=pair.certificate, gateway=str(folder / "none"))
        now = datetime.datetime.now(datetime.UTC).timestamp()
        found = self.numbers(cloud)
        self.assertAlmostEqual(now + 2 * 86400, found["certificate_end_timestamp_seconds:api"], delta=60)
        self.assertNotIn("certificate_end_timestamp_seconds:gateway", found)
        authority.pair("api", "cloud.example.org", lasts=9 * DAY)
        found = self.numbers(cloud)
        self.assertAlmostEqual(now + 9 * 86400, found["certificate_end_timestamp_seconds:api"], delta=60)
