# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import unittest
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from zun_lite.domain.capsule import (
    ALWAYS,
    CAPSULE,
    CONTAINER,
    NEVER,
    ON_FAILURE,
    CapsuleSpec,
    Member,
    MemberMount,
    assemble,
    claim_of,
    read_spec,
)
from zun_lite.domain.capsule_plan import summed_up
from zun_lite.domain.lifecycle import Goal, Observed, status_of
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec, MountRequest, NetworkRequest, RestartPolicy


def a_member(name: str, cpus: float = 1.0, memory_mib: int = 64, *mounts: MemberMount) -> Member:
    return Member(f"uuid-{name}", name, ContainerSpec("demo", cpus=cpus, memory_mib=memory_mib), mounts)


class CapsuleSpecTest(unittest.TestCase):
    def test_it_claims_all_members_or_its_highest_init_member(self) -> None:
        members = (a_member("a", 0.1, 100), a_member("b", 0.2, 100))
        small = assemble(members, (a_member("i", 0.2, 50),), (), ALWAYS)
        self.assertEqual(Resources(0.3, 200, 0), small.claim)
        high = assemble(members, (a_member("i", 2.0, 50), a_member("j", 0.1, 900)), (), ALWAYS)
        self.assertEqual(Resources(2.0, 900, 0), high.claim)

    def test_its_containers_count_in_the_quota(self) -> None:
        spec = assemble((a_member("a"), a_member("b")), (a_member("i"),), (), ALWAYS)
        self.assertEqual((3, 1), (spec.container_count, ContainerSpec("demo").container_count))

    def test_init_members_are_restarted_a_few_times_whatever_the_members_policy(self) -> None:
        for policy, expected in (
            (ALWAYS, RestartPolicy(ON_FAILURE, 10)),
            (ON_FAILURE, RestartPolicy(ON_FAILURE, 10)),
            (NEVER, RestartPolicy(NEVER)),
        ):
            spec = assemble((a_member("a"),), (a_member("i"),), (), policy)
            self.assertEqual(expected, spec.init_members[0].spec.restart_policy)
            self.assertEqual(RestartPolicy(policy), spec.members[0].spec.restart_policy)

    def test_it_is_read_back_from_json_as_what_it_was(self) -> None:
        spec = assemble(
            (a_member("a", 1.0, 64, MemberMount("vol", "/data", True)),),
            (a_member("i"),),
            (("vol", MountRequest("/vol", size_gib=2, auto_remove=False)),),
            ALWAYS,
            labels={"app": "web"},
            annotations={"note": "x"},
        )
        spec = replace(spec, networks=(NetworkRequest("net"),), availability_zone="az1")
        self.assertEqual(spec, read_spec(CAPSULE, spec.to_json()))
        self.assertIsInstance(read_spec(CAPSULE, spec.to_json()), CapsuleSpec)

    def test_a_containers_spec_is_read_as_one(self) -> None:
        self.assertIs(ContainerSpec, type(read_spec(CONTAINER, ContainerSpec("demo").to_json())))

    def test_fields_of_a_newer_version_are_passed_over(self) -> None:
        body = assemble((a_member("a"),), (), (), ALWAYS).to_json()
        body["members"][0]["spec"]["to_come"] = body["members"][0]["to_come"] = body["to_come"] = 1
        self.assertEqual("a", read_spec(CAPSULE, body).members[0].name)

    @given(st.lists(st.floats(0.1, 16), min_size=1, max_size=8), st.lists(st.floats(0.1, 16), max_size=8))
    def test_no_moment_takes_more_than_the_claim(self, together: list[float], one_by_one: list[float]) -> None:
        claim = claim_of([Resources(cpus) for cpus in together], [Resources(cpus) for cpus in one_by_one])
        self.assertGreaterEqual(claim.cpus + 1e-5, max([sum(together), *one_by_one]))


class MountRequestTest(unittest.TestCase):
    def test_a_volume_goes_if_it_was_made_for_the_workload_unless_its_user_said_otherwise(self) -> None:
        self.assertTrue(MountRequest("/a", size_gib=1).goes)
        self.assertFalse(MountRequest("/a", size_gib=1, auto_remove=False).goes)
        self.assertFalse(MountRequest("/a", volume_id="v").goes)
        self.assertTrue(MountRequest("/a", volume_id="v", auto_remove=True).goes)


class CapsuleStatus(unittest.TestCase):
    """Each row: the policy, (state, exit code) of two members, the status."""

    ROWS = (
        (ALWAYS, ("running", None), ("running", None), "Running"),
        (ALWAYS, ("running", None), ("restarting", 1), "Restarting"),
        (ALWAYS, ("exited", 0), ("exited", 0), "Restarting"),
        (ON_FAILURE, ("exited", 0), ("running", None), "Running"),
        (ON_FAILURE, ("exited", 0), ("exited", 0), "Stopped"),
        (ON_FAILURE, ("exited", 0), ("exited", 3), "Restarting"),
        (NEVER, ("exited", 0), ("exited", 0), "Stopped"),
        (NEVER, ("running", None), ("exited", 0), "Running"),
        (NEVER, ("running", None), ("exited", 3), "Error"),
        (NEVER, ("exited", 0), ("dead", None), "Error"),
    )

    def test_follows_its_members(self) -> None:
        for policy, first, second, expected in self.ROWS:
            with self.subTest(policy=policy, first=first, second=second):
                self.assertEqual(expected, self._status(policy, first, second).status)

    def test_an_error_names_the_container_that_failed(self) -> None:
        status = self._status(NEVER, ("running", None), ("exited", 3))
        self.assertEqual("Container b ended with exit code 3.", status.reason)

    def _status(self, policy: str, first: tuple[str, int | None], second: tuple[str, int | None]):
        spec = assemble((a_member("a"), a_member("b")), (), (), policy)
        seen = tuple(
            (member.uuid, Observed(state=state, exit_code=code))
            for member, (state, code) in zip(spec.members, (first, second), strict=True)
        )
        whole = Observed(generation=1, epoch=1, run=1, build=1, state="running", members=seen)
        return status_of(Goal(power="on", run=1), 1, summed_up(spec, whole))
