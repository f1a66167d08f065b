# SPDX-License-Identifier: Apache-2.0
"""The way out and in, on a whole cloud of one machine: routers, addresses that are translated, floating IPs."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

from tests.functional.case import CloudTestCase

V2 = "/network/v2.0"
SERVER = ["sh", "-c", "trap 'exit 0' TERM; while :; do echo here | nc -l -p 8080; done & wait"]
OUTER = "172.29.77"
WORLD = "198.19.113"
OUTER6, WORLD6, TENANTS6 = "2001:db8:77::", "2001:db8:113::", "2001:db8:7700::/56"
LIMIT_SECONDS = 20.0


class RoutersTest(CloudTestCase):
    settings = {
        "network": {"external_cidr": f"{OUTER}.0/24", "external_cidr6": f"{OUTER6}/64", "tenants_cidr6": TENANTS6}
    }

    def make(self, kind: str, path: str, **fields: Any) -> Any:
        return self.cloud.ask("POST", f"{V2}/{path}", {kind: fields})[kind]

    def routed(self, cidr: str, name: str) -> tuple[str, str, str]:
        """(network, router, external network): a network with a way out."""
        network = self.cloud.make_network(cidr, name=name)
        (subnet,) = self.cloud.ask("GET", f"{V2}/subnets?network_id={network}")["subnets"]
        (external,) = self.cloud.ask("GET", f"{V2}/networks?router:external=True")["networks"]
        router = self.make("router", "routers", name=name, external_gateway_info={"network_id": external["id"]})
        self.cloud.ask("PUT", f"{V2}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        self.addCleanup(self.take_back, router["id"], subnet["id"])
        return network, router["id"], external["id"]

    def take_back(self, router: str, subnet: str) -> None:
        self.cloud.call("PUT", f"{V2}/routers/{router}/remove_router_interface", {"subnet_id": subnet})
        self.cloud.call("DELETE", f"{V2}/routers/{router}")

    def open_to_all(self, port: int) -> None:
        group = self.make("security_group", "security-groups", name=f"open-{port}")["id"]
        fields = {"direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port}
        self.make("security_group_rule", "security-group-rules", security_group_id=group, **fields)

    def test_a_floating_ip_leads_from_the_host_to_a_container_and_no_longer_when_it_is_taken_off(self):
        network, _, external = self.routed("10.95.0.0/24", "floats")
        self.open_to_all(8080)
        server = self.running("floats", nets=[{"network": network}], command=SERVER, security_groups=["open-8080"])
        (port,) = self.ports_of(server["uuid"])
        floating = self.make("floatingip", "floatingips", floating_network_id=external, port_id=port["id"])
        self.assertEqual("ACTIVE", floating["status"])
        self.assertTrue(floating["floating_ip_address"].startswith(f"{OUTER}."))
        address = floating["floating_ip_address"]
        self.cloud.wait(lambda: says(address) == b"here\n", "the floating IP answers the host", LIMIT_SECONDS)
        self.cloud.ask("PUT", f"{V2}/floatingips/{floating['id']}", {"floatingip": {"port_id": None}})
        self.cloud.wait(lambda: says(address) is None, "it answers no more", LIMIT_SECONDS)
        self.cloud.ask("PUT", f"{V2}/floatingips/{floating['id']}", {"floatingip": {"port_id": port["id"]}})
        self.cloud.wait(lambda: says(address) == b"here\n", "and again", LIMIT_SECONDS)
        self.delete(server["uuid"])
        after = self.cloud.ask("GET", f"{V2}/floatingips/{floating['id']}")["floatingip"]
        self.assertEqual(("DOWN", None, None), (after["status"], after["port_id"], after["fixed_ip_address"]))
        self.assertEqual(204, self.cloud.call("DELETE", f"{V2}/floatingips/{floating['id']}").status_code)

    def test_a_container_gets_out_under_its_routers_address_and_nobody_gets_in(self):
        network, router, _ = self.routed("10.96.0.0/24", "outward")
        record = self.running("outward", nets=[{"network": network}])
        shown = self.cloud.ask("GET", f"{V2}/routers/{router}")["router"]
        own, _ = shown["external_gateway_info"]["external_fixed_ips"]
        self.cloud.wait(
            lambda: self.reaches(record["uuid"], f"{OUTER}.1"),
            "the external network's gateway is reached",
            LIMIT_SECONDS,
        )
        self.assertTrue(self.reaches(record["uuid"], own["ip_address"]), "and the router's own address outside")
        self.cloud.ask("PUT", f"{V2}/routers/{router}", {"router": {"external_gateway_info": {}}})
        self.cloud.wait(
            lambda: not self.reaches(record["uuid"], f"{OUTER}.1"),
            "without a gateway there is no way out",
            LIMIT_SECONDS,
        )

    def test_what_is_beyond_the_host_is_reached_under_the_hosts_own_address(self):
        network, _, _ = self.routed("10.99.0.0/24", "beyond")
        uuid = self.running("beyond", nets=[{"network": network}])["uuid"]
        with a_world(self.cloud.name) as heard:
            self.cloud.wait(
                lambda: self.execute(uuid, f"nc -w 2 {WORLD}.2 8080")[1] == "world\n",
                "the world answers",
                LIMIT_SECONDS,
            )
        self.assertEqual({f"{WORLD}.1"}, set(heard), "it saw the host, and no inner address")

    def test_ipv6_of_the_shared_pool_is_reached_by_its_own_addresses_as_far_as_rules_let(self):
        network, router, _ = self.routed("10.94.0.0/24", "sixth")
        taken = {"network_id": network, "ip_version": 6, "use_default_subnetpool": True}
        subnet = self.make("subnet", "subnets", **taken, ipv6_address_mode="slaac", ipv6_ra_mode="slaac")
        self.cloud.ask("PUT", f"{V2}/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})
        self.addCleanup(self.take_back, router, subnet["id"])
        self.assertTrue(subnet["cidr"].startswith("2001:db8:7700:"), subnet)
        uuid = self.running("sixth", nets=[{"network": network}])["uuid"]
        (port,) = self.ports_of(uuid)
        (address,) = [item["ip_address"] for item in port["fixed_ips"] if item["subnet_id"] == subnet["id"]]
        self.assertIn("ff:fe", address)
        with a_world(self.cloud.name):
            for target in (f"{OUTER6}1", f"{WORLD6}2"):
                self.cloud.wait(lambda to=target: self.reaches(uuid, to), f"it reaches {target}", LIMIT_SECONDS)
        self.assertFalse(answers(address), "nobody was let in")
        group = self.make("security_group", "security-groups", name="pings")["id"]
        rule = {"direction": "ingress", "ethertype": "IPv6", "protocol": "ipv6-icmp"}
        self.make("security_group_rule", "security-group-rules", security_group_id=group, **rule)
        groups = {"security_groups": [*port["security_groups"], group]}
        self.cloud.ask("PUT", f"{V2}/ports/{port['id']}", {"port": groups})
        self.cloud.wait(lambda: answers(address), "the host reaches it by its own address", LIMIT_SECONDS)
        self.cloud.ask("PUT", f"{V2}/routers/{router}", {"router": {"external_gateway_info": {}}})
        self.cloud.wait(lambda: not answers(address), "and not without a gateway", LIMIT_SECONDS)

    def test_two_networks_of_a_router_reach_each_other_by_it(self):
        network, router, _ = self.routed("10.97.0.0/24", "left")
        other = self.cloud.make_network("10.98.0.0/24", name="right")
        (subnet,) = self.cloud.ask("GET", f"{V2}/subnets?network_id={other}")["subnets"]
        left = self.running("left", nets=[{"network": network}])
        right = self.running("right", nets=[{"network": other}])
        address = right["addresses"][other][0]["addr"]
        self.assertFalse(self.reaches(left["uuid"], address), "not before they are joined")
        self.cloud.ask("PUT", f"{V2}/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]})
        self.addCleanup(self.take_back, router, subnet["id"])
        self.cloud.wait(lambda: self.reaches(left["uuid"], address), "by way of the router", LIMIT_SECONDS)


@contextlib.contextmanager
def a_world(name: str) -> Iterator[list[str]]:
    """A machine beyond this one, that says who called; the addresses of those who did."""
    namespace, link = f"world-{name}", f"w{name}"
    heard: list[str] = []
    ip("netns", "add", namespace)
    try:
        ip("link", "add", link, "type", "veth", "peer", "name", "outer", "netns", namespace)
        ip("address", "add", f"{WORLD}.1/24", "dev", link)
        ip("address", "add", f"{WORLD6}1/64", "dev", link, "nodad")
        ip("link", "set", link, "up")
        ip("-n", namespace, "address", "add", f"{WORLD}.2/24", "dev", "outer")
        ip("-n", namespace, "address", "add", f"{WORLD6}2/64", "dev", "outer", "nodad")
        ip("-n", namespace, "link", "set", "outer", "up")
        ip("-n", namespace, "route", "add", "default", "via", f"{WORLD6}1")
        listener = in_namespace(namespace)
        threading.Thread(target=_serve, args=(listener, heard), daemon=True).start()
        try:
            yield heard
        finally:
            # Closing alone leaves the thread in accept(), and with it the namespace and its link.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
    finally:
        ip("netns", "delete", namespace)


def in_namespace(namespace: str) -> socket.socket:
    """A listening socket there, made by a thread that goes there and ends."""
    made: list[socket.socket] = []

    def make() -> None:
        with open(f"/run/netns/{namespace}") as file:
            if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
        sock = socket.socket()
        sock.bind((f"{WORLD}.2", 8080))
        sock.listen(8)
        made.append(sock)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]


def _serve(listener: socket.socket, heard: list[str]) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, (address, _) = listener.accept()
            with sock:
                heard.append(address)
                sock.sendall(b"world\n")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def answers(address: str) -> bool:
    """Whether the host gets an answer to a ping."""
    return subprocess.run(["busybox", "ping", "-c", "1", "-W", "1", address], capture_output=True).returncode == 0


def says(address: str) -> bytes | None:
    """What who listens at port 8080 says; None: nobody answers."""
    try:
        with socket.create_connection((address, 8080), timeout=1.0) as sock:
            return sock.recv(100)
    except OSError:
        return None
