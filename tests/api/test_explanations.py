# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/explanation: what each caller is told, out of SQL and of the container's host."""

from __future__ import annotations

from tests.api.case import ApiTestCase
from zun_lite.control.provision import provision
from zun_lite.db import hosts, workloads
from zun_lite.domain import errors
from zun_lite.domain.host_work import DONE, HostWork, Layer

PLAN = ("image", "create", "plug", "note_build", "start", "note_run")


class ExplanationsTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.work: HostWork | errors.ZunError = HostWork(PLAN, 0, layers=(Layer("3f2a", DONE, 5, 9),))
        self.agents.work = self.tell_work

    def tell_work(self, host_uuid, address, workload, request_id):
        self.asked.append(workload)
        if isinstance(self.work, errors.ZunError):
            raise self.work
        return self.work

    def explain(self, *, user="demo"):
        return self.get("/v1/containers/web/explanation", user=user)

    def provide(self, made):
        with self.db.read() as tx:
            workload = workloads.get(tx, made["uuid"])
        provision(self.means, workload)

    def stages(self):
        return {stage["name"]: (stage["state"], stage["detail"]) for stage in self.explain()["stages"]}

    def test_a_container_that_found_no_host_tells_its_owner_of_filters_and_an_administrator_of_hosts(self):
        self.create(memory=40000)
        told = self.explain()
        self.assertEqual([("is ready", 1), ("has room", 0)], [
            (each["name"], each["left"]) for each in told["filters"] if each["name"] in ("is ready", "has room")
        ])  # fmt: skip
        self.assertNotIn("refused", str(told))
        self.assertNotIn("host_problem", told)
        self.assertNotIn(self.host.name, str(told["filters"]) + told["sentence"])
        self.assertIn("40000 MiB of memory", told["sentence"])
        self.assertEqual(("failed", "There are not enough hosts available."), self.stages()["host"])
        told = self.explain(user="admin")
        self.assertEqual([{"host": self.host.name, "reason": "it lacks memory"}], told["filters"][-1]["refused"])
        self.assertEqual([], self.asked)

    def test_a_host_that_would_take_it_now_is_told(self):
        self.db.transact(lambda tx: hosts.set_disabled(tx, self.host.uuid, True, None))
        self.create()
        told = self.explain()
        self.assertEqual(("is enabled", 0), (told["filters"][-1]["name"], told["filters"][-1]["left"]))
        self.assertNotIn("now", told["sentence"])
        self.db.transact(lambda tx: hosts.set_disabled(tx, self.host.uuid, False, None))
        self.assertIn("A host would take it now", self.explain()["sentence"])

    def test_what_the_controller_waits_for_and_gave_up_is_told_with_its_stage(self):
        made = self.create()
        self.assertEqual(("under way", ""), self.stages()["network"])
        self.means.networks.refusal = errors.Unavailable("The network service does not answer.")
        self.provide(made)
        self.assertEqual(("waits", "The network service does not answer."), self.stages()["network"])
        self.means.networks.refusal = None
        self.provide(made)
        self.assertEqual("done", self.stages()["network"][0])
        self.assertEqual("under way", self.stages()["image"][0])

    def test_a_refusal_of_a_provider_is_a_failed_stage(self):
        made = self.create()
        self.means.networks.refusal = errors.NotFound("Network n is gone.")
        self.provide(made)
        self.assertEqual(("failed", "Network n is gone."), self.stages()["network"])
        self.assertTrue(self.explain()["sentence"].startswith("It failed at its ports: Network n is gone."))

    def test_a_host_is_asked_while_something_is_under_way_and_not_else(self):
        made = self.create()
        self.explain()
        self.assertEqual([], self.asked)
        self.provide(made)
        told = self.explain()
        self.assertEqual([made["uuid"]], self.asked)
        self.assertEqual([{"id": "3f2a", "state": "done", "done_bytes": 5, "total_bytes": 9}], told["layers"])
        self.assertEqual(("under way", "1 of 1 layers"), self.stages()["image"])
        self.work = errors.Unavailable("The container's host does not answer; try again later.")
        self.assertEqual(("under way", ""), self.stages()["image"])
        self.asked.clear()
        self.observe(made)
        self.assertEqual({"done"}, {state for state, _ in self.stages().values()})
        self.assertEqual([], self.asked)

    def test_the_last_thing_that_its_user_asked_for_is_a_reason(self):
        made = self.running()
        self.observe(made, "exited", exit_code=137, finished_at="2026-01-01T00:00:00Z")
        self.assertIn("killed by SIGKILL", self.explain()["sentence"])
        made = self.running("second")
        self.call("POST", "/v1/containers/second/stop")
        self.observe(made, "exited", exit_code=137, finished_at="2026-01-01T00:00:00Z")
        told = self.get("/v1/containers/second/explanation")
        self.assertIn("ended by its user's stop", told["sentence"])

    def test_another_project_s_is_not_found(self):
        self.create()
        self.refused(404, self.call("GET", "/v1/containers/web/explanation", user="other"))
        self.assertEqual("web", self.explain(user="admin")["name"])
