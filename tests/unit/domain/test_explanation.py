# SPDX-License-Identifier: Apache-2.0
"""Why a container is as it is: its stages, and the sentence for each situation."""

import unittest
from dataclasses import replace

from zun_lite.domain.explanation import Facts, Sifted, Stage, sentence, stages
from zun_lite.domain.host_work import DONE, DOWNLOADING, HostWork, Layer
from zun_lite.domain.lifecycle import ABSENT, OFF, ON, Goal, Observed
from zun_lite.domain.spec import ContainerSpec, Healthcheck, MountRequest
from zun_lite.domain.wiring import Address, Endpoint, Wiring

SPEC = ContainerSpec("app:1", cpus=2.0, memory_mib=64)
WIRING = Wiring((Endpoint("p", "n", 1, "fa:16:3e:00:00:01", 1450, (Address("10.1.0.2", 24, "s"),)),))
RUNNING = Observed(generation=1, epoch=1, run=1, build=1, state="running")
ENDED = replace(RUNNING, state="exited", exit_code=0)
UP = Facts(SPEC, Goal(power=ON, run=1), "Running", None, placed=True, ready=True, wiring=WIRING, observed=RUNNING)
MAKING = replace(UP, status="Creating", observed=None)
MAKING_PLAN = ("image", "disks", "create", "plug", "note_build", "start", "note_run")
NO_HOST = replace(
    MAKING,
    status="Error",
    placed=False,
    ready=False,
    wiring=Wiring(),
    failure="There are not enough hosts available.",
    sifted=(Sifted("is ready", 2), Sifted("has room", 0, (("h1", "it lacks cpu"), ("h2", "it lacks memory")))),
)


class StagesTest(unittest.TestCase):
    def states(self, facts: Facts) -> dict[str, str]:
        return {stage.name: stage.state for stage in stages(facts)}

    def test_all_are_done_once_it_runs_and_say_what_came_of_them(self):
        found = stages(UP)
        self.assertEqual({"done"}, {stage.state for stage in found})
        self.assertEqual(["host", "network", "image", "create", "connect", "start"], [stage.name for stage in found])
        self.assertIn(Stage("network", "done", "10.1.0.2"), found)
        self.assertIn(Stage("image", "done", "app:1"), found)

    def test_volumes_are_stages_of_those_who_have_some_and_a_start_of_those_who_are_to_start(self):
        mounts = replace(SPEC, mounts=(MountRequest("/data", volume_id="v"),))
        self.assertEqual({"volume", "mount"}, self.states(replace(UP, spec=mounts)).keys() - self.states(UP).keys())
        made = replace(UP, goal=Goal(power=OFF), observed=replace(RUNNING, state="created", run=0))
        self.assertEqual({"start"}, self.states(UP).keys() - self.states(made).keys())

    def test_the_step_that_its_host_is_at_is_under_way_with_the_layers_that_came(self):
        layers = (Layer("a", DONE), Layer("b", DOWNLOADING, 1, 2))
        pulled = replace(MAKING, work=HostWork(MAKING_PLAN, 0, layers=layers))
        self.assertIn(Stage("image", "under way", "1 of 2 layers"), stages(pulled))
        self.assertEqual("ahead", self.states(pulled)["create"])
        started = replace(MAKING, work=HostWork(MAKING_PLAN, 5))
        self.assertEqual(("done", "under way"), (self.states(started)["connect"], self.states(started)["start"]))

    def test_a_step_that_is_tried_again_waits_and_one_that_is_not_has_failed(self):
        for again, state in ((7.0, "waits"), (None, "failed")):
            work = HostWork(MAKING_PLAN, 3, error="netd does not answer.", again_seconds=again)
            found = {stage.name: stage for stage in stages(replace(MAKING, work=work))}
            self.assertEqual(state, found["connect"].state)
            self.assertIn("netd does not answer.", found["connect"].detail)
            self.assertEqual(again is not None, "in 7 s" in found["connect"].detail)

    def test_what_the_host_said_last_counts_where_it_cannot_be_asked(self):
        seen = Observed(generation=1, epoch=1, error="no such image", failed_step="image", final=True)
        self.assertIn(Stage("image", "failed", "no such image"), stages(replace(MAKING, observed=seen)))
        self.assertIn(
            Stage("image", "waits", "no such image"), stages(replace(MAKING, observed=replace(seen, final=False)))
        )

    def test_the_control_plane_s_own_work_waits_where_it_says(self):
        mounts = replace(SPEC, mounts=(MountRequest("/data", volume_id="v"),))
        facts = replace(MAKING, spec=mounts, ready=False, stage="volume", stage_reason="Cinder does not answer.")
        found, names = self.states(facts), ("host", "network", "volume", "image")
        self.assertEqual(["done", "done", "waits", "ahead"], [found[name] for name in names])
        self.assertEqual("under way", self.states(replace(MAKING, ready=False))["network"])

    def test_what_is_there_already_does_not_wait_for_what_is_to_be_added_to_it(self):
        facts = replace(UP, ready=False, stage="network", stage_reason="The network service does not answer.")
        self.assertEqual({"done"}, set(self.states(facts).values()))
        self.assertEqual(sentence(UP), sentence(facts))

    def test_no_host_is_a_failure_of_the_first_stage(self):
        self.assertEqual("failed", self.states(NO_HOST)["host"])
        self.assertEqual({"ahead"}, {state for name, state in self.states(NO_HOST).items() if name != "host"})

    def test_a_step_that_is_no_stage_of_the_way_is_told_all_the_same(self):
        self.assertEqual("under way", self.states(replace(UP, work=HostWork(("stop",), 0)))["stop"])


class SentencesTest(unittest.TestCase):
    def test_each_situation_has_its_own(self):
        checked = replace(SPEC, healthcheck=Healthcheck("curl localhost"))
        for facts, wanted in (
            (UP, "It runs; it has no health check that could say more."),
            (
                replace(UP, observed=replace(RUNNING, health="healthy")),
                "It runs, and its health check says that it is well.",
            ),
            (
                replace(UP, observed=replace(RUNNING, health="starting")),
                "It runs, and its health check has not answered yet.",
            ),
            (
                replace(UP, spec=checked, observed=replace(RUNNING, health="unhealthy")),
                "It runs, but its health check fails (curl localhost); look at its logs.",
            ),
            (replace(UP, status="Paused"), "It is paused; unpause lets it go on."),
            (
                NO_HOST,
                "It found no host. No host that could be used has the room that it asks for: 2 CPUs, 64 MiB of memory "
                "and 0 GiB of disk. Ask for less, or wait until there is more.",
            ),
            (
                replace(NO_HOST, sifted=(Sifted("is ready", 0),), fits_now=True),
                "It found no host. None of the cloud's hosts is ready. A host would take it now: delete it and make it "
                "anew.",
            ),
            (
                replace(MAKING, ready=False, stage="volume", stage_reason="Volume v is creating."),
                "It waits at its volumes: Volume v is creating.",
            ),
            (
                replace(MAKING, status="Error", failure="Volume v is gone.", stage="volume", ready=False),
                "It failed at its volumes: Volume v is gone. Look at the volumes that it names.",
            ),
            (
                replace(MAKING, status="Error", observed=Observed(error="Not there.", failed_step="image", final=True)),
                "It failed at the pull of its image: Not there. Look at the image's name and at who may pull it; then "
                "rebuild it with the right one.",
            ),
            (
                replace(MAKING, work=HostWork(MAKING_PLAN, 0, layers=(Layer("a", DOWNLOADING),))),
                "It is on its way, at the pull of its image: 0 of 1 layers.",
            ),
            (
                replace(UP, status="Stopped", observed=replace(ENDED, exit_code=137, out_of_memory=True)),
                "Its process was killed (exit code 137) because it wanted more than the 64 MiB of memory that it may "
                "use; give it more, as with `set --memory 128`, and start it.",
            ),
            (
                replace(UP, status="Stopped", observed=replace(ENDED, exit_code=137)),
                "Its process was killed by SIGKILL (exit code 137); it had not run out of its memory.",
            ),
            (
                replace(UP, status="Stopped", observed=replace(ENDED, exit_code=143)),
                "Its process was ended by signal 15 (exit code 143); look at its logs.",
            ),
            (
                replace(UP, status="Stopped", observed=replace(ENDED, exit_code=3)),
                "Its process ended by itself with exit code 3; look at its logs.",
            ),
            (
                replace(UP, status="Stopped", observed=ENDED),
                "Its process had nothing more to do and ended by itself with exit code 0.",
            ),
            (
                replace(UP, status="Stopped", observed=replace(ENDED, exit_code=143), last_action="stop"),
                "It was ended by its user's stop, with exit code 143; start lets it run again.",
            ),
            (
                replace(UP, status="Unknown"),
                "Its host has not been heard of for a while; the container may well run there.",
            ),
            (
                replace(
                    UP, status="Error", observed=replace(RUNNING, state="missing", error="It is gone.", final=True)
                ),
                "Its container is gone from its host, and not by an order of yours; rebuild makes it anew.",
            ),
            (
                replace(UP, observed=replace(RUNNING, error="No.", failed_step="pause", final=True, spared=True)),
                "It failed at pause: No. The container goes on as it was.",
            ),
            (replace(UP, status="Deleting", goal=Goal(presence=ABSENT)), "It is being deleted."),
        ):
            self.assertEqual(wanted, sentence(facts))
