# SPDX-License-Identifier: Apache-2.0
"""Networks and security groups of a container that exists: each rule of the wire, and what is recorded."""

from __future__ import annotations

from typing import Any

from tests.api.case import ApiTestCase
from zun_lite.control.loop import Controller
from zun_lite.db import workloads
from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Endpoint, Wiring


class ConnectionsTest(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.controller = Controller(self.means)
        self.made = self.create(nets=[{"network": "n1"}])
        self.uuid = self.made["uuid"]
        self.act()

    def act(self) -> None:
        """The controller provides, the host does what it is told, and the controller hears of it."""
        self.controller.run_once()
        with self.db.read() as tx:
            wiring = workloads.get(tx, self.uuid).wiring
        self.observe(self.made, plugged=wiring.ports)
        self.controller.run_once()

    def workload(self) -> workloads.Workload:
        with self.db.read() as tx:
            return workloads.get(tx, self.uuid)

    def post(self, verb: str, body: Any = None, **more: Any):
        return self.call("POST", f"/v1/containers/{self.uuid}/{verb}", body, **more)

    def joined(self) -> list[str]:
        return [network.network_id for network in self.workload().spec.networks]

    def task(self) -> str | None:
        return self.get(f"/v1/containers/{self.uuid}")["task_state"]

    def newest_action(self) -> tuple[str, bool, str | None]:
        action = self.get(f"/v1/containers/{self.uuid}/container_actions")["containerActions"][0]
        return action["action"], action["finish_time"] is not None, action["message"]

    def test_attach_answers_200_and_null_and_says_what_is_under_way(self):
        answer = self.post("network_attach", params={"network": "n2"})
        self.assertEqual((200, "null"), (answer.status_code, answer.text))
        self.assertEqual("network_attaching", self.task())
        self.assertEqual(("network_attach", False, None), self.newest_action())
        self.act()
        self.assertIsNone(self.task())
        self.assertEqual(("network_attach", True, None), self.newest_action())
        self.assertEqual(["n1", "n2"], self.joined())

    def test_detach_answers_202_and_null_and_the_port_goes_once_the_host_let_go(self):
        self.post("network_attach", {"network": "n2"})
        self.act()
        answer = self.post("network_detach", params={"network": "n1"})
        self.assertEqual((202, "null"), (answer.status_code, answer.text))
        self.assertEqual("network_detaching", self.task())
        self.controller.run_once()
        self.assertEqual("network_detaching", self.task())
        self.assertEqual({0, 1}, {position for _, position in self.means.networks.given})
        self.act()
        self.assertEqual({1}, {position for _, position in self.means.networks.given})
        self.assertIsNone(self.task())
        self.assertEqual((["n2"], ("network_detach", True, None)), (self.joined(), self.newest_action()))

    def test_a_network_that_was_left_and_is_joined_again_gets_another_port(self):
        before = self.workload().wiring.ports
        self.post("network_detach", {"network": "n1"})
        self.post("network_attach", {"network": "n1"})
        self.act()
        self.assertEqual([1], [network.position for network in self.workload().spec.networks])
        self.assertNotEqual(before, self.workload().wiring.ports)
        self.assertEqual({1}, {position for _, position in self.means.networks.given})

    def test_each_rule_of_attach(self):
        for query, word in (
            ({"network": "n1"}, "already"),
            ({"network": "n2", "port": "p"}, "either"),
            ({"port": "p", "fixed_ip": "10.0.0.9"}, "fixed_ip"),
            ({"network": "n2", "fixed_ip": "10.0.0"}, "fixed_ip"),
            ({"network": "n2", "fixed_ip": "fe80::1%eth0"}, "fixed_ip"),
            ({"network": "n" * 256}, "network"),
        ):
            self.refused(400, self.post("network_attach", params=query), word)
        self.refused(400, self.post("network_attach", {"network": 5}), "network")
        self.assertEqual(["n1"], self.joined())

    def test_attach_with_neither_joins_the_default_network_and_nones_are_nothing(self):
        answer = self.post("network_attach", params={"network": "None", "port": "None", "fixed_ip": "None"})
        self.assertEqual(200, answer.status_code, answer.text)
        self.assertEqual(["n1", "network"], self.joined())
        self.refused(400, self.post("network_attach"), "already")

    def test_attach_by_address_and_by_port(self):
        fixed = ({"network": "n2", "fixed_ip": "10.0.0.9"}, {"network": "n6", "fixed_ip": "fd00::9"})
        for body in (*fixed, {"port": "p"}):
            self.assertEqual(200, self.post("network_attach", body).status_code)
        wanted = [(net.network_id, net.port_id, net.fixed_ips) for net in self.workload().spec.networks]
        self.assertEqual(
            [("n1", None, ()), ("n2", None, ("10.0.0.9",)), ("n6", None, ("fd00::9",)), ("network", "p", ())], wanted
        )

    def test_each_rule_of_detach(self):
        for query, word in (
            ({}, "either"),
            ({"network": "n1", "port": "p"}, "either"),
            ({"network": "n2"}, "not attached"),
        ):
            self.refused(400, self.post("network_detach", params=query), word)
        self.assertEqual(["n1"], self.joined())

    def test_detaching_by_port_leaves_the_whole_network(self):
        port_id = self.workload().wiring.ports[0]
        self.assertEqual(202, self.post("network_detach", params={"port": port_id.upper()}).status_code)
        self.assertEqual([], self.joined())

    def test_no_more_than_32_networks(self):
        for number in range(31):
            self.assertEqual(200, self.post("network_attach", {"network": f"more{number}"}).status_code)
        self.refused(400, self.post("network_attach", {"network": "one-too-many"}), "32")

    def test_what_is_not_there_is_404_and_another_projects_container_too(self):
        def not_there(caller, ident, **more):
            raise errors.NotFound(f"Network {ident} could not be found.", kind="NetworkNotFound")

        self.means.networks.resolve = not_there
        for verb in ("network_attach", "network_detach"):
            self.refused(404, self.post(verb, {"network": "gone"}), "gone")
            self.refused(404, self.post(verb, {"network": "n2"}, user="other"), self.uuid)
        self.refused(404, self.call("GET", f"/v1/containers/{self.uuid}/network_list", user="other"), self.uuid)

    def test_an_administrator_acts_within_the_containers_project(self):
        asked = []
        self.means.networks.resolve = lambda caller, ident, **more: asked.append(caller.project_id) or ident
        self.assertEqual(200, self.post("network_attach", {"network": "n2"}, user="admin").status_code)
        self.assertEqual([self.made["project_id"]], asked)

    def test_a_container_that_was_never_made_or_is_being_deleted_is_left_alone(self):
        self.call("DELETE", f"/v1/containers/{self.uuid}?stop=true")
        self.refused(409, self.post("network_attach", {"network": "n2"}), "deleted")
        nowhere = self.create(availability_zone="moon")
        answer = self.call("POST", f"/v1/containers/{nowhere['uuid']}/network_attach", {"network": "n2"})
        self.refused(400, answer, "never made")

    def test_a_refused_network_leaves_the_container_and_tells_the_action(self):
        self.post("network_attach", {"network": "n2"})
        self.means.networks.refusal = errors.InUse("The address is taken.")
        self.means.networks.refuses = {"n2"}
        self.controller.run_once()
        self.means.networks.refusal = None
        self.act()
        self.assertEqual((["n1"], ("network_attach", True, "Error")), (self.joined(), self.newest_action()))
        shown = self.get(f"/v1/containers/{self.uuid}")
        self.assertEqual(("Running", None), (shown["status"], shown["task_state"]))

    def test_a_refused_network_ends_no_other_attach_that_is_under_way(self):
        for refused, other in (("n2", "n3"), ("n5", "n4")):
            with self.subTest(refused):
                asked = {name: self.ask_to_join(name) for name in sorted((refused, other))}
                self.means.networks.refusal = errors.InUse("The address is taken.")
                self.means.networks.refuses = {refused}
                self.controller.run_once()
                self.means.networks.refusal = None
                self.assertEqual(("Error", True), self.end_of(asked[refused]))
                self.assertEqual((None, False), self.end_of(asked[other]))
                self.act()
                self.assertEqual((None, True), self.end_of(asked[other]))
                self.assertEqual(("Error", True), self.end_of(asked[refused]))
        self.assertEqual(["n1", "n3", "n4"], self.joined())

    def ask_to_join(self, network: str) -> str:
        """The request's id."""
        answer = self.post("network_attach", {"network": network})
        self.assertEqual(200, answer.status_code)
        return answer.headers["X-Openstack-Request-Id"]

    def end_of(self, request_id: str) -> tuple[str | None, bool]:
        action = self.get(f"/v1/containers/{self.uuid}/container_actions/{request_id}")
        return action["message"], action["finish_time"] is not None

    def test_a_change_while_ports_are_provided_is_not_lost(self):
        self.post("network_attach", {"network": "n2"})
        provide = self.means.networks.provide

        def meanwhile(*arguments):
            self.means.networks.provide = provide
            self.post("network_attach", {"network": "n3"})
            return provide(*arguments)

        self.means.networks.provide = meanwhile
        self.controller.run_once()
        self.assertFalse(self.workload().ready)
        self.act()
        self.assertEqual(["n1", "n2", "n3"], [end.network_id for end in self.workload().wiring.endpoints])

    def test_the_list_has_a_row_an_address_before_1_18_and_a_row_a_port_since(self):
        addresses = (Address("10.0.0.5", 24, "s4"), Address("fd00::5", 64, "s6"))
        endpoint = Endpoint("p1", "n1", 1, "fa:16:3e:00:00:01", 1450, addresses)

        def change(tx):
            values = {"wiring": Wiring((endpoint,)).to_json()}
            tx.execute(workloads.workloads.update().where(workloads.workloads.c.uuid == self.uuid).values(**values))

        self.db.transact(change)
        path = f"/v1/containers/{self.uuid}/network_list"
        v4 = {"subnet_id": "s4", "version": 4, "ip_address": "10.0.0.5"}
        v6 = {"subnet_id": "s6", "version": 6, "ip_address": "fd00::5"}
        ids = {"net_id": "n1", "port_id": "p1"}
        self.assertEqual({"networks": [{**ids, **v4}, {**ids, **v6}]}, self.get(path, version="1.13"))
        self.assertEqual({"networks": [{**ids, **v4}, {**ids, **v6}]}, self.get(path, version="1.17"))
        self.assertEqual({"networks": [{**ids, "fixed_ips": [v4, v6]}]}, self.get(path, version="1.18"))

    def test_each_call_has_its_microversions(self):
        for verb, method, first_bad, first_good in (
            ("network_list", "GET", "1.12", "1.13"),
            ("network_attach", "POST", "1.7", "1.8"),
            ("network_detach", "POST", "1.5", "1.6"),
            ("add_security_group", "POST", "1.15", "1.14"),
            ("remove_security_group", "POST", "1.40", "1.1"),
        ):
            path = f"/v1/containers/{self.uuid}/{verb}"
            self.refused(406, self.call(method, path, version=first_bad), verb)
            self.assertNotEqual(406, self.call(method, path, version=first_good).status_code, verb)

    def test_security_groups_are_added_and_removed_until_1_14(self):
        def change(verb: str, name: str):
            return self.post(verb, params={"name": name}, version="1.14")

        answer = change("add_security_group", "web")
        self.assertEqual((202, "null"), (answer.status_code, answer.text))
        self.assertEqual("sg_adding", self.task())
        self.act()
        self.assertIsNone(self.task())
        self.assertEqual(("add_security_group", True, None), self.newest_action())
        self.assertEqual(["web"], self.get(f"/v1/containers/{self.uuid}")["security_groups"])
        self.refused(400, change("add_security_group", "web"), "already")
        self.refused(400, change("remove_security_group", "db"), "not in")
        self.refused(400, change("add_security_group", "gone"), "gone")
        self.refused(400, self.post("add_security_group", version="1.14"), "name")
        self.assertEqual(202, change("remove_security_group", "web").status_code)
        self.assertEqual("sg_removing", self.task())
        self.act()
        self.assertEqual([], self.get(f"/v1/containers/{self.uuid}")["security_groups"])
        self.observe(self.made, "dead")
        self.refused(409, change("add_security_group", "web"), "Dead")
