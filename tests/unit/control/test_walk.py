# SPDX-License-Identifier: Apache-2.0
"""Random lives of containers: control over SQLite, the agent's own code over a fake engine, and every fault.

Users do whatever ACTIONS knows, in any state; reports get lost, agents die between any two steps, engines
fail, hosts boot, strangers remove, pause and end containers. Whatever happened: a verb is accepted or refused
by its row of the table, and once everything is left alone, all of it settles and nothing is left over.
"""

from __future__ import annotations

import datetime
import unittest

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.builders import a_caller, a_host, a_spec, means_of, page_of
from tests.databases import DatabaseTestCase
from tests.unit.agent.fakes import IMAGE, Host, Killed
from zun_lite.api.container import views
from zun_lite.control import actions, create, reports, update
from zun_lite.control.loop import Controller
from zun_lite.db import hosts, workloads
from zun_lite.db.engine import Database, metadata
from zun_lite.domain import errors
from zun_lite.domain.desired import Inventory, Report
from zun_lite.domain.lifecycle import ABSENT, ACTIONS, EVERY_STATUS, PRESENT, carried_out, failed
from zun_lite.domain.plan import Step
from zun_lite.domain.resources import Limits, Resources
from zun_lite.domain.spec import NetworkRequest, RestartPolicy

CAPACITY = Resources(4, 1024, 100)
LIMITS = Limits(containers=3, cpu=6, memory=768, disk=-1)
SHOWN = {"running": "Running", "paused": "Paused", "exited": "Stopped", "created": "Created"}
CHANGED_BY_UPDATE = ("update", "resize_container")
VERBS = tuple(sorted(set(ACTIONS) - set(CHANGED_BY_UPDATE) - {"delete", "delete_stop", "delete_force"}))
FAULTS = (errors.Failed("it failed"), errors.Unavailable("away"), errors.Invalid("it can never be"))
ROUNDS = 30
PHASES = (Phase.reuse, Phase.generate, Phase.shrink)

containers = st.integers(0, 2)


class Walk(RuleBasedStateMachine):
    """One project, one host. The database is the test's own, emptied for each walk."""

    db: Database
    test: unittest.TestCase

    def __init__(self) -> None:
        super().__init__()
        with self.db.transaction() as tx:
            for table in metadata.sorted_tables:
                tx.execute(sa.delete(table))
        self.means = means_of(self.db, limits=LIMITS)
        self.host = a_host(self.means, capacity=CAPACITY)
        self.controller = Controller(self.means)
        self.agent = Host(self.test)
        self.made: list[str] = []

    # what users do

    @initialize(run=st.booleans())
    def begin(self, run: bool) -> None:
        self.create(run, "no", False, False, IMAGE)

    @rule(
        run=st.booleans(),
        policy=st.sampled_from(("no", "always", "unless-stopped")),
        auto_heal=st.booleans(),
        auto_remove=st.booleans(),
        image=st.sampled_from((IMAGE, IMAGE, "nosuch:latest")),
    )
    def create(self, run: bool, policy: str, auto_heal: bool, auto_remove: bool, image: str) -> None:
        spec = a_spec(
            image=image,
            memory_mib=128,
            networks=(NetworkRequest("n1"),),
            auto_heal=auto_heal,
            auto_remove=auto_remove and policy == "no",
            restart_policy=RestartPolicy(policy),
        )
        try:
            self.made.append(create.create_container(self.means, a_caller(), None, spec, run=run).uuid)
        except errors.OverQuota:
            claimed = self.claimed()
            full = claimed.memory_mib + 128 > LIMITS.memory or claimed.cpus + 1 > LIMITS.cpu
            assert full or len(self.records()) == LIMITS.containers

    @rule(which=containers, verb=st.sampled_from(VERBS), signal=st.sampled_from(("SIGKILL", "SIGTERM", "SIGHUP")))
    def act(self, which: int, verb: str, signal: str) -> None:
        workload = self.pick(which)
        if workload is None:
            return
        given = {"kill": {"signal": signal}, "rebuild": {"image": IMAGE}}.get(verb, {})
        self.judged(workload, verb, lambda: actions.act(self.means, a_caller(), workload, verb, **given))

    @rule(which=containers, cpus=st.sampled_from((0.5, 1.0, 4.0)), memory=st.sampled_from((64, 128, 512, 2048)))
    def resize(self, which: int, cpus: float, memory: int) -> None:
        workload = self.pick(which)
        if workload is None:
            return
        change = update.Change(cpus=cpus, memory_mib=memory)
        try:
            self.judged(workload, "update", lambda: update.update(self.means, workload, change))
        except (errors.OverQuota, errors.Conflict) as error:
            assert not isinstance(error, errors.WrongState)

    @rule(which=containers, stop=st.booleans(), force=st.booleans())
    def delete(self, which: int, stop: bool, force: bool) -> None:
        workload = self.pick(which)
        if workload is None:
            return
        verb = "delete_stop" if stop else "delete_force" if force else "delete"
        self.judged(workload, verb, lambda: actions.delete(self.means, a_caller(), workload, stop=stop, force=force))

    # what programs do

    @rule()
    def controller_passes(self) -> None:
        self.controller.run_once()

    @rule(which=containers, told=st.booleans())
    def agent_passes(self, which: int, told: bool) -> None:
        self.fetch()
        if which < len(self.made):
            self.look(self.made[which])
        if told:
            self.report()

    @rule(which=containers, step=st.sampled_from(tuple(Step)), when=st.sampled_from(("before", "after")))
    def agent_dies(self, which: int, step: Step, when: str) -> None:
        self.fetch()
        self.agent.performer.die_at = (step, when)
        try:
            if which < len(self.made):
                self.look(self.made[which])
        except Killed:
            self.agent.restart()
            self.survey()
        finally:
            self.agent.performer.die_at = None

    @rule(
        verb=st.sampled_from(("create", "start", "stop", "remove", "pause", "unpause", "signal", "limit", "inspect")),
        fault=st.sampled_from(FAULTS),
        times=st.integers(1, 4),
    )
    def engine_fails(self, verb: str, fault: errors.ZunError, times: int) -> None:
        if verb in ("stop", "remove", "inspect") and isinstance(fault, errors.Invalid):
            return
        self.agent.runtime.fail_next(verb, *[fault] * times)

    # what happens to a host

    @rule(which=containers, code=st.sampled_from((0, 1)))
    def it_ends(self, which: int, code: int) -> None:
        self.to_container(which, ("running", "paused"), lambda uuid: self.agent.runtime.exit(uuid, code))

    @rule(which=containers)
    def a_stranger_removes_it(self, which: int) -> None:
        self.to_container(which, None, lambda uuid: self.is_noted(uuid) and self.agent.runtime.lose(uuid))

    @rule(which=containers)
    def a_stranger_pauses_it(self, which: int) -> None:
        self.to_container(which, ("running",), self.agent.runtime.freeze)

    @rule(which=containers, health=st.sampled_from(("healthy", "unhealthy")))
    def its_health_is_checked(self, which: int, health: str) -> None:
        self.to_container(which, ("running",), lambda uuid: self.agent.runtime.say_health(uuid, health))

    @rule()
    def the_host_boots(self) -> None:
        self.agent.runtime.reboot()
        self.agent.boot_id += "+"
        self.agent.restart()
        self.survey()

    @rule()
    def the_host_is_not_heard_of(self) -> None:
        def lose(tx: sa.Connection) -> None:
            hosts.set_state(tx, self.host.uuid, hosts.UNKNOWN)
            workloads.host_changed(tx, self.host.uuid, known=False)

        self.db.transact(lose)

    @rule()
    def the_host_is_heard_of(self) -> None:
        self.survey()

    # what must be so

    @invariant()
    def every_record_can_be_shown(self) -> None:
        for workload in self.records():
            assert workload.status in EVERY_STATUS, workload.status
            views.container(workload, now=datetime.datetime(2026, 1, 1), shown=("host",), host_name="host1")

    @invariant()
    def nothing_is_over_committed(self) -> None:
        claimed = self.claimed()
        assert claimed.cpus <= LIMITS.cpu and claimed.memory_mib <= LIMITS.memory, claimed
        assert claimed.memory_mib <= CAPACITY.memory_mib * self.means.ratios.memory

    @invariant()
    def no_container_is_there_twice_or_of_nobody(self) -> None:
        there = [item.uuid for item in self.agent.runtime.containers_there()]
        assert len(there) == len(set(there)), there
        assert set(there) <= set(self.made)

    @precondition(lambda self: self.made)
    @rule()
    def all_is_left_alone(self) -> None:
        self.settle()

    def teardown(self) -> None:
        self.settle()
        for workload in self.records():
            verb = {"force": True}
            if workload.status == "Paused":
                actions.act(self.means, a_caller(), workload, "unpause")
                self.settle()
            actions.delete(self.means, a_caller(), workload, **verb)
        self.settle()
        assert self.records() == []
        assert self.agent.runtime.containers_there() == []
        assert self.agent.netd.plugged == {}, self.agent.netd.plugged
        assert self.means.networks.given == {}, self.means.networks.given
        assert self.agent.journal.uuids() == [], self.agent.journal.uuids()

    def settle(self) -> None:
        """No more faults, and everybody works until nothing changes; then everything is as it should be."""
        self.agent.runtime.forget_faults()
        self.survey()
        before = None
        for _ in range(ROUNDS):
            self.controller.run_once()
            self.fetch()
            for uuid in self.made:
                self.look(uuid)
            self.report()
            now = [(row.uuid, row.generation, row.observed, row.status, row.task_state) for row in self.records()]
            if now == before:
                break
            before = now
        else:
            raise AssertionError(f"it never settles: {before}")
        for workload in self.records():
            self.check_settled(workload)

    def check_settled(self, workload: workloads.Workload) -> None:
        """Its record says what its engine says, and nothing more is to come."""
        assert workload.goal.presence == PRESENT, f"{workload.status} for ever"
        assert workload.task_state is None, (workload.status, workload.task_state, workload.goal, workload.observed)
        assert all(action.finished_at for action in actions.history(self.means, workload))
        seen = self.seen(workload.uuid)
        if workload.failure is not None or seen is None:
            assert workload.status == "Error" and workload.status_reason, workload
            return
        assert workload.observed is not None
        given_up = failed(workload.generation, workload.observed)
        if given_up and not workload.observed.spared:
            assert workload.status == "Error" and workload.status_reason
            return
        assert workload.status == SHOWN[seen.state], (workload.status, seen)
        order = self.agent.runtime.order_of(workload.uuid)
        if not given_up:
            assert seen.build == workload.goal.build
            assert carried_out(workload.goal, workload.generation, workload.observed), workload
            assert (
                (order.spec.cpus, order.spec.memory_mib) == (workload.spec.cpus, workload.spec.memory_mib)
                or (workload.observed.error)
                or self.refused_limits(workload.uuid)
            )

    def is_noted(self, uuid: str) -> bool:
        """Whether the agent knows that it made this one; else nobody could tell that a stranger removed it."""
        done, seen = self.agent.journal.read(uuid), self.seen(uuid)
        return done is not None and seen is not None and done.container_id == seen.container_id

    def refused_limits(self, uuid: str) -> bool:
        done = self.agent.journal.read(uuid)
        return done is not None and done.limits_refused

    # small parts

    def records(self) -> list[workloads.Workload]:
        return page_of(self.means, a_caller(), filters={}, limit=10)

    def claimed(self) -> Resources:
        with self.db.read() as tx:
            return workloads.usage_of_project(tx, "p1")[1]

    def pick(self, which: int) -> workloads.Workload | None:
        found = self.records()
        return found[which] if which < len(found) else None

    def judged(self, workload: workloads.Workload, verb: str, work) -> None:
        """A verb is accepted or refused by its row, and the refusal says what would be allowed."""
        recorded_as = "delete" if verb.startswith("delete") else verb
        repeated = workload.goal.presence == ABSENT and recorded_as == "delete"
        # Deleted is only written in records whose host has let go; verbs go by what it is until the record is gone.
        status = "Deleting" if workload.status == "Deleted" else workload.status
        allowed = repeated or status in ACTIONS[verb].allowed
        try:
            work()
        except errors.WrongState as error:
            assert not allowed, error.message
            assert status in error.message and sorted(ACTIONS[verb].allowed)[0] in error.message
        except errors.Invalid as error:
            assert allowed and workload.failure is not None, error.message
        else:
            assert allowed, f"{verb} in {status}"

    def seen(self, uuid: str):
        return next((item for item in self.agent.runtime.containers_there() if item.uuid == uuid), None)

    def to_container(self, which: int, states: tuple[str, ...] | None, work) -> None:
        there = self.agent.runtime.containers_there()
        if which < len(there) and (states is None or there[which].state in states):
            work(there[which].uuid)

    def fetch(self) -> None:
        found = reports.desired_set(self.means, self.host)
        self.agent.workloads = {desired.uuid: desired for desired in found.workloads}
        self.agent.revision = found.revision
        self.agent.reconciler.accept(found)

    def look(self, uuid: str) -> None:
        self.agent.woken.clear()
        self.agent.look(uuid)
        self.agent.images.wait(5.0)
        if self.agent.woken:
            self.agent.look(uuid)

    def report(self) -> None:
        self.tell(self.agent.notes.last, full=False)

    def survey(self) -> None:
        """The first report of an agent's process, which makes a host that was not heard of ready again."""
        try:
            self.tell(self.agent.reconciler.survey(self.agent.runtime.containers()), full=True)
        except (errors.Failed, errors.Unavailable):
            self.agent.runtime.forget_faults()
            self.tell(self.agent.reconciler.survey(self.agent.runtime.containers()), full=True)

    def tell(self, observed, *, full: bool) -> None:
        with self.db.read() as tx:
            host = hosts.get(tx, self.host.uuid)
        inventory = Inventory(CAPACITY) if full else None
        orders = reports.take(self.means, host, Report("boot1", inventory, full, tuple(observed.items())))
        self.agent.reconciler.order_removals(orders)


class WalkTest(DatabaseTestCase):
    def test_whatever_happens_it_settles_and_leaves_nothing(self):
        sa.event.listen(self.db.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self.db.engine.dispose()
        machine = type("Walk", (Walk,), {"db": self.db, "test": self})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                report_multiple_bugs=False,
                print_blob=False,
                phases=PHASES,
            ),
        )
