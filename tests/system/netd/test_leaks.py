# SPDX-License-Identifier: Apache-2.0
"""What comes and goes with a container leaves nothing over: counted."""

from __future__ import annotations

import os
import subprocess

from tests.system.netd.host import new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from zun_lite.netd import names, namespaces


class LeakTests(PlaneTestCase):
    lives = 50

    def setUp(self) -> None:
        super().setUp()
        self.network_id = new_id()
        self.group_id = self.group(*EVERYTHING)
        ends = [member(self.network_id, last) for last in (5, 6)]
        self.networks["one"] = network(self.network_id, [port(end, self.group_id) for end in ends])
        self.give()
        for end in ends:
            self.joined(end)
        self.give()

    def test_lives_with_planes_leave_nothing(self) -> None:
        before = self.everything()
        for number in range(self.lives):
            end = member(self.network_id, 20 + number % 200)
            mate = member(new_id(), 5)
            container = self.joined(end, mate)
            states = [port(end, self.group_id, kbps_out=20_000, names=(f"c{number}",))]
            self.networks["one"] = network(self.network_id, [*self.networks["one"].ports[:2], *states])
            self.networks["two"] = network(mate.network_id, [port(mate, self.group_id)], vni=2000)
            self.give(vtep="127.0.0.1" if number % 2 else None)
            self.netd.unplug(container.container_id)
            container.end()
        del self.networks["two"]
        self.networks["one"] = network(self.network_id, self.networks["one"].ports[:2])
        self.give()

        self.assertEqual(before, self.everything())
        self.assert_no_strays()

    def everything(self) -> dict[str, object]:
        """What could be left over: namespaces, links, rules, descriptors, processes of netd."""
        assert self.host.process is not None
        namespace = self.namespace(self.network_id)
        run = ["ip", "netns", "exec", namespace]
        rules = subprocess.run([*run, "nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        links = subprocess.run([*run, "ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
        return {
            "namespaces": namespaces.names(names.namespace_prefix(self.host.cluster)),
            "rules": sum(1 for line in rules.splitlines() if "limit rate" not in line),
            "links": sorted(line.split(": ")[1] for line in links.splitlines()),
            "descriptors": len(os.listdir(f"/proc/{self.host.process.pid}/fd")) // 4,
        }
