# SPDX-License-Identifier: Apache-2.0
"""Networks that a container joins and leaves while it runs: nothing of it is restarted or cut off."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

from tests.functional.case import CloudTestCase


class ContainerNetworksTest(CloudTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.first = cls.cloud.make_network("10.1.0.0/24", name="first")
        cls.second = cls.cloud.make_network("10.2.0.0/24", name="second")
        cls.third = cls.cloud.make_network("10.3.0.0/24", name="third")

    def ask(self, uuid: str, verb: str, **query: str) -> None:
        """A change of its networks, once the container is idle again."""
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/{verb}", params=query)
        self.assertEqual(200 if verb == "network_attach" else 202, answer.status_code, answer.text)
        self.assertEqual("null", answer.text)
        self.settle(uuid)

    def settle(self, uuid: str) -> dict[str, Any]:
        return self.cloud.wait_status(uuid, "Running", "Stopped", "Created")

    def refused(self, uuid: str, verb: str, **query: str) -> str:
        answer = self.cloud.call("POST", f"/v1/containers/{uuid}/{verb}", params=query)
        self.assertEqual(400, answer.status_code, answer.text)
        return answer.json()["errors"][0]["title"]

    def identity(self, uuid: str) -> tuple[int, str, int]:
        state = self.one_in_docker(uuid)
        return state["State"]["Pid"], state["State"]["StartedAt"], state["RestartCount"]

    def addresses(self, uuid: str) -> dict[str, list[str]]:
        return {
            name: [item["local"] for item in link["addr_info"] if item["scope"] == "global"]
            for name, link in self.links(uuid).items()
        }

    def default_route(self, uuid: str, family: str = "-4") -> str:
        return self.in_network_namespace(uuid, "ip", family, "route", "show", "default")

    def test_it_joins_and_leaves_as_it_runs(self):
        neighbour = self.running("neighbour", nets=[{"network": self.first}, {"network": self.second}])["uuid"]
        uuid = self.running("roamer", nets=[{"network": self.first, "v4-fixed-ip": "10.1.0.50"}])["uuid"]
        before, index = self.identity(uuid), self.links(uuid)["eth0"]["ifindex"]

        self.ask(uuid, "network_attach", network="second", fixed_ip="10.2.0.50")

        self.assertEqual({"eth0": ["10.1.0.50"], "eth1": ["10.2.0.50"]}, self.addresses(uuid))
        self.assertEqual((before, index), (self.identity(uuid), self.links(uuid)["eth0"]["ifindex"]))
        self.assertIn("10.1.0.1 dev eth0", self.default_route(uuid))
        for address in ("10.1.0.50", "10.2.0.50"):
            self.assertTrue(self.reaches(neighbour, address), address)
        record = self.settle(uuid)
        self.assertEqual({self.first, self.second}, set(record["addresses"]))

        self.ask(uuid, "network_detach", network=self.first)

        self.assertEqual({"eth1": ["10.2.0.50"]}, self.addresses(uuid))
        self.assertIn("10.2.0.1 dev eth1", self.default_route(uuid))
        self.assertFalse(self.reaches(neighbour, "10.1.0.50"))
        self.assertTrue(self.reaches(neighbour, "10.2.0.50"))

        self.ask(uuid, "network_attach", network="third")

        self.assertEqual({"eth1", "eth2"}, set(self.addresses(uuid)), "numbers count up")
        self.assertEqual(before, self.identity(uuid))
        self.cloud.wait(
            lambda: {port["network_id"] for port in self.ports_of(uuid)} == {self.second, self.third},
            "the port that it left is given back",
        )
        self.cloud.engine.api.restart(self.one_in_docker(uuid)["Id"], timeout=1)
        self.assertEqual({"eth0", "eth1"}, set(self.addresses(uuid)), "a restart by Docker finds the networks of now")
        said = self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"]
        self.assertEqual(
            [("network_attach", None), ("network_detach", None), ("network_attach", None), ("create", None)],
            [(action["action"], action["message"]) for action in said],
        )

    def test_its_way_out_is_in_each_family_by_the_first_network_that_has_one(self):
        made = {}
        for name, subnets in (
            ("shut", ({"cidr": "10.4.0.0/24", "gateway_ip": None}, {"cidr": "fd00:4::/64"})),
            ("both", ({"cidr": "10.5.0.0/24"}, {"cidr": "fd00:5::/64"})),
        ):
            made[name] = self.cloud.ask("POST", "/network/v2.0/networks", {"network": {"name": name}})["network"]["id"]
            for fields in subnets:
                version = 6 if ":" in fields["cidr"] else 4
                subnet = {"network_id": made[name], "ip_version": version, **fields}
                self.cloud.ask("POST", "/network/v2.0/subnets", {"subnet": subnet})
        uuid = self.running("pathfinder", nets=[{"network": made["shut"]}])["uuid"]
        self.assertEqual("", self.default_route(uuid))
        self.ask(uuid, "network_attach", network="both")
        self.assertRegex(self.default_route(uuid), r"^default via 10\.5\.0\.1 dev eth1 [^\n]*$")
        self.assertRegex(self.default_route(uuid, "-6"), r"^default via fd00:4::1 dev eth0 [^\n]*$")
        self.ask(uuid, "network_detach", network="shut")
        self.assertRegex(self.default_route(uuid, "-6"), r"^default via fd00:5::1 dev eth1 [^\n]*$")

    def test_what_flows_over_a_link_that_stays_is_not_cut_off(self):
        neighbour = self.running("server", nets=[{"network": self.first, "v4-fixed-ip": "10.1.0.60"}])["uuid"]
        uuid = self.running("talker", nets=[{"network": self.first}])["uuid"]
        pid = self.one_in_docker(uuid)["State"]["Pid"]
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "ping", "-i", "0.05", "-c", "200", "10.1.0.60"]
        ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.addCleanup(ping.kill)
        assert ping.stdout is not None
        lines: list[str] = []
        begun = threading.Event()

        def read() -> None:
            for line in ping.stdout or ():
                lines.append(line)
                if "seq=3" in line:
                    begun.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        self.assertTrue(begun.wait(10), lines)
        for _ in range(2):
            self.ask(uuid, "network_attach", network="second")
            self.ask(uuid, "network_detach", network="second")
        reader.join(60)
        self.assertIn(" 0% packet loss", "".join(lines), neighbour)

    def test_a_port_of_the_users_is_joined_and_given_back_as_it_was(self):
        port = {"network_id": self.second, "name": "mine"}
        port_id = self.cloud.ask("POST", "/network/v2.0/ports", {"port": port})["port"]["id"]
        uuid = self.running("port", nets=[{"network": self.first}])["uuid"]
        self.ask(uuid, "network_attach", port="mine")
        self.assertIn(port_id, [port["id"] for port in self.ports_of(uuid)])
        self.assertIn("already", self.refused(uuid, "network_attach", network="second"))
        self.ask(uuid, "network_detach", port=port_id)
        kept = self.cloud.wait(
            lambda: (
                not (found := self.cloud.ask("GET", f"/network/v2.0/ports/{port_id}")["port"])["device_id"] and found
            ),
            "the port is free again",
        )
        self.assertEqual("mine", kept["name"])
        self.assertEqual(["eth0"], list(self.links(uuid)))

    def test_a_network_that_cannot_be_had_leaves_the_container_as_it_was(self):
        holder = self.running("holder", nets=[{"network": self.third, "v4-fixed-ip": "10.3.0.99"}])["uuid"]
        uuid = self.running("wisher", nets=[{"network": self.first}])["uuid"]
        before = self.identity(uuid)
        self.ask(uuid, "network_attach", network=self.third, fixed_ip="10.3.0.99")
        said = self.cloud.wait(
            lambda: (
                (newest := self.cloud.ask("GET", f"/v1/containers/{uuid}/container_actions")["containerActions"][0])[
                    "finish_time"
                ]
                and newest
            ),
            "the attach has ended",
        )
        self.assertEqual(("network_attach", "Error"), (said["action"], said["message"]))
        self.assertEqual((before, ["eth0"]), (self.identity(uuid), list(self.links(uuid))))
        self.assertEqual("Running", self.settle(uuid)["status"])
        self.assertIsNotNone(holder)
        self.assertEqual(1, len(self.ports_of(uuid)))

    def test_one_that_is_stopped_finds_its_networks_when_it_starts(self):
        uuid = self.running("sleeper", nets=[{"network": self.first}])["uuid"]
        self.cloud.call("POST", f"/v1/containers/{uuid}/stop")
        self.cloud.wait_status(uuid, "Stopped")
        self.ask(uuid, "network_attach", network=self.second)
        self.ask(uuid, "network_detach", network=self.first)
        self.cloud.call("POST", f"/v1/containers/{uuid}/start")
        self.cloud.wait_status(uuid, "Running")
        (addresses,) = self.addresses(uuid).values()
        self.assertTrue(addresses[0].startswith("10.2.0."), addresses)

    def test_name_servers_are_those_of_the_networks_of_now(self):
        networks = {}
        for number in (8, 9):
            made = self.cloud.ask("POST", "/network/v2.0/networks", {"network": {"name": f"dns{number}"}})["network"]
            subnet = {"network_id": made["id"], "cidr": f"10.{number}.0.0/24", "ip_version": 4}
            subnet["dns_nameservers"] = [f"10.{number}.0.53"]
            self.cloud.ask("POST", "/network/v2.0/subnets", {"subnet": subnet})
            networks[number] = made["id"]
        uuid = self.running("resolver", nets=[{"network": networks[8]}])["uuid"]
        self.ask(uuid, "network_attach", network=networks[9])
        ours = "nameserver 169.254.169.253\n"
        resolv = f"{ours}nameserver 10.8.0.53\nnameserver 10.9.0.53\n"
        self.assertEqual(resolv, self.execute(uuid, "cat /etc/resolv.conf")[1])
        self.ask(uuid, "network_detach", network=networks[8])
        self.assertEqual(f"{ours}nameserver 10.9.0.53\n", self.execute(uuid, "cat /etc/resolv.conf")[1])
        self.execute(uuid, "sh -c 'echo search example > /etc/resolv.conf'")
        self.ask(uuid, "network_attach", network=networks[8])
        self.assertEqual("search example\n", self.execute(uuid, "cat /etc/resolv.conf")[1], "its user's own stays")

    def test_what_its_subnet_says_later_reaches_it_at_its_next_start(self):
        network = self.cloud.ask("POST", "/network/v2.0/networks", {"network": {"name": "later"}})["network"]["id"]
        subnet = {"network_id": network, "cidr": "10.7.0.0/24", "ip_version": 4, "dns_nameservers": ["10.7.0.53"]}
        made = self.cloud.ask("POST", "/network/v2.0/subnets", {"subnet": subnet})["subnet"]
        uuid = self.running("late", nets=[{"network": network}])["uuid"]
        routes = [{"destination": "10.70.0.0/16", "nexthop": "10.7.0.9"}]
        for number, verb in enumerate(("reboot", "start", "rebuild")):
            changes = {"dns_nameservers": [f"10.7.0.{60 + number}"], "host_routes": routes[:number]}
            self.cloud.ask("PUT", f"/network/v2.0/subnets/{made['id']}", {"subnet": changes})
            if verb == "start":
                self.cloud.ask("POST", f"/v1/containers/{uuid}/stop?timeout=1")
                self.cloud.wait_status(uuid, "Stopped")
            self.cloud.ask("POST", f"/v1/containers/{uuid}/{verb}")
            self.cloud.wait_status(uuid, "Running")
            self.assertIn(f"nameserver 10.7.0.{60 + number}\n", self.execute(uuid, "cat /etc/resolv.conf")[1], verb)
            there = self.in_network_namespace(uuid, "ip", "route")
            self.assertEqual(number > 0, "10.70.0.0/16 via 10.7.0.9 dev eth0" in there, verb)

    def test_a_killed_agent_or_netd_ends_what_it_began(self):
        uuid = self.running("survivor", nets=[{"network": self.first}])["uuid"]
        before = self.identity(uuid)
        for program in ("agent", "netd", "controller"):
            answer = self.cloud.call("POST", f"/v1/containers/{uuid}/network_attach?network={self.second}")
            self.assertEqual(200, answer.status_code, answer.text)
            self.cloud.kill(program)
            self.cloud.wait(lambda: set(self.links(uuid)) == {"eth0", "eth1"}, f"{program}: it is attached")
            self.settle(uuid)
            self.ask(uuid, "network_detach", network=self.second)
            self.assertEqual({"eth0"}, set(self.links(uuid)), program)
        self.assertEqual(before, self.identity(uuid))
