# SPDX-License-Identifier: Apache-2.0
"""A tenant's network shown to a host's own Docker: reach, isolation and rules as a workload's, and nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid

from tests.system.libnetwork_case import OUTER, V2, Guest, LibnetworkCase
from tests.system.netd.talk import listening, reaches_soon
from zun_lite.cmd.engine import Engine
from zun_lite.netd import names, namespaces

ANSWER_LIMIT_SECONDS = 7.0
# what Docker and a loaded machine add
SLACK_SECONDS = 8.0


class LibnetworkTests(LibnetworkCase):
    def test_only_networks_that_an_operator_lists_are_shown(self) -> None:
        said = self.create_network("refused", check=False)
        self.assertIn("--ipam-opt zun_lite.network=", said)
        for ident in (self.hidden, "hidden", str(uuid.uuid4())):
            said = self.create_network("refused", "--ipam-opt", f"zun_lite.network={ident}", check=False)
            self.assertIn(f"No network {ident} is shown to Docker on host", said)
            self.assertIn("docker_networks", said)
        plain = self.docker("network", "create", "-d", self.driver, "refused", check=False)
        self.assertIn(f"--ipam-driver {self.driver}", plain.stderr)
        by_name = "zun_lite.network=of-demo"
        self.create_network("named", "--ipam-opt", by_name, "-o", by_name)
        self.guest("named")
        self.assertEqual(["named"], Engine(self.cloud.engine.socket).networks(self.driver))

    def test_a_container_reaches_its_networks_workloads_and_no_other_tenants(self) -> None:
        _, v4, v6 = self.member("neighbour", self.shown["demo"])
        _, other_v4, _ = self.member("stranger", self.shown["admin"], cloud="admin")
        self.assertEqual(v4, other_v4, "the same address on both networks, so that it tells nothing by itself")
        self.member("second", self.shown["admin"], cloud="admin")
        _, only_theirs, _ = self.member("third", self.shown["admin"], cloud="admin")
        dual = ("--ipv6", "--subnet", "10.1.0.0/24", "--subnet", "fd00:9::/64")
        ours, theirs = self.a_network("ours", "demo", *dual), self.a_network("theirs", "admin", *dual)
        guest = self.guest(ours, "--dns", "169.254.169.253")
        self.assertEqual(1, len(self.docker_ports()), "both addresses are one port's")
        self.assertTrue(guest.can_ping(v4))
        self.assertTrue(guest.can_ping(v6))
        self.assertFalse(guest.can_ping(only_theirs))
        self.assertTrue(self.guest(theirs).can_ping(only_theirs))
        self.assertIn(v4, self.docker("exec", guest.ident, "nslookup", "neighbour", check=False).stdout)
        self.assertNotIn(v4, self.docker("exec", guest.ident, "nslookup", "stranger", check=False).stdout)
        self.assertEqual([], self.cloud.audit())

    def test_its_security_groups_and_its_address_are_enforced(self) -> None:
        network = self.a_network("guarded")
        target, asker = self.guest(network), self.guest(network)
        self.put_into(asker, self.make_group("open", {"protocol": "icmp"}))
        self.assertTrue(target.can_ping(asker.v4))
        with listening(target, "0.0.0.0", 8080):
            self.put_into(target, self.make_group("closed"))
            self.cloud.wait(lambda: not reaches_soon(asker, target.v4, 8080), "the port is shut")
            opened = self.make_group("opened", {"protocol": "tcp", "port_range_min": 8080, "port_range_max": 8080})
            self.put_into(target, opened)
            self.cloud.wait(lambda: reaches_soon(asker, target.v4, 8080), "the rule lets in")
        self.assertFalse(asker.can_ping(target.v4))
        target.run("ip", "addr", "add", "10.1.0.200/24", "dev", "eth0")
        forged = ("busybox", "ping", "-c", "1", "-W", "1", "-I", "10.1.0.200", asker.v4)
        own = ("busybox", "ping", "-c", "1", "-W", "1", "-I", target.v4, asker.v4)
        self.assertEqual((1, 0), (target.run(*forged).returncode, target.run(*own).returncode))
        self.change_port(target, security_groups=[], port_security_enabled=False)
        self.cloud.wait(lambda: target.run(*forged).returncode == 0, "it passes where nothing guards")

    def test_addresses_and_macs_of_choice_and_a_second_network_while_it_runs(self) -> None:
        # Docker takes addresses of choice only where the subnet was named
        first = self.a_network("first", "demo", "--subnet", "10.1.0.0/24")
        second = self.a_network("second", "more", "--subnet", "10.2.0.0/24")
        guest = self.guest(first, "--ip", "10.1.0.77")
        self.assertEqual("10.1.0.77", guest.v4)
        taken = self.docker("run", "--rm", "--network", first, "--ip", "10.1.0.77", "demo", "true", check=False)
        self.assertIn("10.1.0.77 is in use", taken.stderr)
        self.docker("network", "connect", "--ip", "10.2.0.78", second, guest.ident)
        also = self.guest_named(guest.ident, second)
        self.assertEqual("10.2.0.78", also.v4)
        self.assertEqual(2, len(self.docker_ports()))
        self.assertIn("eth1", guest.run("ip", "-o", "link").stdout)
        self.docker("network", "disconnect", second, guest.ident)
        self.cloud.wait(lambda: len(self.docker_ports()) == 1, "the second port is gone")
        for _ in range(2):
            self.docker("restart", "-t", "0", guest.ident)
            self.assertEqual("10.1.0.77", self.guest_named(guest.ident, first).v4)

    def test_published_ports_are_refused_in_words(self) -> None:
        network = self.a_network("published")
        done = self.docker("run", "-d", "--name", "published", "-p", "8080", "--network", network, "demo", check=False)
        self.docker("rm", "-f", "published", check=False)
        self.assertIn("floating IP", done.stderr)

    def test_a_floating_ip_leads_to_it_from_the_host_and_itself_outside(self) -> None:
        (subnet,) = self.cloud.ask("GET", f"{V2}/subnets?network_id={self.shown['more']}")["subnets"]
        (external,) = self.cloud.ask("GET", f"{V2}/networks?router:external=True")["networks"]
        gateway = {"external_gateway_info": {"network_id": external["id"]}}
        router = self.cloud.ask("POST", f"{V2}/routers", {"router": {"name": "way", **gateway}})["router"]["id"]
        self.addCleanup(self.cloud.call, "DELETE", f"{V2}/routers/{router}")
        leg, path = {"subnet_id": subnet["id"]}, f"{V2}/routers/{router}"
        self.cloud.ask("PUT", f"{path}/add_router_interface", leg)
        self.addCleanup(self.cloud.call, "PUT", f"{path}/remove_router_interface", leg)
        guest = self.guest(self.a_network("floats", "more"))
        self.cloud.wait(lambda: guest.can_ping(OUTER.replace("0/24", "1")), "it gets out")
        self.put_into(guest, self.make_group("let-in", {"protocol": "icmp"}))
        body = {"floatingip": {"floating_network_id": external["id"], "port_id": guest.port_id}}
        floating = self.cloud.ask("POST", f"{V2}/floatingips", body)["floatingip"]
        self.addCleanup(self.cloud.call, "DELETE", f"{V2}/floatingips/{floating['id']}")
        ping = ["busybox", "ping", "-c", "1", "-W", "1", floating["floating_ip_address"]]
        self.cloud.wait(lambda: subprocess.run(ping, capture_output=True).returncode == 0, "the host gets in")

    def test_a_tenants_network_outlives_dockers_and_is_not_deleted_under_it(self) -> None:
        network = self.a_network("used")
        guest = self.guest(network)
        for path in (f"networks/{self.shown['demo']}", f"ports/{guest.port_id}"):
            self.assertEqual(409, self.cloud.call("DELETE", f"{V2}/{path}").status_code)
        self.docker("rm", "-f", guest.ident)
        self.docker("network", "rm", network)
        self.assertEqual(200, self.cloud.call("GET", f"{V2}/networks/{self.shown['demo']}").status_code)

    def test_while_the_api_is_silent_docker_is_answered_in_time_and_loses_nothing(self) -> None:
        network = self.a_network("silent")
        guest = self.guest(network)
        with self.silent_api():
            self.addCleanup(self.docker, "rm", "-f", "unanswered", check=False)
            seconds, done = self.timed(
                "run", "-d", "--name", "unanswered", "--network", network, "demo", "sleep", "600"
            )
            self.assertNotEqual(0, done.returncode)
            self.assertIn("does not answer", done.stderr)
            self.assertLess(seconds, ANSWER_LIMIT_SECONDS + SLACK_SECONDS)
            removing, done = self.timed("rm", "-f", guest.ident)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertLess(removing, ANSWER_LIMIT_SECONDS)
            print(f"with a silent API: docker run refused after {seconds:.1f} s, docker rm done after {removing:.1f} s")
        self.assert_nothing_is_left()

    def test_netd_killed_at_a_point_leaves_nothing_for_good(self) -> None:
        self.kill_at("netd.lend.link", "netd.release.begin")

    def test_a_running_container_does_not_notice_that_netd_is_killed(self) -> None:
        _, v4, _ = self.member("witness", self.shown["demo"])
        guest = self.guest(self.a_network("kept"))
        before = self.cloud.pid("netd")
        self.cloud.kill("netd")
        self.cloud.wait(lambda: self.pid_of("netd") not in (None, before), "netd is back")
        self.cloud.wait(self.netd_answers, "netd answers")
        self.assertTrue(guest.can_ping(v4))
        self.assertEqual([guest.port_id], self.netd.list()["docker_ports"])

    def test_after_a_reboot_containers_come_back_and_what_ended_is_given_back(self) -> None:
        network = self.a_network("reboot", "demo", "--subnet", "10.1.0.0/24")
        fixed = self.guest(network, "--restart", "always", "--ip", "10.1.0.50", name="fixed")
        free = self.guest(network, "--restart", "always", name="free")
        ended = self.guest(network, name="ended")
        self.reboot(fixed.pid, free.pid, ended.pid)
        for name in ("fixed", "free"):
            self.cloud.wait(lambda who=name: self.runs(who), f"{name} runs again")
        fixed, free = self.guest_named("fixed", network), self.guest_named("free", network)
        self.assertEqual("10.1.0.50", fixed.v4)
        self.cloud.wait(lambda: fixed.can_ping(free.v4) and free.can_ping(fixed.v4), "they reach each other")
        self.cloud.wait(lambda: len(self.docker_ports()) == 2, lambda: f"two ports are left of {self.docker_ports()}")
        self.assertEqual({fixed.port_id, free.port_id}, set(self.netd.list()["docker_ports"]))
        self.assertEqual([], self.cloud.audit())

    def reboot(self, *pids: int) -> None:
        """The engine, its containers and netd die, and what the kernel had of networks is gone; netd is back first."""
        before = self.cloud.pid("netd")
        self.cloud.engine.lose_power()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for name in namespaces.names(names.namespace_prefix(self.cloud.name)):
            namespaces.remove(name)
        self.cloud.kill("netd")
        self.cloud.wait(lambda: self.pid_of("netd") not in (None, before), "netd is back")
        self.cloud.wait(self.netd_answers, "netd answers")
        self.cloud.engine.start()

    def runs(self, name: str) -> bool:
        return self.cloud.engine.api.inspect_container(name)["State"]["Running"]

    def make_group(self, name: str, *rules: dict[str, object]) -> str:
        """A group that lets out all, and in what the rules say; deleted at the end."""
        group = self.cloud.ask("POST", f"{V2}/security-groups", {"security_group": {"name": name}})["security_group"]
        self.addCleanup(self.cloud.call, "DELETE", f"{V2}/security-groups/{group['id']}")
        for rule in rules:
            body = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", **rule}
            self.cloud.ask("POST", f"{V2}/security-group-rules", {"security_group_rule": body})
        return group["id"]

    def put_into(self, guest: Guest, *groups: str) -> None:
        self.change_port(guest, security_groups=list(groups))

    def change_port(self, guest: Guest, **changes: object) -> None:
        self.cloud.ask("PUT", f"{V2}/ports/{guest.port_id}", {"port": changes})
