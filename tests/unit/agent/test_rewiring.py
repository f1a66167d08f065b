# SPDX-License-Identifier: Apache-2.0
"""A host whose container joins and leaves networks: connected as it runs, tried again, reported."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.agent.fakes import a_workload, an_endpoint, deleted, stopped
from tests.unit.agent.test_reconciler import Base
from zun_lite.domain import errors
from zun_lite.domain.desired import Desired
from zun_lite.domain.lifecycle import OFF, PRESENT, Goal
from zun_lite.domain.wiring import Wiring


def joined(workload: Desired) -> Desired:
    """With one network more, whose port is there."""
    end = replace(an_endpoint(), dns=("10.9.9.9",))
    wiring = replace(workload.wiring, endpoints=(*workload.wiring.endpoints, end))
    return replace(workload, generation=workload.generation + 1, wiring=wiring)


def left(workload: Desired) -> Desired:
    """Without its first network."""
    wiring = Wiring(workload.wiring.endpoints[1:])
    return replace(workload, generation=workload.generation + 1, wiring=wiring)


class Rewiring(Base):
    def test_what_runs_is_wired_again_and_not_started_again(self):
        workload = self.running()
        container_id = self.host.seen(workload.uuid).container_id
        for changed in (more := joined(workload), left(more)):
            self.host.runtime.calls.clear()
            self.assertIsNone(self.follow(changed))
            self.assertEqual([], self.host.runtime.calls)
            self.assertEqual(changed.wiring.ports, self.host.netd.ports[container_id])
            self.assertEqual(changed.wiring.dns, self.host.runtime.dns[workload.uuid])
            observed = self.host.observed(workload.uuid)
            self.assertEqual((changed.generation, changed.wiring.ports), (observed.generation, observed.plugged))
        self.assertEqual([container_id] * 2, [wired for wired, _ in self.host.netd.wired])

    def test_nothing_is_done_again_when_nothing_changed(self):
        workload = joined(self.running())
        self.follow(workload)
        self.host.restart()
        self.assertIsNone(self.follow(replace(workload, generation=3)))
        self.assertEqual(1, len(self.host.netd.wired))

    def test_of_what_is_stopped_only_the_record_changes(self):
        workload = stopped(self.running())
        self.follow(workload)
        changed = joined(workload)
        self.follow(changed)
        self.assertEqual([], self.host.netd.wired)
        self.assertEqual(changed.wiring.ports, self.host.observed(workload.uuid).plugged)

    def test_one_that_was_never_started_has_its_record_changed_too(self):
        workload = a_workload(Goal(PRESENT, OFF, 0, 1))
        self.follow(workload)
        changed = left(joined(workload))
        self.follow(changed)
        self.assertEqual((changed.wiring.ports,), tuple(self.host.netd.ports.values()))

    def test_a_netd_that_is_away_is_asked_again(self):
        workload = joined(self.running())
        for verb in ("plug", "wire"):
            self.host.netd.refusals[verb] = [errors.Unavailable("away")]
        self.assertIsNotNone(self.follow(workload))
        self.assertIsNotNone(self.host.look(workload.uuid))
        self.assertNotEqual(workload.wiring.ports, self.host.observed(workload.uuid).plugged)
        self.assertIsNone(self.host.look(workload.uuid))
        self.assertEqual(workload.wiring.ports, self.host.observed(workload.uuid).plugged)

    def test_an_end_at_that_moment_is_no_failure(self):
        workload = joined(self.running())
        self.host.netd.refusals["wire"] = [errors.NotFound("no process 4242 to wire; it ended already")]
        self.assertIsNone(self.follow(workload))
        self.assertEqual(workload.wiring.ports, self.host.observed(workload.uuid).plugged)

    def test_one_that_cannot_be_connected_lives_on_and_the_reason_is_told(self):
        workload = joined(self.running())
        self.host.netd.refusals["wire"] = [errors.Failed("the kernel refused")] * 3
        self.follow(workload)
        for _ in range(2):
            self.host.look(workload.uuid)
        observed = self.host.observed(workload.uuid)
        self.assertEqual(("running", True, True), (observed.state, observed.final, observed.spared))
        self.assertIn("kernel refused", observed.error)
        self.assertEqual("Running", self.status(workload))
        self.assertIsNone(self.follow(left(workload)))
        self.assertEqual(left(workload).wiring.ports, self.host.observed(workload.uuid).plugged)

    def test_an_agent_that_dies_between_the_steps_ends_what_it_began(self):
        workload = joined(self.running())
        self.host.netd.refusals["wire"] = [errors.Unavailable("away")]
        self.follow(workload)
        self.host.restart()
        self.host.look(workload.uuid)
        self.assertEqual(1, len(self.host.netd.wired))

    def test_what_is_gone_is_forgotten_also_when_someone_else_removed_it(self):
        workload = self.running()
        self.host.runtime.lose(workload.uuid)
        self.follow(deleted(workload))
        self.assertIn(("forget", workload.uuid), self.host.runtime.calls)
