# SPDX-License-Identifier: Apache-2.0
"""netd against the real kernel: who can reach whom, and what survives what."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

from tests.system.netd.host import Container, NetdHost, NetdTestCase, endpoint, new_id
from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import links, names, namespaces


class WiringTestCase(NetdTestCase):
    def joined(self, *endpoints: Endpoint, workload: str | None = None, epoch: int = 1) -> Container:
        """A container with a record, wired."""
        container = self.container()
        self.netd.plug(container.container_id, workload or new_id(), epoch, list(endpoints), [])
        self.wire(container)
        return container

    def wire(self, container: Container) -> list[dict]:
        return self.netd.ask("wire", container_id=container.container_id, pid=container.pid)["interfaces"]

    def namespace(self, network_id: str) -> str:
        return names.namespace(self.host.cluster, network_id)


class ReachTests(WiringTestCase):
    def test_containers_of_one_network_reach_each_other_and_those_of_another_with_the_same_cidr_do_not(self) -> None:
        ours, theirs = new_id(), new_id()
        first = self.joined(endpoint(ours, "10.1.0.5"))
        self.joined(endpoint(ours, "10.1.0.6"))
        stranger = self.joined(endpoint(theirs, "10.1.0.5"))
        self.joined(endpoint(theirs, "10.1.0.7"))

        self.assertTrue(first.can_ping("10.1.0.6"))
        self.assertTrue(stranger.can_ping("10.1.0.7"))
        self.assertFalse(first.can_ping("10.1.0.7"))
        self.assertFalse(stranger.can_ping("10.1.0.6"))

    def test_both_address_families_work_at_once_and_the_address_is_usable_immediately(self) -> None:
        network_id = new_id()
        ends = [
            endpoint(
                network_id,
                f"10.1.0.{last}",
                addresses=(
                    Address(f"10.1.0.{last}", 24, new_id(), "10.1.0.1"),
                    Address(f"fd00:1::{last}", 64, new_id(), "fd00:1::1"),
                ),
            )
            for last in (5, 6)
        ]
        first, _ = [self.joined(end) for end in ends]

        self.assertTrue(first.can_ping("10.1.0.6"))
        self.assertTrue(first.can_ping("fd00:1::6"))
        self.assertIn("default via fd00:1::1", first.run("ip", "-6", "route").stdout)

    def test_the_address_mac_mtu_and_routes_are_those_of_the_endpoint(self) -> None:
        end = endpoint(new_id(), "10.1.0.5", mtu=1400, routes=(("192.168.7.0/24", "10.1.0.9"),))
        container = self.joined(end)

        link = json.loads(container.run("ip", "-json", "addr", "show", "eth0").stdout)[0]
        self.assertEqual((end.mac, 1400, "UP"), (link["address"], link["mtu"], link["operstate"]))
        self.assertEqual([("10.1.0.5", 24)], [(item["local"], item["prefixlen"]) for item in link["addr_info"]])
        routes = container.run("ip", "route").stdout
        self.assertIn("default via 10.1.0.1 dev eth0", routes)
        self.assertIn("192.168.7.0/24 via 10.1.0.9 dev eth0", routes)

    def test_neighbours_find_an_addresss_new_owner_at_once(self) -> None:
        network_id = new_id()

        def ends(last: int, v6: str) -> Endpoint:
            addresses = (Address(f"10.1.0.{last}", 24, new_id()), Address(v6, 64, new_id()))
            return endpoint(network_id, f"10.1.0.{last}", addresses=addresses)

        neighbour, old = self.joined(ends(9, "fd00:1::9")), self.joined(ends(5, "fd00:1::5"))
        for address in ("10.1.0.5", "fd00:1::5"):
            self.assertTrue(neighbour.can_ping(address))
        self.netd.unplug(old.container_id)

        self.joined(ends(5, "fd00:1::5"))

        for address in ("10.1.0.5", "fd00:1::5"):
            self.assertTrue(neighbour.can_ping(address), address)

    def test_a_gateway_that_is_not_on_the_subnet_is_reached_on_the_link(self) -> None:
        end = endpoint(new_id(), "10.1.0.5", addresses=(Address("10.1.0.5", 32, new_id(), "169.254.1.1"),))

        self.assertIn(
            "default via 169.254.1.1 dev eth0 proto static onlink", self.joined(end).run("ip", "route").stdout
        )

    def test_several_endpoints_are_named_in_order_and_only_the_chosen_one_has_the_default_route(self) -> None:
        container = self.joined(
            endpoint(new_id(), "10.1.0.5", default_route=False),
            endpoint(new_id(), "10.2.0.5"),
            endpoint(new_id(), "10.3.0.5"),
        )

        self.assertIn("10.1.0.5", container.run("ip", "addr", "show", "eth0").stdout)
        self.assertIn("10.3.0.5", container.run("ip", "addr", "show", "eth2").stdout)
        defaults = [line for line in container.run("ip", "route").stdout.splitlines() if line.startswith("default")]
        self.assertEqual(1, len(defaults))
        self.assertIn("eth1", defaults[0])

    def test_a_container_without_endpoints_has_loopback_alone(self) -> None:
        container = self.joined()

        self.assertTrue(container.can_ping("127.0.0.1"))
        self.assertNotIn("eth0", container.run("ip", "link").stdout)

    def test_nothing_appears_in_the_hosts_own_namespace(self) -> None:
        before = set(os.listdir("/sys/class/net"))
        self.joined(endpoint(new_id(), "10.1.0.5"))

        self.assertEqual(before, set(os.listdir("/sys/class/net")))

    def test_many_containers_are_wired_in_parallel(self) -> None:
        networks = [new_id(), new_id()]
        ends = [endpoint(networks[number % 2], f"10.1.0.{10 + number}") for number in range(12)]
        with ThreadPoolExecutor(6) as pool:
            containers = list(pool.map(self.joined, ends))

        self.assertTrue(containers[0].can_ping("10.1.0.20"))
        self.assertTrue(containers[1].can_ping("10.1.0.21"))
        self.assertTrue(all(record["wired"] for record in self.netd.list()["records"]))
        self.assert_no_strays()


class RewiringTests(WiringTestCase):
    """A container that runs is wired anew: what stays is not touched."""

    def rewire(self, container: Container, workload: str, *endpoints: Endpoint) -> dict[str, list[str]]:
        self.netd.plug(container.container_id, workload, 1, list(endpoints), [])
        return {item["name"]: item["addresses"] for item in self.wire(container)}

    def index(self, container: Container, name: str) -> int:
        return json.loads(container.run("ip", "-json", "link", "show", name).stdout)[0]["ifindex"]

    def test_links_are_added_and_taken_away_and_the_rest_stays(self) -> None:
        workload = new_id()
        first, second = endpoint(new_id(), "10.1.0.5"), endpoint(new_id(), "10.2.0.5", default_route=False)
        third = endpoint(new_id(), "10.3.0.5", default_route=False)
        container = self.joined(first, workload=workload)
        index = self.index(container, "eth0")

        self.assertEqual({"eth0", "eth1"}, set(self.rewire(container, workload, first, second)))
        self.assertEqual(index, self.index(container, "eth0"))
        self.assertIn("default via 10.1.0.1 dev eth0", container.run("ip", "route").stdout)

        index = self.index(container, "eth1")
        only = Endpoint(**{**vars(second), "default_route": True})
        self.assertEqual({"eth1": ["10.2.0.5/24"]}, self.rewire(container, workload, only))
        self.assertEqual(index, self.index(container, "eth1"))
        self.assertIn("default via 10.2.0.1 dev eth1", container.run("ip", "route").stdout)
        self.assertFalse(namespaces.exists(self.namespace(first.network_id)))

        self.assertEqual({"eth1", "eth2"}, set(self.rewire(container, workload, only, third)))
        self.assertEqual({}, self.rewire(container, workload))
        self.assertNotIn("eth", container.run("ip", "link").stdout.replace("link/ether", ""))
        self.assert_no_strays()

    def test_a_link_whose_port_a_dead_netd_had_still_to_take_away_goes(self) -> None:
        workload = new_id()
        first, second = endpoint(new_id(), "10.1.0.5"), endpoint(new_id(), "10.2.0.5")
        container = self.joined(first, second, workload=workload)
        for point in ("netd.store.before", "netd.store.after"):
            self.host.arm(point)
            self.assertRaises(errors.Unavailable, self.netd.plug, container.container_id, workload, 1, [second], [])
            self.assertTrue(self.host.was_hit(point))
            self.host.start()
            self.assertEqual({"eth1"}, set(self.rewire(container, workload, second)))
            self.assert_no_strays()
            self.rewire(container, workload, second, first)

    def test_a_containers_own_links_are_left_alone(self) -> None:
        workload, end = new_id(), endpoint(new_id(), "10.1.0.5")
        container = self.joined(end, workload=workload)
        container.run("ip", "link", "add", "eth7", "type", "veth", "peer", "name", "inside")
        container.run("ip", "link", "add", "eth8", "type", "bridge")

        self.rewire(container, workload, end)

        links = container.run("ip", "link").stdout
        for name in ("eth0", "eth7", "eth8", "inside"):
            self.assertIn(f" {name}", links)

    def test_neighbours_reach_it_all_the_while(self) -> None:
        network, workload = new_id(), new_id()
        stays = endpoint(network, "10.1.0.5")
        neighbour, container = self.joined(endpoint(network, "10.1.0.6")), self.joined(stays, workload=workload)
        command = ["nsenter", f"--net=/proc/{neighbour.pid}/ns/net", "busybox", "ping", "-i", "0.02", "-c", "150"]
        ping = subprocess.Popen([*command, "10.1.0.5"], stdout=subprocess.PIPE, text=True)
        for number in range(5):
            self.rewire(container, workload, stays, endpoint(new_id(), f"10.2.{number}.5", default_route=False))
        self.rewire(container, workload, stays)
        self.assertIn(" 0% packet loss", ping.communicate(timeout=30)[0])


class RecordTests(WiringTestCase):
    def test_wiring_again_changes_nothing(self) -> None:
        container = self.joined(endpoint(new_id(), "10.1.0.5"))
        before = container.run("ip", "addr").stdout

        self.assertEqual("eth0", self.wire(container)[0]["name"])
        self.assertEqual(before, container.run("ip", "addr").stdout)

    def test_a_container_that_starts_anew_takes_its_port_over_from_its_former_self(self) -> None:
        network_id = new_id()
        former = self.joined(endpoint(network_id, "10.1.0.5"))
        other = self.joined(endpoint(network_id, "10.1.0.6"))
        fresh = self.container()
        fresh.container_id = former.container_id

        self.wire(fresh)

        self.assertTrue(other.can_ping("10.1.0.5"))
        self.assertNotIn("eth0", former.run("ip", "link").stdout)
        self.assertIn("10.1.0.5", fresh.run("ip", "addr").stdout)

    def test_an_unknown_container_is_neither_wired_nor_prepared(self) -> None:
        container = self.container()

        self.assertRaises(errors.NotFound, self.wire, container)
        self.assertRaises(errors.NotFound, self.netd.ask, "prepare", container_id=container.container_id)

    def test_a_process_in_the_hosts_own_namespace_is_refused(self) -> None:
        container = self.joined(endpoint(new_id(), "10.1.0.5"))

        refusal = self.assertRaises(
            errors.Invalid, self.netd.ask, "wire", container_id=container.container_id, pid=os.getpid()
        )
        self.assertIn("host's own", refusal.message)

    def test_a_process_that_ended_is_not_found(self) -> None:
        container = self.joined(endpoint(new_id(), "10.1.0.5"))
        container.end()

        self.assertRaises(errors.NotFound, self.wire, container)

    def test_an_older_placement_can_neither_be_recorded_nor_wired(self) -> None:
        workload, network_id = new_id(), new_id()
        old = self.joined(endpoint(network_id, "10.1.0.5"), workload=workload, epoch=3)
        self.joined(endpoint(network_id, "10.1.0.6"), workload=workload, epoch=4)

        self.assertRaises(errors.Conflict, self.wire, old)
        self.assertRaises(errors.Conflict, self.netd.plug, self.container().container_id, workload, 3, [], [])

    def test_a_port_left_out_of_a_new_record_is_taken_away(self) -> None:
        kept, dropped = endpoint(new_id(), "10.1.0.5"), endpoint(new_id(), "10.2.0.5")
        workload = new_id()
        container = self.joined(kept, dropped, workload=workload)

        self.netd.plug(container.container_id, workload, 1, [kept], [])

        self.assertNotIn("10.2.0.5", container.run("ip", "addr").stdout)
        self.assertFalse(namespaces.exists(self.namespace(dropped.network_id)))
        self.assertTrue(namespaces.exists(self.namespace(kept.network_id)))

    def test_unplugging_the_last_container_of_a_network_removes_its_namespace(self) -> None:
        network_id = new_id()
        first, second = self.joined(endpoint(network_id, "10.1.0.5")), self.joined(endpoint(network_id, "10.1.0.6"))

        self.netd.unplug(first.container_id)
        self.assertNotIn("eth0", first.run("ip", "link").stdout)
        self.assertTrue(namespaces.exists(self.namespace(network_id)))
        self.netd.unplug(second.container_id)
        self.netd.unplug(second.container_id)

        self.assertFalse(namespaces.exists(self.namespace(network_id)))
        self.assertEqual([], self.netd.list()["records"])

    def test_unplugging_a_predecessor_leaves_its_successors_link(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        workload = new_id()
        old = self.joined(end, workload=workload, epoch=1)
        new = self.joined(end, workload=workload, epoch=2)

        self.netd.unplug(old.container_id)

        self.assertIn("10.1.0.5", new.run("ip", "addr").stdout)
        self.assertTrue(self.netd.list()["records"][0]["wired"])

    def test_the_list_says_which_containers_have_lost_their_links(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        self.joined(end)
        with namespaces.opened(self.namespace(end.network_id)) as switch_fd:
            links.remove(switch_fd, names.link(self.host.cluster, end.port_id))

        listed = self.netd.list()
        self.assertEqual([False], [record["wired"] for record in listed["records"]])
        self.assertEqual([(end.network_id, 1001)], [(item["network_id"], item["vni"]) for item in listed["networks"]])


class RestartTests(WiringTestCase):
    def test_a_killed_netd_comes_back_without_touching_running_containers(self) -> None:
        network_id = new_id()
        first, second = self.joined(endpoint(network_id, "10.1.0.5")), self.joined(endpoint(network_id, "10.1.0.6"))
        before = second.run("ip", "addr").stdout
        self.host.kill()
        self.assertTrue(first.can_ping("10.1.0.6"))

        self.host.start()

        self.assertTrue(first.can_ping("10.1.0.6"))
        self.assertEqual(before, second.run("ip", "addr").stdout)
        self.assertEqual([True, True], [record["wired"] for record in self.netd.list()["records"]])

    def test_after_a_reboot_the_namespace_is_made_again_over_the_file_that_was_left(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        container = self.joined(end)
        name = self.namespace(end.network_id)
        self.host.kill()
        namespaces.remove(name)
        open(f"{namespaces.FOLDER}/{name}", "w").close()
        self.host.start()
        fresh = self.container()
        fresh.container_id = container.container_id

        self.wire(fresh)

        self.assertIn("10.1.0.5", fresh.run("ip", "addr").stdout)
        self.assert_no_strays()

    def test_a_starting_netd_takes_away_what_has_no_record_and_leaves_other_clusters_alone(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        self.joined(end)
        stray, foreign = (
            names.namespace(self.host.cluster, new_id()),
            names.namespace(f"{self.host.cluster}x", new_id()),
        )
        self.addCleanup(namespaces.remove, foreign)
        for name in (stray, foreign):
            namespaces.create(name)
        ours = self.namespace(end.network_id)
        inside = [
            "ip",
            "netns",
            "exec",
            ours,
            "ip",
            "link",
            "add",
            "zvstray",
            "type",
            "veth",
            "peer",
            "name",
            "zvstray2",
        ]
        subprocess.run(inside, check=True)
        strays = self.netd.list()["strays"]
        self.assertEqual([stray], strays["namespaces"])
        self.assertEqual([f"{ours}/zvstray", f"{ours}/zvstray2"], strays["links"])

        self.host.kill()
        self.host.start()

        self.assert_no_strays()
        self.assertTrue(namespaces.exists(foreign))
        self.assertTrue(self.netd.list()["records"][0]["wired"])

    def test_nothing_is_swept_while_a_record_cannot_be_read(self) -> None:
        end = endpoint(new_id(), "10.1.0.5")
        container = self.joined(end)
        self.host.kill()
        record = self.host.state_dir / f"netd/containers/{container.container_id}.json"
        record.write_text(record.read_text()[:-20])

        self.host.start()

        self.assertTrue(namespaces.exists(self.namespace(end.network_id)))
        self.assertIn("10.1.0.5", container.run("ip", "addr").stdout)

    def test_a_second_netd_on_the_same_socket_is_refused(self) -> None:
        second = self.host.spawn()

        self.assertEqual(1, second.wait(20))
        self.assertIn("another netd serves", self.host.log.read_text())
        self.netd.hello()

    def test_netd_may_hold_as_many_files_as_the_kernel_lets_it(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.host.kill()
        self.host.start("prlimit", f"--nofile=256:{hard}")

        assert self.host.process is not None
        self.assertEqual((hard, hard), resource.prlimit(self.host.process.pid, resource.RLIMIT_NOFILE))

    def test_a_term_signal_ends_netd_well_and_leaves_no_socket(self) -> None:
        self.assertEqual(0, self.host.terminate())
        self.assertFalse(os.path.exists(self.host.socket))
        self.assertRaises(errors.Unavailable, self.netd.hello)


class ProtocolTests(NetdTestCase):
    def test_the_socket_is_for_root_alone(self) -> None:
        self.assertEqual(0o600, os.stat(self.host.socket).st_mode & 0o777)

    def test_a_connection_outlives_whatever_is_sent_on_it(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, sock.makefile("rwb") as stream:
            sock.settimeout(20)
            sock.connect(self.host.socket)
            for line in (
                b"",
                b"{",
                b"[]",
                b"\xff\xfe",
                b'{"op": 1}',
                b'{"op": "fly"}',
                b"[" * 100000,
                b"x" * 3_000_000,
            ):
                stream.write(line + b"\n")
                stream.flush()
                self.assertEqual("invalid", json.loads(stream.readline())["error"]["kind"])
            stream.write(b'{"op": "hello"}\n')
            stream.flush()
            self.assertEqual({"version", "boot_id", "plane_revision"}, set(json.loads(stream.readline())["result"]))

    def test_netd_leaks_no_descriptors(self) -> None:
        host: NetdHost = self.host
        assert host.process is not None
        end = endpoint(new_id(), "10.1.0.5")

        def cycle() -> int:
            container = Container()
            self.netd.plug(container.container_id, new_id(), 1, [end], [])
            self.netd.ask("wire", container_id=container.container_id, pid=container.pid)
            self.netd.unplug(container.container_id)
            container.end()
            return len(os.listdir(f"/proc/{host.process.pid}/fd"))  # type: ignore[union-attr]

        # the socket of the last request may still be about to close, at the beginning and at the end
        first = cycle()
        counts = [cycle() for _ in range(20)]
        self.assertLess(max(counts), first + 5)
