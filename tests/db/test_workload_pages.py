# SPDX-License-Identifier: Apache-2.0
"""Pages of workloads: their order, and the version that tells one reading of a row from another."""

from __future__ import annotations

from dataclasses import replace

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import create
from zun_lite.db import workload_pages, workloads
from zun_lite.db.workload_pages import Mark, Wanted
from zun_lite.db.workloads import CONTAINER, Workload
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.wiring import Wiring

PROJECT = "p1"


@on_every_database
class PagesTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.means = means_of(self.db)
        self.host = a_host(self.means)

    def make(self, name: str) -> Workload:
        return create.create_container(self.means, a_caller(), name, a_spec(), run=True)

    def mark(self, workload: Workload) -> Mark:
        with self.db.read() as tx:
            marks = workload_pages.marks(tx, Wanted(CONTAINER, PROJECT, 100))
        return next(mark for mark in marks if mark.uuid == workload.uuid)

    def read(self, workload: Workload) -> Workload:
        with self.db.read() as tx:
            found = workloads.get(tx, workload.uuid)
        assert found is not None
        return found

    def test_every_write_of_a_row_raises_its_version_and_no_others(self):
        made, beside = self.make("web"), self.make("beside")
        seen = Observed(generation=1, epoch=1, state="running", container_id="c" * 64)
        writers = {
            "provide": lambda tx: workloads.provide(tx, self.read(made), Wiring()),
            "record_observed": lambda tx: workloads.record_observed(tx, self.read(made), seen),
            "change": lambda tx: workloads.change(tx, self.read(made), replace(self.read(made).goal, run=2)),
            "rename": lambda tx: workloads.rename(tx, self.read(made), "other"),
            "trimmed": lambda tx: workloads.trimmed(tx, self.read(made)),
            "host_changed": lambda tx: workloads.host_changed(tx, self.host.uuid, known=False),
        }
        version = self.mark(made).version
        for name, write in writers.items():
            self.db.transact(lambda tx, write=write: write(tx))
            after = self.mark(made).version
            self.assertGreater(after, version, name)
            version = after
        self.assertEqual(1, self.mark(beside).version)

    def test_a_failure_raises_the_version(self):
        made = self.make("web")
        self.db.transact(lambda tx: workloads.fail(tx, made, "no such port"))
        self.assertEqual(2, self.mark(made).version)

    def test_rows_are_read_whole_with_their_versions_and_what_is_gone_is_left_out(self):
        made, gone = self.make("web"), self.make("gone")
        self.db.transact(lambda tx: workloads.rename(tx, made, "other"))
        self.db.transact(lambda tx: workloads.remove(tx, gone))
        with self.db.read() as tx:
            found = list(workload_pages.whole(tx, [made.uuid, gone.uuid]))
        self.assertEqual([(2, "other")], [(version, workload.name) for version, workload in found])

    def test_pages_go_past_rows_without_a_value_in_both_directions(self):
        made = [self.make(f"c{number}") for number in range(6)]
        for workload in made[::2]:
            self.db.transact(lambda tx, workload=workload: workloads.fail(tx, workload, f"why {workload.name}"))
        for key in ("status_reason", "updated_at", "host", "name", "id"):
            for descending in (False, True):
                with self.subTest(key=key, descending=descending):
                    seen: list[str] = []
                    marker = None
                    while marks := self.page(key, descending, marker):
                        seen += [mark.uuid for mark in marks]
                        marker = seen[-1]
                        self.assertLessEqual(len(seen), len(made))
                    self.assertEqual(sorted(workload.uuid for workload in made), sorted(seen))
                    if key == "status_reason":
                        names = ["c0", "c2", "c4", "c1", "c3", "c5"]
                        by_uuid = {workload.uuid: workload.name for workload in made}
                        self.assertEqual(names[::-1] if descending else names, [by_uuid[uuid] for uuid in seen])

    def page(self, key: str, descending: bool, marker: str | None) -> list[Mark]:
        wanted = Wanted(CONTAINER, PROJECT, 2, {}, marker, key, descending)
        with self.db.read() as tx:
            return workload_pages.marks(tx, wanted)

    def test_a_marker_that_is_no_row_leaves_the_page_empty(self):
        self.make("web")
        self.assertEqual([], self.page("id", False, "nothing"))
