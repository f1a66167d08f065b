# SPDX-License-Identifier: Apache-2.0
"""What comes and goes with a container leaves nothing over: counted."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from typing import Any

from tests.system.netd.host import new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from zun_lite.domain.plane import PortState
from zun_lite.netd import names, namespaces

ELSEWHERE = "192.0.2.7"


class LeakTests(PlaneTestCase):
    lives = 20
    settings = "[netd]\ninterval_seconds = 1\n"
    grown_kib = 16 * 1024

    def setUp(self) -> None:
        super().setUp()
        # tunnels are the machine's own, as others' of other tests are
        self.vni = random.randrange(1 << 20, 1 << 24)
        self.network_id = new_id()
        self.group_id = self.group(*EVERYTHING)
        ends = [member(self.network_id, last, vni=self.vni) for last in (5, 6)]
        self.networks["one"] = network(self.network_id, [port(end, self.group_id) for end in ends], self.vni)
        self.give()
        for end in ends:
            self.joined(end)
        self.give()

    def test_lives_with_planes_leave_nothing(self) -> None:
        self.live(0)
        before, memory_kib, began = self.everything(), self.memory_kib(), time.monotonic()
        most = {name: 0 for name in ("elements", "forwarding", "neighbours", "links", "connections")}
        for number in range(self.lives):
            self.live(number, most if number < 2 else None)
        after, took, grown = self.everything(), time.monotonic() - began, self.memory_kib() - memory_kib

        print(f"{self.lives} lives in {took:.1f} s; netd's memory was {memory_kib} KiB, grew by {grown}; {after}")
        self.assertEqual(before, after)
        self.assert_no_strays()
        self.assertLess(grown, self.grown_kib)
        for name, count in most.items():
            # the counters do see what a life brings
            self.assertGreater(count, before[name], name)

    def live(self, number: int, most: dict[str, Any] | None = None) -> None:
        """A container comes, with a plane, limits, names and every other time a tunnel to a neighbour; and goes."""
        end = member(self.network_id, 20 + number % 200, vni=self.vni)
        mate = member(new_id(), 5, vni=self.vni - 1)
        far = PortState(new_id(), "fa:16:3e:00:ff:01", ("10.1.0.250", "fd00:1::fa"), vtep=ELSEWHERE)
        container = self.joined(end, mate)
        states = [port(end, self.group_id, kbps_out=20_000, names=(f"c{number}",)), far]
        base = self.networks["one"].ports[:2]
        self.networks["one"] = network(self.network_id, [*base, *states], self.vni)
        self.networks["two"] = network(mate.network_id, [port(mate, self.group_id)], self.vni - 1)
        self.give(vtep="127.0.0.1" if number % 2 == 0 else None)
        # its own address on the other network is .5
        self.assertTrue(container.can_ping("10.1.0.6"))
        if most is not None:
            seen = self.everything(settled=False)
            most.update({name: max(count, seen[name]) for name, count in most.items()})
        self.netd.unplug(container.container_id)
        container.end()
        del self.networks["two"]
        self.networks["one"] = network(self.network_id, base, self.vni)
        self.give()

    def everything(self, *, settled: bool = True) -> dict[str, Any]:
        """What could be left over, in the kernel, on the disk and in netd."""
        assert self.host.process is not None
        store = self.host.state_dir / "netd"
        mine = names.namespace_prefix(self.host.cluster)
        with open("/proc/self/mountinfo") as mounts:
            mounted = sum(1 for line in mounts if mine in line)
        return {
            "namespaces": namespaces.names(mine),
            "mounts": mounted,
            "elements": self.elements(),
            "links": self.count("ip", "-o", "link"),
            # but for what the bridges learn of those that stay
            "forwarding": self.count("bridge", "fdb", "show", "state", "permanent")
            + self.count("bridge", "fdb", "show", "state", "static"),
            "neighbours": self.count("ip", "neigh", "show", "nud", "permanent"),
            "connections": self.forgotten() if settled else self.connections(),
            "files": sum(len(found) for _, _, found in os.walk(store)),
            "descriptors": self.descriptors(self.host.process.pid) // 4,
            "threads": len(os.listdir(f"/proc/{self.host.process.pid}/task")),
        }

    @staticmethod
    def descriptors(pid: int) -> int:
        """The fewest within a moment, as netd holds some that long after a change of rules."""
        until, fewest = time.monotonic() + 0.3, sys.maxsize
        while time.monotonic() < until:
            fewest = min(fewest, len(os.listdir(f"/proc/{pid}/fd")))
            time.sleep(0.01)
        return fewest

    def elements(self) -> int:
        """Of all sets and maps, and the chains and rules themselves, in the namespaces of this cluster."""
        count = 0
        for name in namespaces.names(names.namespace_prefix(self.host.cluster)):
            listed = self.inside(name, "nft", "-j", "list", "ruleset")
            for item in json.loads(listed)["nftables"]:
                body = next(iter(item.values()))
                count += 1 + (len(body.get("elem", ())) if isinstance(body, dict) else 0)
        return count

    def forgotten(self) -> int:
        """Connections that are remembered still, after a look or two."""
        until = time.monotonic() + 5.0
        while (count := self.connections()) and time.monotonic() < until:
            time.sleep(0.1)
        return count

    def connections(self) -> int:
        """That the kernel remembers, over the namespaces of this cluster."""
        counted = "/proc/sys/net/netfilter/nf_conntrack_count"
        mine = namespaces.names(names.namespace_prefix(self.host.cluster))
        return sum(int(self.inside(name, "cat", counted)) for name in mine)

    def count(self, *command: str) -> int:
        """Lines that a command prints, over the namespaces of this cluster."""
        return sum(
            len(self.inside(name, *command).splitlines())
            for name in namespaces.names(names.namespace_prefix(self.host.cluster))
        )

    def inside(self, name: str, *command: str) -> str:
        return subprocess.run(
            ["ip", "netns", "exec", name, *command], capture_output=True, text=True, check=True
        ).stdout

    def memory_kib(self) -> int:
        """Resident memory of netd."""
        assert self.host.process is not None
        with open(f"/proc/{self.host.process.pid}/status") as status:
            found = re.search(r"VmRSS:\s+(\d+)", status.read())
        assert found is not None
        return int(found[1])
