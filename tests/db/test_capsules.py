# SPDX-License-Identifier: Apache-2.0
"""Capsules in SQL: their containers count, also when creates race; their volumes go or stay as was said."""

from __future__ import annotations

import threading

from tests.builders import YesVolumes, a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import actions, capsules, create, provision, release
from zun_lite.db import books, volumes, workloads
from zun_lite.domain import errors, names
from zun_lite.domain.capsule import ALWAYS, CapsuleSpec, Member, MemberMount, assemble
from zun_lite.domain.lifecycle import ABSENT, Observed
from zun_lite.domain.resources import Limits, Resources
from zun_lite.domain.spec import MountRequest
from zun_lite.volume.embedded import EmbeddedVolumes


def a_capsule(containers: int = 2, *mounts: tuple[str, MountRequest]) -> CapsuleSpec:
    paths = tuple(MemberMount(name, f"/{name}") for name, _ in mounts)
    members = tuple(Member(names.new_id(), f"c{number}", a_spec(), paths) for number in range(containers))
    return assemble(members, (), mounts, ALWAYS)


@on_every_database
class CapsulesInSql(DatabaseTestCase):
    def make(self, means, spec: CapsuleSpec | None = None, name: str = "pod"):
        return create.create_capsule(means, a_caller(), name, spec or a_capsule())

    def test_a_record_is_read_back_as_the_capsule_that_it_is(self):
        means = means_of(self.db)
        a_host(means)
        spec = a_capsule(2, ("vol", MountRequest("/vol", size_gib=1)))
        made = self.make(means, spec)
        with self.db.read() as tx:
            again = workloads.get(tx, made.uuid)
        self.assertEqual(spec.members, again.spec.members)
        self.assertEqual(("capsule", "capsule"), (again.kind, again.desired.kind))
        self.assertEqual(2.0, again.spec.claim.cpus)

    def test_what_is_found_by_name_is_of_one_kind(self):
        means = means_of(self.db)
        a_host(means)
        capsule = self.make(means, name="same")
        container = create.create_container(means, a_caller(), "same", a_spec(), run=True)
        self.assertEqual(capsule.uuid, capsules.find(means, a_caller(), "same").uuid)
        self.assertEqual(container.uuid, actions.find(means, a_caller(), "same").uuid)
        self.assertEqual([capsule.uuid], [row.uuid for row in capsules.page(means, a_caller(), limit=9)])

    def test_racing_capsules_never_pass_the_quota_of_containers(self):
        """A8."""
        means = means_of(self.db, limits=Limits(containers=10, cpu=-1, memory=-1))
        a_host(means, capacity=Resources(1000, 1000000, 0))
        accepted = []

        def work() -> None:
            try:
                accepted.append(self.make(means, a_capsule(3)))
            except errors.OverQuota:
                return

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(3, len(accepted))
        with self.db.read() as tx:
            self.assertEqual(9, workloads.usage_of_project(tx, "p1")[0])

    def test_the_books_know_its_containers(self):
        means = means_of(self.db)
        a_host(means)
        made = self.make(means, a_capsule(3))
        with self.db.read() as tx:
            entry = books.read(tx).workloads[0]
        self.assertEqual((made.uuid, 3), (entry.uuid, entry.containers))
        self.assertEqual(tuple(member.uuid for member in made.spec.members), entry.members)

    def test_what_was_seen_of_its_members_is_kept(self):
        means = means_of(self.db)
        a_host(means)
        made = self.make(means)
        seen = tuple((member.uuid, Observed(state="running", ports=(80,))) for member in made.spec.members)
        observed = Observed(1, 1, 1, 1, "running", members=seen)
        self.db.transact(lambda tx: workloads.record_observed(tx, made, observed))
        with self.db.read() as tx:
            self.assertEqual(observed, workloads.get(tx, made.uuid).observed)

    def test_a_delete_is_recorded_once(self):
        means = means_of(self.db)
        a_host(means)
        made = self.make(means)
        for _ in range(2):
            capsules.delete(means, a_caller(), made)
        with self.db.read() as tx:
            self.assertEqual(ABSENT, workloads.get(tx, made.uuid).goal.presence)
        self.assertEqual(["delete", "create"], [action.action for action in actions.history(means, made)])

    def test_its_volumes_go_with_it_or_stay_as_was_said(self):
        means = means_of(self.db, volumes=EmbeddedVolumes(self.db))
        a_host(means)
        own = {goes: self.a_volume() for goes in (True, False)}
        spec = a_capsule(
            1,
            ("made", MountRequest("/made", size_gib=1, auto_remove=True)),
            ("made-to-stay", MountRequest("/stay", size_gib=1, auto_remove=False)),
            ("given", MountRequest("/given", volume_id=own[True], auto_remove=True)),
            ("lent", MountRequest("/lent", volume_id=own[False], auto_remove=False)),
        )
        made = self.make(means, spec)
        provision.provision(means, made)
        with self.db.read() as tx:
            self.assertEqual(4, len(workloads.get(tx, made.uuid).wiring.attachments))
        release.release(means, made)
        with self.db.read() as tx:
            left = {row.status: row.uuid for row in tx.execute(volumes.volumes.select())}
            statuses = sorted(row.status for row in tx.execute(volumes.volumes.select()))
        self.assertEqual(["available", "available", "deleting", "deleting"], statuses)
        self.assertNotEqual(own[True], left["available"])

    def a_volume(self) -> str:
        uuid = names.new_id()
        facts = {"name": uuid[:8], "description": None, "size_gib": 1, "volume_type": "local"}
        self.db.transact(lambda tx: volumes.insert(tx, uuid=uuid, project_id="p1", user_id="u1", **facts))
        return uuid

    def test_volumes_on_two_hosts_cannot_be_in_one_capsule(self):
        means = means_of(self.db, volumes=YesVolumes())
        a_host(means)
        means.volumes.resolve = lambda caller, ident: (ident, ident)
        mounts = (("a", MountRequest("/a", volume_id="h1")), ("b", MountRequest("/b", volume_id="h2")))
        self.assertRaises(errors.NotUsable, self.make, means, a_capsule(1, *mounts))
