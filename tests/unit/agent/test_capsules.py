# SPDX-License-Identifier: Apache-2.0
"""A capsule on one host: from a goal to containers that share a sandbox, over a fake engine."""

from __future__ import annotations

import unittest
from dataclasses import replace

from tests.unit.agent.fakes import Host, Killed, a_workload, an_attachment, an_endpoint, deleted
from zun_lite.agent.runtime.fake import SANDBOX_IMAGE
from zun_lite.domain import errors, names
from zun_lite.domain.capsule import ALWAYS, CAPSULE, NEVER, ON_FAILURE, Member, MemberMount, assemble
from zun_lite.domain.capsule_plan import SANDBOX, MemberStep
from zun_lite.domain.desired import Desired, DesiredSet
from zun_lite.domain.lifecycle import status_of
from zun_lite.domain.plan import Step
from zun_lite.domain.spec import ContainerSpec, MountRequest
from zun_lite.domain.wiring import Wiring

IMAGE = "demo:latest"


def a_member(name: str, *mounts: MemberMount, **spec) -> Member:
    return Member(names.new_id(), name, ContainerSpec(**{"image": IMAGE, "command": ("sleep", "9"), **spec}), mounts)


def a_capsule(containers: int = 2, inits: int = 0, policy: str = ALWAYS, volume: bool = False) -> Desired:
    mounts = (MemberMount("vol", "/data"),) if volume else ()
    volumes = (("vol", MountRequest("/vol", size_gib=1)),) if volume else ()
    spec = assemble(
        tuple(a_member(f"c{number}", *mounts) for number in range(containers)),
        tuple(a_member(f"i{number}", *mounts) for number in range(inits)),
        volumes,
        policy,
        labels={"app": "web"},
    )
    wiring = Wiring((an_endpoint(),), (an_attachment(target="/vol"),) if volume else ())
    return replace(a_workload(), kind=CAPSULE, name="web", spec=spec, wiring=wiring)


class CapsuleTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.host = Host(self)
        self.runtime = self.host.runtime

    def settle(self, capsule: Desired) -> None:
        """Passes until one has nothing more to do; a pass that failed is made again."""
        for _ in range(20):
            if self.host.look(capsule.uuid) is None:
                return
        self.fail("the passes never ended")

    def run_capsule(self, *args, **changes) -> Desired:
        capsule = a_capsule(*args, **changes)
        self.host.put(capsule)
        self.settle(capsule)
        return capsule

    def end_inits(self, capsule: Desired) -> None:
        for member in capsule.spec.init_members:
            self.runtime.exit(member.uuid, 0)
            self.settle(capsule)

    def status(self, capsule: Desired) -> str:
        return status_of(capsule.goal, capsule.generation, self.host.observed(capsule.uuid)).status

    def reason(self, capsule: Desired) -> str | None:
        return status_of(capsule.goal, capsule.generation, self.host.observed(capsule.uuid)).reason

    def states(self, capsule: Desired) -> list[str | None]:
        seen = dict(self.host.observed(capsule.uuid).members)
        return [seen[item.uuid].state if item.uuid in seen else None for item in capsule.spec.every_member]

    def starts_of(self, uuid: str) -> int:
        container_id = self.seen(uuid).container_id
        return self.runtime.calls.count(("start", container_id))

    def seen(self, uuid: str):
        return self.runtime.inspect(names.docker_name(uuid))


class LifeOfACapsule(CapsuleTestCase):
    def test_its_members_join_a_sandbox_that_has_the_network(self) -> None:
        capsule = self.run_capsule()
        sandbox = self.runtime.order_of(capsule.uuid)
        self.assertEqual((SANDBOX_IMAGE, True, "web"), (sandbox.spec.image, sandbox.shareable, sandbox.spec.hostname))
        for member in capsule.spec.members:
            order = self.runtime.order_of(member.uuid)
            self.assertEqual((self.seen(capsule.uuid).container_id, capsule.uuid), (order.joins, order.uuid))
        self.assertEqual(["running", "running"], self.states(capsule))
        self.assertEqual("Running", self.status(capsule))
        self.assertEqual(3, len(self.host.netd.plugged))

    def test_init_members_run_one_after_the_other_before_the_others_are_made(self) -> None:
        capsule = self.run_capsule(2, 2)
        self.assertEqual(["running", None, None, None], self.states(capsule))
        self.assertEqual("Creating", self.status(capsule))
        self.runtime.exit(capsule.spec.init_members[0].uuid)
        self.settle(capsule)
        self.assertEqual(["exited", "running", None, None], self.states(capsule))
        self.runtime.exit(capsule.spec.init_members[1].uuid)
        self.settle(capsule)
        self.assertEqual(["exited", "exited", "running", "running"], self.states(capsule))
        self.assertEqual("Running", self.status(capsule))

    def test_an_init_member_that_fails_for_good_is_the_capsules_error(self) -> None:
        capsule = self.run_capsule(1, 1, policy=NEVER)
        self.runtime.exit(capsule.spec.init_members[0].uuid, 3)
        self.settle(capsule)
        self.assertEqual("Error", self.status(capsule))
        self.assertEqual("Container i0 ended with exit code 3.", self.reason(capsule))
        self.assertEqual(["exited", None], self.states(capsule))

    def test_it_stops_when_all_have_ended_well_and_fails_when_one_has_not(self) -> None:
        capsule = self.run_capsule(2, policy=NEVER)
        first, second = capsule.spec.members
        self.runtime.exit(first.uuid, 0)
        self.settle(capsule)
        self.assertEqual("Running", self.status(capsule))
        self.runtime.exit(second.uuid, 0)
        self.settle(capsule)
        self.assertEqual("Stopped", self.status(capsule))
        other = self.run_capsule(2, policy=NEVER)
        self.runtime.exit(other.spec.members[0].uuid, 7)
        self.settle(other)
        self.assertEqual("Error", self.status(other))
        self.assertEqual("Container c0 ended with exit code 7.", self.reason(other))

    def test_members_share_one_attachment_of_a_volume(self) -> None:
        capsule = self.run_capsule(2, volume=True)
        attachment = capsule.wiring.attachments[0]
        self.assertEqual({attachment.volume_id: attachment.epoch}, self.host.netd.attached)
        for member in capsule.spec.members:
            binds = self.runtime.order_of(member.uuid).binds
            self.assertEqual([(f"/mounts/{attachment.volume_id}/data", "/data")], [(b.source, b.target) for b in binds])
        self.assertEqual((), self.runtime.order_of(capsule.uuid).binds)

    def test_a_deleted_one_leaves_nothing(self) -> None:
        capsule = self.run_capsule(2, 1, volume=True)
        self.end_inits(capsule)
        self.host.put(deleted(capsule))
        self.settle(capsule)
        self.assertEqual([], self.runtime.containers())
        self.assertEqual(({}, {}), (self.host.netd.plugged, self.host.netd.attached))
        self.assertEqual("absent", self.host.observed(capsule.uuid).state)

    def test_a_deleted_one_is_unplugged_even_where_its_containers_went_away_by_themselves(self) -> None:
        capsule = self.run_capsule(2)
        for uuid in (capsule.spec.members[0].uuid, capsule.uuid):
            self.runtime.lose(uuid)
        self.host.put(deleted(capsule))
        self.settle(capsule)
        self.assertEqual({}, self.host.netd.plugged)

    def test_one_that_lost_a_container_is_in_error_and_stays_as_it_is(self) -> None:
        capsule = self.run_capsule(2)
        self.runtime.lose(capsule.spec.members[1].uuid)
        self.settle(capsule)
        self.assertEqual("Error", self.status(capsule))
        self.assertEqual(["running", None], self.states(capsule))

    def test_an_order_to_remove_an_old_epoch_takes_members_too(self) -> None:
        capsule = self.run_capsule(2)
        self.host.drop(capsule.uuid)
        self.host.look(capsule.uuid)
        self.assertEqual("running", self.host.observed(capsule.uuid).state)
        self.host.reconciler.order_removals([(capsule.uuid, capsule.epoch)])
        self.host.look(capsule.uuid)
        self.assertEqual([], self.runtime.containers())
        self.assertEqual({}, self.host.netd.plugged)

    def test_a_member_that_runs_on_without_a_sandbox_is_told_of_when_it_is_in_no_set(self) -> None:
        capsule = self.run_capsule(1)
        self.runtime.lose(capsule.uuid)
        self.host.drop(capsule.uuid)
        self.host.look(capsule.uuid)
        self.assertEqual("running", self.host.observed(capsule.uuid).state)

    def test_a_new_placement_replaces_the_containers_of_the_old_one(self) -> None:
        capsule = self.run_capsule(2)
        before = {item.container_id for item in self.runtime.containers()}
        self.host.put(replace(capsule, epoch=2, generation=2))
        self.settle(capsule)
        after = self.runtime.containers()
        self.assertEqual([2, 2, 2], [item.epoch for item in after])
        self.assertFalse(before & {item.container_id for item in after})

    def test_a_list_of_the_engine_tells_of_a_member_whose_end_was_not_heard_of(self) -> None:
        capsule = self.run_capsule(2)
        self.assertEqual(set(), self.host.reconciler.compare(self.runtime.containers()))
        self.runtime.exit(capsule.spec.members[0].uuid)
        self.assertEqual({capsule.uuid}, self.host.reconciler.compare(self.runtime.containers()))

    def test_a_first_report_speaks_of_the_members(self) -> None:
        capsule = self.run_capsule(2)
        self.host.restart()
        found = self.host.reconciler.survey(self.runtime.containers())[capsule.uuid]
        self.assertEqual(["running", "running"], [one.state for _, one in found.members])
        self.assertEqual("Running", status_of(capsule.goal, capsule.generation, found).status)

    def test_its_order_survives_the_wire_and_the_hosts_memory(self) -> None:
        capsule = a_capsule(2, 1, volume=True)
        again = DesiredSet.from_json(DesiredSet(1, (capsule,)).to_json()).workloads[0]
        self.assertEqual(capsule, again)


class RestartsOfACapsule(CapsuleTestCase):
    def restart_sandbox(self, capsule: Desired) -> None:
        """As Docker does it by itself."""
        self.runtime.exit(capsule.uuid, 137)
        self.runtime.start(self.seen(capsule.uuid).container_id)

    def test_members_follow_a_sandbox_that_was_started_anew_once(self) -> None:
        capsule = self.run_capsule(2)
        self.restart_sandbox(capsule)
        self.settle(capsule)
        self.settle(capsule)
        self.assertEqual([2, 2], [self.starts_of(member.uuid) for member in capsule.spec.members])
        self.assertEqual("Running", self.status(capsule))

    def test_a_sandbox_that_lies_is_started_and_its_members_too(self) -> None:
        capsule = self.run_capsule(2)
        self.runtime.exit(capsule.uuid, 0)
        self.settle(capsule)
        self.assertEqual("running", self.seen(capsule.uuid).state)
        self.assertEqual([2, 2], [self.starts_of(member.uuid) for member in capsule.spec.members])

    def test_keeping_members_up_is_never_given_up(self) -> None:
        capsule = self.run_capsule(1)
        self.restart_sandbox(capsule)
        self.runtime.fail_next("start", *[errors.Failed("the sandbox went away")] * 5)
        for _ in range(5):
            self.assertGreater(self.host.look(capsule.uuid), 0)
            self.assertNotEqual("Error", self.status(capsule))
        self.settle(capsule)
        self.assertEqual("Running", self.status(capsule))

    def test_what_had_ended_well_is_not_started_with_the_sandbox(self) -> None:
        capsule = self.run_capsule(2, policy=ON_FAILURE)
        self.runtime.exit(capsule.spec.members[0].uuid, 0)
        self.settle(capsule)
        self.restart_sandbox(capsule)
        self.settle(capsule)
        self.assertEqual([1, 2], [self.starts_of(member.uuid) for member in capsule.spec.members])

    def test_one_that_failed_while_there_was_nothing_to_join_is_started_with_the_sandbox(self) -> None:
        capsule = self.run_capsule(1, policy=ON_FAILURE)
        self.runtime.exit(capsule.spec.members[0].uuid, 1)
        self.settle(capsule)
        self.assertEqual("Restarting", self.status(capsule))
        self.restart_sandbox(capsule)
        self.settle(capsule)
        self.assertEqual(["running"], self.states(capsule))

    def test_after_a_reboot_what_ran_runs_again_and_what_had_ended_does_not(self) -> None:
        capsule = self.run_capsule(2, 1, policy=NEVER)
        self.end_inits(capsule)
        self.runtime.exit(capsule.spec.members[0].uuid, 0)
        self.settle(capsule)
        self.runtime.reboot()
        self.host.boot_id = "boot-2"
        self.host.restart()
        self.settle(capsule)
        self.assertEqual(["exited", "exited", "running"], self.states(capsule))
        self.assertEqual("Running", self.status(capsule))

    def test_a_reboot_under_an_init_member_runs_it_again(self) -> None:
        capsule = self.run_capsule(1, 1, policy=NEVER)
        self.runtime.reboot()
        self.host.boot_id = "boot-2"
        self.host.restart()
        self.settle(capsule)
        self.assertEqual(["running", None], self.states(capsule))
        self.end_inits(capsule)
        self.assertEqual("Running", self.status(capsule))

    def test_a_lost_journal_restarts_nothing(self) -> None:
        capsule = self.run_capsule(2, 1)
        self.end_inits(capsule)
        self.host.journal.forget(capsule.uuid)
        self.host.restart()
        self.settle(capsule)
        self.assertEqual([1, 1, 1], [self.starts_of(item.uuid) for item in capsule.spec.every_member])
        self.assertEqual("Running", self.status(capsule))

    def test_a_member_that_cannot_be_started_is_named_in_the_reason(self) -> None:
        capsule = a_capsule(1)
        self.host.put(capsule)
        self.runtime.fail_next("start", *[errors.Invalid("exec: no such file")])
        self.settle(capsule)
        # the first start is the sandbox's
        self.assertEqual("exec: no such file", self.reason(capsule))
        other = a_capsule(1, 1)
        self.host.put(other)
        self.host.look(other.uuid)
        self.runtime.exit(other.spec.init_members[0].uuid)
        self.runtime.fail_next("start", errors.Invalid("exec: no such file"))
        self.settle(other)
        self.assertEqual("Container c0: exec: no such file", self.reason(other))

    def test_images_are_pulled_side_by_side_and_each_once(self) -> None:
        capsule = a_capsule(2)
        members = tuple(
            replace(member, spec=replace(member.spec, image=f"far:{number}", image_pull_policy="always"))
            for number, member in enumerate(capsule.spec.members)
        )
        capsule = replace(capsule, spec=replace(capsule.spec, members=members))
        self.runtime.pullable |= {"far:0", "far:1"}
        self.host.put(capsule)
        self.assertIsNone(self.host.look(capsule.uuid))
        self.assertTrue(self.host.images.wait(5))
        self.settle(capsule)
        self.assertEqual("Running", self.status(capsule))
        self.assertEqual(2, self.runtime.verbs().count("pull"))


_MAKING = (Step.CREATE, Step.PLUG, Step.START)


class DeathsOfTheAgent(CapsuleTestCase):
    STEPS = (
        *(MemberStep(step, (who,)) for who in ("sandbox", "i0", "c0", "c1") for step in _MAKING),
        Step.IMAGE,
        Step.DISKS,
        Step.NOTE_BUILD,
        Step.NOTE_RUN,
    )

    def test_whenever_it_dies_while_it_makes_one_the_next_goes_on_and_starts_each_once(self) -> None:
        for step in self.STEPS:
            for moment in ("before", "after"):
                with self.subTest(step=str(step), moment=moment):
                    self.setUp()
                    capsule = a_capsule(2, 1, volume=True)
                    self.host.put(capsule)
                    self.host.performer.die_at = self._of(step, capsule), moment
                    self._survive(capsule)
                    self.runtime.exit(capsule.spec.init_members[0].uuid, 0)
                    self._survive(capsule)
                    self.assertIsNone(self.host.performer.die_at)
                    self.assertEqual("Running", self.status(capsule))
                    self.assertEqual(4, len(self.runtime.containers()))
                    self.assertEqual([1] * 3, [self.starts_of(item.uuid) for item in capsule.spec.every_member])

    def test_whenever_it_dies_while_it_takes_one_away_the_next_leaves_nothing(self) -> None:
        removals = (Step.STOP, Step.UNPLUG, Step.REMOVE)
        whole = (Step.UNPLUG, Step.DETACH, Step.NOTE_ABSENT)
        for step in (*(MemberStep(step, (who,)) for who in ("sandbox", "c0") for step in removals[1:]), *whole):
            for moment in ("before", "after"):
                with self.subTest(step=str(step), moment=moment):
                    self.setUp()
                    capsule = self.run_capsule(1, volume=True)
                    self.host.put(deleted(capsule))
                    self.host.performer.die_at = self._of(step, capsule), moment
                    self._survive(capsule)
                    self.settle(capsule)
                    self.assertEqual([], self.runtime.containers())
                    self.assertEqual(({}, {}), (self.host.netd.plugged, self.host.netd.attached))

    def _of(self, step: Step | MemberStep, capsule: Desired) -> Step | MemberStep:
        if not isinstance(step, MemberStep):
            return step
        uuids = {"sandbox": SANDBOX, **{member.name: member.uuid for member in capsule.spec.every_member}}
        return MemberStep(step.step, (uuids[step.members[0]],))

    def _survive(self, capsule: Desired) -> None:
        try:
            self.settle(capsule)
        except Killed:
            self.host.restart()
            self.settle(capsule)
