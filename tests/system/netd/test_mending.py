# SPDX-License-Identifier: Apache-2.0
"""What somebody does to tenants' networks behind netd's back is mended within an interval, by netd alone."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Callable

from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from zun_lite.domain.plane import PortState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import links, names, namespaces, processes, switches

INTERVAL_SECONDS = 0.3
LIMIT_SECONDS = 15.0


class MendingTests(PlaneTestCase):
    settings = f"[netd]\ninterval_seconds = {INTERVAL_SECONDS}\n"

    def setUp(self) -> None:
        super().setUp()
        self.network_id, group_id = new_id(), self.group(*EVERYTHING)
        # a tunnel is the machine's own, as others' of other tests are
        vni = random.randrange(1 << 20, 1 << 24)
        self.ends = [member(self.network_id, last, vni=vni) for last in (5, 6)]
        far = PortState(new_id(), "fa:16:3e:00:ff:01", ("10.1.0.250",), vtep="192.0.2.7")
        ports = [*(port(end, group_id) for end in self.ends), far]
        self.networks["one"] = network(self.network_id, ports, vni)
        self.give(vtep="127.0.0.1")
        self.first, self.second = (self.joined(end) for end in self.ends)
        self.name = self.namespace(self.network_id)

    def joined(self, *endpoints: Endpoint) -> Container:
        """In a control group that bears the container's id, as an engine puts it there."""
        container = super().joined(*endpoints)
        folder = f"/sys/fs/cgroup/pids/{self.host.cluster}/{container.container_id}"
        subprocess.run(["mkdir", "-p", folder], check=True)
        self.addCleanup(subprocess.run, ["rmdir", "-p", folder], capture_output=True)
        self.addCleanup(container.end)
        with open(f"{folder}/cgroup.procs", "w") as procs:
            procs.write(str(container.pid))
        return container

    def inside(self, *command: str) -> str:
        run = ["ip", "netns", "exec", self.name, *command]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout

    def wait(self, look: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not look():
            self.assertLess(time.monotonic(), deadline, f"{what} within {LIMIT_SECONDS} s\n{self.host.log.read_text()}")
            threading.Event().wait(0.05)

    def reached(self) -> bool:
        return self.first.can_ping(self.ends[1].addresses[0].ip)

    def test_deleted_elements_and_deleted_tables_come_back(self) -> None:
        self.assertTrue(self.reached())
        rules = self.rules()
        self.inside("nft", "flush", "set", "bridge", "zl", "own4")
        self.wait(lambda: self.rules() == rules, "the elements are back")
        self.inside("nft", "flush", "ruleset")
        self.wait(lambda: self.rules() == rules, "the tables are back")
        self.assertTrue(self.reached())

    def rules(self) -> list[str]:
        return sorted(line for line in self.inside("nft", "list", "ruleset").splitlines() if "packets" not in line)

    def test_a_deleted_bridge_is_made_again_with_everything_on_it(self) -> None:
        self.assertTrue(self.reached())
        neighbours = self.inside("ip", "neigh", "show", "nud", "permanent")
        before = self.index_of(names.BRIDGE)
        self.inside("ip", "link", "del", names.BRIDGE)

        self.wait(lambda: self.index_of(names.BRIDGE) not in (0, before), "the bridge is made again")
        self.wait(self.reached, "the containers reach each other again")
        self.wait(lambda: self.inside("ip", "neigh", "show", "nud", "permanent") == neighbours, "neighbours are known")
        self.assertIn(f"master {names.BRIDGE}", self.inside("ip", "-o", "link", "show", self.tunnel()))

    def test_a_link_that_was_taken_off_the_bridge_or_switched_off_is_put_back(self) -> None:
        link = names.link(self.host.cluster, self.ends[1].port_id)
        for change in (("nomaster",), ("down",)):
            self.inside("ip", "link", "set", link, *change)
            self.wait(self.reached, f"{change[0]} is undone")
        self.assertEqual(2, self.host.log.read_text().count(f"{link} left it"))

    def test_a_deleted_link_of_a_running_container_is_made_again_with_its_address_and_rules(self) -> None:
        link = names.link(self.host.cluster, self.ends[1].port_id)
        before = self.index_of(link)
        self.inside("ip", "link", "del", link)

        self.wait(lambda: self.index_of(link) not in (0, before), "the link is made again")
        self.wait(self.reached, "the container is connected again")
        self.assertIn(f"{self.ends[1].addresses[0].ip}/24", self.second.run("ip", "-4", "addr", "show", "eth0").stdout)
        self.assert_no_strays()

    def index_of(self, link: str) -> int:
        with namespaces.opened(self.name) as switch_fd:
            seen = switches.look(switch_fd).get(link)
        return seen.index if seen else 0

    def test_a_deleted_namespace_is_made_again_with_its_containers(self) -> None:
        namespaces.remove(self.name)

        self.wait(lambda: namespaces.exists(self.name) and self.reached(), "the containers reach each other again")
        self.assert_no_strays()

    def test_deleted_entries_and_a_deleted_tunnel_come_back(self) -> None:
        def known() -> bool:
            entries = self.inside("bridge", "fdb", "show")
            return "fa:16:3e:00:ff:01" in entries and "dst 192.0.2.7" in entries and "10.1.0.250" in self.neighbours()

        self.assertTrue(known())
        self.inside("bridge", "fdb", "del", "fa:16:3e:00:ff:01", "dev", self.tunnel(), "self")
        self.inside("ip", "neigh", "del", "10.1.0.250", "dev", names.BRIDGE)
        self.assertFalse(known())
        self.wait(known, "the entries are back")
        self.inside("ip", "link", "del", self.tunnel())
        self.wait(lambda: self.tunnel() in self.inside("ip", "-o", "link"), "the tunnel is back")
        self.wait(known, "and its entries")

    def neighbours(self) -> str:
        return self.inside("ip", "neigh", "show", "nud", "permanent")

    def tunnel(self) -> str:
        return names.tunnel(self.host.cluster, self.network_id)

    def test_a_stray_that_bears_our_mark_goes_and_one_of_somebody_elses_is_only_told_of(self) -> None:
        self.inside("ip", "link", "add", "zvstray", "type", "veth", "peer", "name", "other0")
        self.inside("ip", "link", "add", "theirs0", "type", "bridge")

        self.wait(lambda: "zvstray" not in self.inside("ip", "-o", "link"), "the stray goes")

        self.assertEqual([f"{self.name}/theirs0"], self.netd.list()["foreign"])
        self.assertIn("theirs0", self.inside("ip", "-o", "link"))
        self.assertIn("zvstray has no record", self.host.log.read_text())
        self.assertTrue(self.reached())


class LookTests(PlaneTestCase):
    def test_a_look_sees_names_states_and_bridges_as_the_library_does(self) -> None:
        end = member(new_id(), 5)
        self.joined(end)
        with namespaces.opened(self.namespace(end.network_id)) as switch_fd:
            seen = switches.look(switch_fd)
            self.assertEqual(links.names(switch_fd), set(seen))
        link = seen[names.link(self.host.cluster, end.port_id)]
        self.assertEqual((True, seen[names.BRIDGE].index), (link.is_up, link.master))
        self.assertEqual(0, seen[names.BRIDGE].master)

    def test_nobody_is_found_by_an_id_that_no_control_group_bears(self) -> None:
        self.assertEqual({}, processes.of_containers([new_id().replace("-", "") * 2]))
