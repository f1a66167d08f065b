# SPDX-License-Identifier: Apache-2.0
"""The audit finds every kind of disagreement, and nothing where records and host agree."""

import unittest
from dataclasses import replace

from zun_lite.domain.audit import (
    Books,
    ContainerFact,
    HostFacts,
    NetdFact,
    PortEntry,
    SnapshotEntry,
    VolumeEntry,
    WorkloadEntry,
    judge,
    unsettled,
)
from zun_lite.domain.lifecycle import ABSENT, ON, Goal, Observed
from zun_lite.domain.resources import Limits, Ratios, Resources
from zun_lite.domain.wiring import Attachment, Endpoint, Wiring

WIRING = Wiring((Endpoint("p1", "n1", 1000, "m1", 1450, ()),), (Attachment("v1", 1, 1, "/data"),))
WORKLOAD = WorkloadEntry(
    "w1",
    "project",
    "h1",
    1,
    1,
    Goal(power=ON, run=1),
    Observed(generation=1, epoch=1, run=1, build=1, state="running"),
    "Running",
    None,
    True,
    None,
    WIRING,
    Resources(1, 64, 0),
)
BOOKS = Books(
    (WORKLOAD,),
    (PortEntry("p1", "n1", "m1", ("10.0.0.2",), "w1", True),),
    (VolumeEntry("v1", "h1", "in-use", True, False, ("w1",)),),
    {"h1": Resources(2, 1024, 10)},
    (),
)
HOST = HostFacts(
    "h1",
    (ContainerFact("c1", "w1", 1, "running"),),
    (NetdFact("c1", "w1", ("p1",), ("v1",), True),),
    ("v1",),
    ("v1",),
)
EMPTY_BOOKS = replace(BOOKS, workloads=(), ports=(), volumes=())


CAPSULE = replace(WORKLOAD, containers=2, members=("m1", "m2"))
CAPSULE_BOOKS = replace(BOOKS, workloads=(CAPSULE,))
MEMBERS = (ContainerFact("c2", "w1", 1, "running", "m1"), ContainerFact("c3", "w1", 1, "running", "m2"))
CAPSULE_HOST = replace(
    HOST,
    containers=(*HOST.containers, *MEMBERS),
    netd=(*HOST.netd, NetdFact("c2", "w1", (), ("v1",), True), NetdFact("c3", "w1", (), (), True)),
)


class CapsuleAuditTest(unittest.TestCase):
    def test_a_sandbox_and_its_members_are_one_workload(self):
        self.assertEqual([], _found(CAPSULE_BOOKS, CAPSULE_HOST))

    def test_each_member_is_there_once_and_with_its_capsule(self):
        twice = replace(MEMBERS[0], container_id="c4")
        for containers, expected in (
            ((*CAPSULE_HOST.containers, twice), "I2: container m1 of capsule w1 has 2 containers"),
            (CAPSULE_HOST.containers[:2], "I1: capsule w1 is Running and lacks its container m2"),
            (MEMBERS, "I3: container c2 of w1 has lost its sandbox"),
            ((*CAPSULE_HOST.containers, replace(twice, member="m9")), "I3: container c4 is no part of capsule w1"),
            ((*CAPSULE_HOST.containers, replace(twice, epoch=0)), "I2: container c4 of w1 has an old place or epoch"),
        ):
            with self.subTest(expected=expected):
                found = _found(CAPSULE_BOOKS, replace(CAPSULE_HOST, containers=containers))
                self.assertIn(expected, [f"{finding.invariant}: {finding.sentence}" for finding in found])

    def test_its_containers_count_in_the_quota(self):
        found = judge(CAPSULE_BOOKS, [CAPSULE_HOST], Limits(containers=1), Ratios())
        self.assertIn("I5", [finding.invariant for finding in found])


class AuditTest(unittest.TestCase):
    def test_nothing_is_found_where_all_agrees(self):
        self.assertEqual([], _found(BOOKS, HOST))
        self.assertEqual([], unsettled(BOOKS))

    def test_each_disagreement_is_found_under_its_name(self):
        twice = (ContainerFact("c1", "w1", 1, "running"), ContainerFact("c2", "w1", 1, "exited"))
        port = BOOKS.ports[0]
        volume = BOOKS.volumes[0]
        cases = {
            "a second container": ("I2", BOOKS, replace(HOST, containers=twice)),
            "an old epoch": ("I2", BOOKS, replace(HOST, containers=(ContainerFact("c1", "w1", 0, "running"),))),
            "a lost container": ("I1", BOOKS, replace(HOST, containers=(), netd=())),
            "a forgotten container": ("I3", EMPTY_BOOKS, replace(HOST, netd=(), mounted=(), volume_files=())),
            "an unrecorded wiring": ("I3", BOOKS, replace(HOST, netd=())),
            "a leftover of netd's": ("I3", BOOKS, replace(HOST, netd=(*HOST.netd, NetdFact("c9", "w9", (), (), True)))),
            "missing links": ("I3", BOOKS, replace(HOST, netd=(replace(HOST.netd[0], wired=False),))),
            "a leaked port": ("I3", replace(BOOKS, ports=(port, replace(port, port_id="p2", mac="m2", ips=(),
                                            device_id="gone"))), HOST),
            "a port gone": ("I3", replace(BOOKS, ports=()), HOST),
            "an address twice": ("I6", replace(BOOKS, ports=(port, replace(port, port_id="p2", mac="m2"))), HOST),
            "two writers": ("I7", replace(BOOKS, volumes=(replace(volume, attached_to=("w1", "w2")),)), HOST),
            "an attachment of nothing": ("I3", replace(BOOKS, volumes=(replace(volume, attached_to=("w9",)),)), HOST),
            "a volume file without a record": ("I3", BOOKS, replace(HOST, volume_files=("v1", "v9"))),
            "a lock that is left": ("I3", BOOKS, replace(HOST, volume_notes=("v1", "v9"))),
            "a status without an attachment": (
                "I3", replace(BOOKS, volumes=(VolumeEntry("v2", None, "in-use", False, False, ()),)), HOST
            ),
            "a free volume that a client has": (
                "I3",
                replace(BOOKS, volumes=(
                    *BOOKS.volumes, VolumeEntry("v2", None, "available", False, False, (), held_by_clients=1)
                )),
                HOST,
            ),
            "a snapshot's file without a record": ("I3", BOOKS, replace(HOST, snapshot_files=("s9",))),
            "a snapshot without its file": (
                "I11", replace(BOOKS, snapshots=(SnapshotEntry("s1", "h1", "available"),)), HOST
            ),
            "lost data in a shared pool": (
                "I11",
                replace(BOOKS, volumes=(*BOOKS.volumes, VolumeEntry("v2", "h2", "available", True, False, (), True))),
                replace(HOST, pool_shared=True),
            ),
            "a mount without an attachment": ("I3", BOOKS, replace(HOST, mounted=("v1", "v9"))),
            "lost data": ("I11", BOOKS, replace(HOST, volume_files=())),
            "a stray": ("I3", BOOKS, replace(HOST, strays=("links x",))),
            "too much on a host": ("I4", replace(BOOKS, capacities={"h1": Resources(0, 0, 0)}), HOST),
            "an action without an end": ("I8", replace(BOOKS, open_actions=(("w1", "create"),)), HOST),
        }  # fmt: skip
        for what, (invariant, books, host) in cases.items():
            with self.subTest(what):
                self.assertIn(invariant, [finding.invariant for finding in _found(books, host)])

    def test_what_the_hosts_own_docker_has_is_known_to_both_or_is_found(self):
        port = PortEntry("p9", "n1", "m9", ("10.0.0.9",), "k9", ours=False, docker_host="h1")
        books = replace(BOOKS, ports=(*BOOKS.ports, port))
        joined = NetdFact("e9", "p9", ("p9",), (), True, by_docker=True)
        host = replace(HOST, netd=(*HOST.netd, joined), docker_ports=("p9",))
        self.assertEqual([], self.kinds(books, host))
        self.assertEqual(["I3"], self.kinds(books, replace(HOST, docker_ports=())))
        self.assertEqual(["I3", "I3"], self.kinds(BOOKS, host))
        self.assertEqual(["I3"], self.kinds(books, replace(host, netd=(*HOST.netd, replace(joined, by_docker=False)))))
        self.assertEqual([], self.kinds(books, HOST))

    def kinds(self, books, host):
        return [finding.invariant for finding in _found(books, host)]

    def test_volumes_that_clients_have_and_snapshots_that_are_there_are_in_order(self):
        held = VolumeEntry("v2", None, "reserved", False, False, (), held_by_clients=1)
        shared = VolumeEntry("v3", "h2", "available", True, False, (), shared=True)
        leaving = VolumeEntry("v4", "h1", "error_deleting", True, False, ())
        snapshots = (
            SnapshotEntry("s1", "h1", "available"),
            SnapshotEntry("s2", None, "available"),
            SnapshotEntry("s3", "h2", "available"),
            SnapshotEntry("s4", "h1", "error"),
        )
        books = replace(BOOKS, volumes=(*BOOKS.volumes, held, shared, leaving), snapshots=snapshots)
        host = replace(HOST, snapshot_files=("s1",), volume_notes=("v1",))
        self.assertEqual([], _found(books, host))
        self.assertEqual([], unsettled(books))
        taken = replace(books, snapshots=(SnapshotEntry("s5", "h1", "creating"),))
        self.assertEqual(["snapshot s5 is creating"], unsettled(taken))

    def test_a_project_over_its_quota_is_found(self):
        found = judge(BOOKS, [HOST], Limits(containers=0), Ratios())
        self.assertEqual(["I5"], [finding.invariant for finding in found])

    def test_what_is_under_way_is_not_settled(self):
        leaving = replace(WORKLOAD, goal=Goal(presence=ABSENT), status="Deleting", task_state="container_deleting")
        self.assertEqual(1, len(unsettled(replace(BOOKS, workloads=(leaving,)))))
        coming = replace(WORKLOAD, ready=False, observed=None)
        self.assertEqual(1, len(unsettled(replace(BOOKS, workloads=(coming,)))))


def _found(books, host):
    return judge(books, [host], Limits(), Ratios())
