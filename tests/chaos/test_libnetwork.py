# SPDX-License-Identifier: Apache-2.0
"""The driver for a host's own Docker while Docker and netd die, and how long Docker takes when it is away.

Docker's own treatment of a driver that is gone is the bound here, as docs/docker-networks.md tells it.
"""

from __future__ import annotations

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

from tests.system.libnetwork_case import LibnetworkCase
from tests.system.streams import Traffic
from zun_lite.netd import names

LIVES, AT_ONCE = 200, 4
# as the page for operators says, and half as much again for a loaded machine
RUN_LIMIT_SECONDS, REMOVE_LIMIT_SECONDS, BOOT_LIMIT_SECONDS = 15 * 1.5, 60 * 1.5, 75 * 1.5


class LivesTests(LibnetworkCase):
    grace_seconds = "60"

    def test_many_lives_at_once_leave_nothing(self) -> None:
        network = self.a_network("lives")
        self.guest(network)
        self.cloud.wait(lambda: len(self.docker_ports()) == 1, "one is there")
        before = self.counted()

        def live(number: int) -> None:
            self.docker("run", "--rm", "--network", network, "demo", "ip", "addr", "show", "eth0")

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(live, range(LIVES)))
        self.cloud.wait(lambda: len(self.docker_ports()) == 1, "all but the first are given back")
        after = self.counted()
        print(f"{LIVES} lives: open files of netd {before[0]} and {after[0]}, links {before[1]} and {after[1]}")
        self.assertEqual(before[1], after[1])
        self.assertLessEqual(after[0], before[0] + 8)
        self.assertEqual([], self.cloud.audit())

    def counted(self) -> tuple[int, int]:
        """Open files of netd; links of the network's namespace and ends on their way."""
        namespace = names.namespace(self.cloud.name, self.shown["demo"])
        here = os.listdir("/sys/class/net") + self.in_dockers_namespace("ls", "/sys/class/net").split()
        ends = [name for name in here if name.startswith(names.GUEST_PREFIX)]
        inside = self.in_namespace(f"/run/netns/{namespace}", "ls", "/sys/class/net").split()
        return len(os.listdir(f"/proc/{self.cloud.pid('netd')}/fd")), len(inside) + len(ends)


class PointsTests(LibnetworkCase):
    def test_netd_killed_at_any_other_point_leaves_nothing_for_good(self) -> None:
        self.kill_at(
            "netd.store.after",
            "netd.reserve.recorded",
            "netd.reserve.answered",
            "netd.wire.veth",
            "netd.unplug.begin",
            "netd.unplug.end",
            "netd.release.end",
        )


class AwayTests(LibnetworkCase):
    def test_how_long_docker_takes_while_the_driver_is_away_is_bounded(self) -> None:
        network = self.a_network("away")
        names_of = ("removed", "restarted")
        removed, restarted = (self.guest(network, "--restart", "always", name=name) for name in names_of)
        self.cloud.down()
        starting, done = self.timed("run", "-d", "--name", "late", "--network", network, "demo", "sleep", "600")
        self.assertNotEqual(0, done.returncode)
        removing, done = self.timed("rm", "-f", removed.ident)
        self.assertEqual(0, done.returncode, done.stderr)
        self.cloud.engine.terminate()
        began = time.monotonic()
        self.cloud.engine.start(BOOT_LIMIT_SECONDS)
        booting = time.monotonic() - began
        print(f"driver away: run refused after {starting:.1f} s, rm after {removing:.1f} s, dockerd up {booting:.1f} s")
        self.assertLess(starting, RUN_LIMIT_SECONDS)
        self.assertLess(removing, REMOVE_LIMIT_SECONDS)
        self.assertLess(booting, BOOT_LIMIT_SECONDS)
        self.cloud.up()
        self.docker("start", restarted.ident)
        again = self.guest_named("restarted", network)
        self.assertTrue(again.can_ping(again.v4))
        self.cloud.wait(lambda: len(self.docker_ports()) == 1, lambda: f"one port is left of {self.docker_ports()}")
        self.docker("rm", "-f", "late", check=False)


class LiveRestoreTests(LibnetworkCase):
    live_restore = True

    def test_traffic_goes_on_whatever_is_killed_in_whatever_order(self) -> None:
        network = self.a_network("restored")
        first, second = self.guest(network, name="first"), self.guest(network, name="second")
        with Traffic(first.pid, second.pid, second.v4) as traffic:
            for order in itertools.permutations(("netd", "agent", "dockerd")):
                for program in order:
                    self.cloud.engine.kill() if program == "dockerd" else self.cloud.kill(program)
                self.cloud.engine.start()
                self.cloud.wait(self.all_answer, "all are back")
            self.assertEqual("", traffic.broken)
            sent, lost = traffic.lost_pings()
            self.assertEqual((0, True), (lost, sent > 100))
        for guest, name in ((first, "first"), (second, "second")):
            self.assertEqual(guest, self.guest_named(name, network))

    def all_answer(self) -> bool:
        return self.pid_of("netd") is not None and self.pid_of("agent") is not None and self.netd_answers()
