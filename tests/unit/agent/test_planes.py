# SPDX-License-Identifier: Apache-2.0
"""What netd is given of networks, and when: before a container is connected, and at every change."""

from __future__ import annotations

import unittest

from tests.unit.agent.fakes import FakeApi, FakeNetd, a_workload
from tests.unit.agent.test_loop import AgentBase
from zun_lite.agent.planes import Planes
from zun_lite.domain import errors


class PlanesTest(unittest.TestCase):
    def setUp(self) -> None:
        self.api, self.netd, self.connected = FakeApi(), FakeNetd(), True
        self.planes = Planes(self.api, self.netd, lambda: self.connected, 30.0)

    def test_ports_that_netd_knows_are_asked_for_once(self):
        workload = a_workload()
        self.api.put(workload)
        self.planes.require(workload.wiring.ports)
        self.planes.require(workload.wiring.ports)
        self.assertEqual(["fetch_plane"], self.api.calls)
        self.assertEqual(1, len(self.netd.planes))
        self.planes.require(())

    def test_a_port_that_the_api_does_not_tell_holds_the_container_up(self):
        self.assertRaises(errors.Unavailable, self.planes.require, ("unknown",))

    def test_an_api_that_is_away_for_a_moment_holds_it_up_and_one_that_is_silent_for_long_does_not(self):
        self.api.away = True
        self.assertRaises(errors.Unavailable, self.planes.require, ("unknown",))
        self.connected = False
        self.planes.require(("unknown",))
        self.assertEqual([], self.netd.planes)

    def test_a_netd_that_refuses_is_asked_again(self):
        workload = a_workload()
        self.api.put(workload)
        self.netd.refusals["plane"] = [errors.Failed("not now")]
        self.assertRaises(errors.Failed, self.planes.require, workload.wiring.ports)
        self.planes.require(workload.wiring.ports)
        self.assertEqual(1, len(self.netd.planes))

    def test_a_netd_that_lost_its_plane_is_given_it_again(self):
        workload = a_workload()
        self.api.put(workload)
        self.planes.require(workload.wiring.ports)
        self.netd.planes.clear()
        self.assertRaises(errors.Unavailable, self.planes.require, ("unknown",))
        self.assertEqual(1, len(self.netd.planes))
        self.assertRaises(errors.Unavailable, self.planes.require, ("unknown",))
        self.assertEqual(1, len(self.netd.planes))


class AgentPlanesTest(AgentBase):
    def given(self, *port_ids: str) -> bool:
        planes = list(self.netd.planes)
        return bool(planes) and set(port_ids) == {
            port.port_id for network in planes[-1].networks for port in network.ports
        }

    def test_netd_knows_a_containers_ports_before_it_connects_it(self):
        agent, workload = self.start(), a_workload()
        order: list[str] = []
        plane, plug = self.netd.plane, self.netd.plug

        def note_plane(given):
            order.append("plane" if given.networks else "empty")
            return plane(given)

        def note_plug(*arguments):
            order.append("plug")
            return plug(*arguments)

        self.netd.plane, self.netd.plug = note_plane, note_plug
        self.follow(agent, workload, "running")
        self.assertLess(order.index("plane"), order.index("plug"))

    def test_a_nudge_brings_a_change_and_a_heartbeat_one_whose_nudge_was_lost(self):
        agent, first = self.start(heartbeat_seconds=0.05), a_workload()
        self.follow(agent, first, "running")
        second = a_workload()
        self.api.put(second)
        self.assertTrue(
            self.api.wait_for(lambda: self.given(*first.wiring.ports, *second.wiring.ports)), self.netd.planes
        )
