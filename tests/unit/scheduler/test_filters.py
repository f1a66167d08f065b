# SPDX-License-Identifier: Apache-2.0
"""Which hosts may take a workload, and the reason against the others."""

import unittest

from zun_lite.domain.resources import Ratios, Resources
from zun_lite.scheduler.choose import choose
from zun_lite.scheduler.filters import Candidate, Request, check, sift

RATIOS = Ratios(cpu=1, memory=1, disk=1)
SMALL = Request(Resources(1, 100, 1))

NOTHING = Resources()


def host(name="a", state="ready", disabled=False, problem=None, used=NOTHING, **more):
    return Candidate(name, name, state, disabled, problem, Resources(4, 1000, 10), used, **more)


class FiltersTest(unittest.TestCase):
    def test_a_ready_host_with_room_passes(self):
        self.assertIsNone(check(host(), SMALL, RATIOS))

    def test_each_reason_is_told(self):
        cases = {
            "its state is unknown": host(state="unknown"),
            "it is disabled": host(disabled=True),
            "an operator said that it is down": host(forced_down=True),
            "it has a problem: docker is down": host(problem="docker is down"),
            "it lacks memory": host(used=Resources(0, 950, 0)),
            "it lacks cpu, memory, disk": host(used=Resources(4, 1000, 10)),
        }
        for reason, candidate in cases.items():
            self.assertEqual(reason, check(candidate, SMALL, RATIOS))

    def test_a_user_may_say_where(self):
        here = {"zone": "east", "runtimes": ("runc", "kata"), "labels": ("disk=fast", "rack=3")}
        for wish, reason in (
            ({"host": "b"}, "another host was asked for"),
            ({"zone": "west"}, "its zone is east"),
            ({"runtime": "gvisor"}, "it has no runtime gvisor"),
            ({"labels": ("disk=fast", "rack=4")}, "it is not labelled rack=4"),
        ):
            self.assertEqual(reason, check(host(**here), Request(SMALL.claim, **wish), RATIOS))
        wish = {"host": "a", "zone": "east", "runtime": "kata", "labels": ("rack=3",)}
        self.assertIsNone(check(host(**here), Request(SMALL.claim, **wish), RATIOS))

    def test_dedicated_cpus_are_never_promised_twice(self):
        wanted = Request(Resources(1, 100, 1, dedicated_cpus=2))
        ratios = Ratios(cpu=16)
        self.assertIsNone(check(host(used=Resources(9, 0, 0, 2)), wanted, ratios))
        self.assertEqual("it lacks dedicated CPUs", check(host(used=Resources(3, 0, 0, 3)), wanted, ratios))

    def test_a_volume_pins_its_workload(self):
        self.assertEqual("the volume is on another host", check(host("a"), Request(SMALL.claim, pinned="b"), RATIOS))

    def test_each_filter_says_how_many_hosts_it_left_and_which_it_took_out_up_to_the_last(self):
        hosts = [host("a", state="unknown"), host("b", zone="east"), host("c", zone="west"), host("d", disabled=True)]
        found = sift(hosts, Request(SMALL.claim, zone="north"), RATIOS)
        self.assertEqual(
            [("is ready", 3), ("is enabled", 2), ("is in the zone", 0)],
            [(each.name, each.left) for each in found if each.refused],
        )
        self.assertEqual("is in the zone", found[-1].name)
        self.assertEqual((("b", "its zone is east"), ("c", "its zone is west")), found[-1].refused)
        self.assertEqual(2, sift(hosts, SMALL, RATIOS)[-1].left)

    def test_no_ratio_promises_one_workload_more_memory_than_the_host_has(self):
        self.assertEqual("it lacks memory", check(host(), Request(Resources(1, 1001, 0)), Ratios(1, 2, 1)))


class ChooseTest(unittest.TestCase):
    def test_the_emptiest_host_comes_first(self):
        full, empty = host("full", used=Resources(3, 0, 0)), host("empty")
        self.assertEqual(["empty", "full"], [found.name for found in choose([full, empty], SMALL, RATIOS)])

    def test_hosts_that_will_not_do_are_left_out(self):
        self.assertEqual([], choose([host(state="initializing")], SMALL, RATIOS))
