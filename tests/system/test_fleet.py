# SPDX-License-Identifier: Apache-2.0
"""Tenants' networks over three real hosts, made through the API: who reaches whom, by what name, by which wire."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import time

from tests.system.fleet_case import FleetTestCase, Place
from tests.system.netd.talk import Flow, connects, listening, reaches_soon, socket_in
from tests.system.netd.test_names import ask as ask_name
from tests.system.underlay import Underlay

SOON_SECONDS = 15.0
METADATA, METADATA_V6 = "169.254.169.254", "fd00:ec2::254"


class FleetTests(FleetTestCase):
    settings = {"netd": {"libnetwork": "true"}}

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.ours = cls.fleet.make_dual_network(name="ours", first=10, last=99)
        cls.theirs = cls.fleet.make_dual_network(cloud="admin", name="theirs", first=100, last=199)
        cls.a, cls.b, cls.c, cls.x, cls.y = cls.run_all(
            [
                {"name": "alpha", "host": "h1", "network": cls.ours},
                {"name": "beta", "host": "h2", "network": cls.ours, "hostname": "betas-host"},
                {"name": "gamma", "host": "h3", "network": cls.ours},
                {"name": "chi", "host": "h1", "network": cls.theirs, "cloud": "admin"},
                {"name": "psi", "host": "h2", "network": cls.theirs, "cloud": "admin"},
            ]
        )

    @classmethod
    def tearDownClass(cls) -> None:
        for place in (cls.a, cls.b, cls.c, cls.x, cls.y):
            cls.delete(place.uuid)
        super().tearDownClass()

    def test_containers_are_where_they_were_asked_to_be_and_others_where_there_is_room(self) -> None:
        self.assertEqual(["h1", "h2", "h3", "h1", "h2"], [place.host.name for place in self.all()])
        free = self.running("anywhere", network=self.ours)
        self.assertIn(free.host, self.fleet.hosts)

    def test_a_network_spans_hosts_and_tenants_with_equal_addresses_do_not_meet(self) -> None:
        wire = Underlay(self.fleet)
        self.addCleanup(wire.close)
        for sender, target, reached in (
            (self.a, self.b, True), (self.b, self.c, True), (self.c, self.a, True), (self.x, self.y, True),
            (self.y, self.x, True), (self.a, self.y, False), (self.a, self.x, False), (self.x, self.b, False),
            (self.y, self.a, False), (self.c, self.y, False),
        ):  # fmt: skip
            for address in (target.v4, target.v6):
                self.assertEqual(reached, sender.can_ping(address), f"{sender.name} to {target.name} at {address}")
        seen = wire.seen()
        self.assertEqual(2, len({item.vni for item in seen}))
        self.assertGreaterEqual(len(seen), 2 * 5 * 2, "five pairs over the wire, in both families and both directions")
        self.assertEqual([], [item for item in seen if item.asks_for_an_address])
        self.assertEqual([], [item for item in seen if not item.is_unicast])

        wire.send_arp_in_a_tunnel(seen[0].vni, self.fleet.hosts[0].address)
        asked = [item for item in wire.seen() if item.asks_for_an_address]
        self.assertNotEqual([], asked, "a request for an address would have been seen")
        self.assertFalse(any(item.is_unicast for item in asked))

    def test_names_are_found_over_hosts_and_not_over_tenants(self) -> None:
        for name in ("beta", "betas-host"):
            self.assertEqual(("NOERROR", [self.b.v4]), ask_name(self.a, name))
            self.assertEqual(("NOERROR", [self.b.v6]), ask_name(self.c, name, "AAAA"))
        self.assertEqual(("NXDOMAIN", []), ask_name(self.a, "psi"))
        self.assertEqual(("NXDOMAIN", []), ask_name(self.x, "beta"))
        self.assertEqual(("NOERROR", [self.y.v4]), ask_name(self.x, "psi"))
        self.assertEqual(0, self.execute(self.a, "nslookup beta"), "by the container's own resolver, too")
        self.assertEqual(1, self.execute(self.a, "nslookup psi"))

    def test_a_packet_of_full_size_passes_whole_and_a_larger_one_is_refused(self) -> None:
        for address, overhead in ((self.b.v4, 28), (self.b.v6, 48)):
            with (
                socket_in(self.b, address, socket.SOCK_DGRAM) as server,
                socket_in(self.a, address, socket.SOCK_DGRAM) as client,
            ):
                server.bind((address, 5000))
                server.settimeout(5)
                if ":" in address:
                    client.setsockopt(socket.IPPROTO_IPV6, 23, 2)  # IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO
                else:
                    client.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO
                client.sendto(bytes(1450 - overhead), (address, 5000))
                self.assertEqual(1450 - overhead, len(server.recv(2000)))
                with self.assertRaises(OSError) as refused:
                    client.sendto(bytes(1451 - overhead), (address, 5000))
                self.assertEqual(errno.EMSGSIZE, refused.exception.errno)

    def test_a_deleted_containers_entries_go_away_on_all_hosts(self) -> None:
        gone = self.running("gone", network=self.ours, host="h1")
        for host in self.fleet.hosts[1:]:
            self.fleet.wait(
                lambda host=host: {gone.mac, gone.v4, gone.v6} <= set(self.behind_tunnel(host, self.ours).split()),
                f"{host.name} knows the container",
                SOON_SECONDS,
            )
        self.assertTrue(self.c.can_ping(gone.v4))
        self.delete(gone.uuid)
        for host in self.fleet.hosts:
            self.fleet.wait(
                lambda host=host: gone.mac not in self.behind_tunnel(host, self.ours),
                f"{host.name} forgot the container",
                SOON_SECONDS,
            )
            known = self.behind_tunnel(host, self.ours)
            self.assertNotIn(f"{gone.v4} ", known)
            self.assertIn(self.a.mac if host is not self.a.host else self.b.mac, known, "others stay")

    def test_a_port_made_while_a_hosts_agent_is_away_reaches_it_on_its_return(self) -> None:
        host = self.c.host
        host.kill("agent")
        late = self.running("late", network=self.ours, host="h1")
        self.fleet.wait(
            lambda: late.mac in self.behind_tunnel(self.b.host, self.ours), "the others know it", SOON_SECONDS
        )
        self.assertNotIn(late.mac, self.behind_tunnel(host, self.ours))
        self.assertFalse(late.can_ping(self.c.v4))

        self.fleet.revive(host)

        self.fleet.wait(lambda: late.can_ping(self.c.v4), "it is reached on the host that was away", SOON_SECONDS)
        self.assertTrue(self.c.can_ping(late.v6))

    def test_flows_over_hosts_end_with_their_rule_and_live_as_long_as_that(self) -> None:
        group = self.make("security_group", "security-groups", name="for-a-while")["id"]

        def allow(protocol: str) -> str:
            rule = {"security_group_id": group, "direction": "ingress", "protocol": protocol}
            return self.make("security_group_rule", "security-group-rules", **rule)["id"]

        rules = [allow(protocol) for protocol in ("udp", "tcp", "icmp")]
        server = self.running("flows", host="h3", network=self.ours, security_groups=["for-a-while"])
        client = self.running("asks", host="h1", network=self.ours, security_groups=["for-a-while"])
        self.fleet.wait_planes(SOON_SECONDS)
        with (
            Flow(client, server, server.v4, 5300, socket.SOCK_DGRAM) as datagrams,
            Flow(client, server, server.v4, 5300, socket.SOCK_STREAM) as stream,
        ):
            unrelated = self.make(
                "security_group_rule", "security-group-rules",
                security_group_id=group, direction="ingress", protocol="sctp",
            )["id"]  # fmt: skip
            self.fleet.wait_planes(SOON_SECONDS)
            self.ask("DELETE", f"security-group-rules/{unrelated}")
            self.fleet.wait_planes(SOON_SECONDS)
            for flow in (datagrams, stream):
                self.assertEqual((True, True), flow.goes_on(), "changes of other rules do not mind it")
            self.assertTrue(client.can_ping(server.v4))

            for rule in rules:
                self.ask("DELETE", f"security-group-rules/{rule}")
            begun = time.monotonic()
            self.fleet.wait_planes(SOON_SECONDS)
            print(f"\nflows: hosts know that rules are gone after {time.monotonic() - begun:.1f} s")
            for flow in (datagrams, stream):
                self.assertEqual((False, False), flow.goes_on())
            self.assertFalse(client.can_ping(server.v4))

            for protocol in ("udp", "tcp", "icmp"):
                allow(protocol)
            self.fleet.wait_planes(SOON_SECONDS)
            stream.settle()
            for flow in (datagrams, stream):
                self.assertEqual((True, True), flow.goes_on(), "and goes on once it may again")

    def test_a_container_of_a_hosts_own_docker_is_on_the_network_too(self) -> None:
        self.fleet.show_to_docker(self.ours)
        engine = self.fleet.hosts[2].engine
        driver = ("-d", "zun_lite", "--ipam-driver", "zun_lite", "--ipam-opt", f"zun_lite.network={self.ours}")
        engine.docker("network", "create", *driver, "shown")
        self.addCleanup(engine.docker, "network", "rm", "shown")
        engine.docker("run", "-d", "--name", "guest", "--network", "shown", "demo", "sleep", "600")
        self.addCleanup(engine.docker, "rm", "-f", "guest")
        found = engine.api.inspect_container("guest")
        v4, pid = found["NetworkSettings"]["Networks"]["shown"]["IPAddress"], found["State"]["Pid"]
        ping = ["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "ping", "-c", "1", "-W", "1"]
        for place, reached in ((self.a, True), (self.b, True), (self.c, True), (self.x, False), (self.y, False)):
            if reached:
                self.fleet.wait(lambda at=place: at.can_ping(v4), f"{place.name} reaches it")
            self.assertEqual(reached, place.can_ping(v4), place.name)
            there = subprocess.run([*ping, place.v4], capture_output=True, timeout=30).returncode
            self.assertEqual(reached, there == 0, place.name)

    def test_the_address_of_metadata_leads_nowhere(self) -> None:
        """B6."""
        host = self.a.host
        host.namespaces.batch(f"address add {METADATA}/32 dev lo")
        self.addCleanup(host.namespaces.batch, f"address del {METADATA}/32 dev lo")
        self.a.run("ip", "route", "replace", f"{METADATA}/32", "via", self.b.v4)
        with listening(host, METADATA, 80):
            self.assertTrue(connects(host, METADATA, 80), "it is there")
            self.assertFalse(reaches_soon(self.a, METADATA, 80))

    def test_nor_does_it_lead_to_a_neighbour_that_has_it(self) -> None:
        """B6. The neighbour's port is not guarded, so that nothing but the address itself is in the way."""
        port = self.ask("GET", f"ports/{self.b.port_id}")["port"]
        guarded = {"port_security_enabled": True, "security_groups": port["security_groups"]}
        self.addCleanup(self.ask, "PUT", f"ports/{self.b.port_id}", {"port": guarded})
        open_port = {"port_security_enabled": False, "security_groups": []}
        self.ask("PUT", f"ports/{self.b.port_id}", {"port": open_port})
        for family, via, metadata, other in (
            ("-4", self.b.v4, METADATA, "198.51.100.7"),
            ("-6", self.b.v6, METADATA_V6, "2001:db8:5::7"),
        ):
            for address in (metadata, other):
                self.assertEqual(0, self.a.run("ip", family, "route", "replace", address, "via", via).returncode)
                self.assertEqual(0, self.b.run("ip", family, "address", "add", address, "dev", "lo").returncode)
            with listening(self.b, other, 80):
                self.fleet.wait(lambda other=other: connects(self.a, other, 80, 1.0), f"{other} is reached")
            with listening(self.b, metadata, 80):
                self.assertFalse(reaches_soon(self.a, metadata, 80), metadata)

    def test_a_container_on_several_networks_has_one_default_route(self) -> None:
        side = self.fleet.make_network("10.9.0.0/24", name="side")
        both = self.running("both", host="h2", nets=[{"network": self.ours}, {"network": side}])
        links = json.loads(both.run("ip", "-json", "link").stdout)
        self.assertEqual({"lo", "eth0", "eth1"}, {link["ifname"] for link in links})
        for family in ("-4", "-6"):
            routes = json.loads(both.run("ip", family, "-json", "route", "show", "default").stdout)
            self.assertEqual(["eth0"], [route["dev"] for route in routes], family)
        self.assertTrue(both.can_ping(self.a.v4))

    def all(self) -> list[Place]:
        return [self.a, self.b, self.c, self.x, self.y]

    def execute(self, place: Place, command: str) -> int:
        answer = self.fleet.ask("POST", f"/v1/containers/{place.uuid}/execute", {"command": command})
        return answer["exit_code"]
