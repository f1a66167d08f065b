# SPDX-License-Identifier: Apache-2.0
"""netd killed at each of its crash points: the operation can be repeated and nothing is left over."""

from __future__ import annotations

from pathlib import Path

from tests.system.netd.host import Container, NetdTestCase, attachment, endpoint, new_id
from tests.system.netd.planes import EVERYTHING, OUTWARD, network, port
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.domain.plane import GroupState, HostPlane
from zun_lite.domain.wiring import Endpoint

PLUG = ("netd.store.before", "netd.store.after")
PREPARE = ("netd.prepare", "netd.own.after", "netd.loop.after", "netd.mount.after")
WIRE = ("netd.wire.begin", "netd.wire.veth", "netd.wire.end")
PLANE = ("netd.plane.stored", "netd.plane.network", "netd.plane.end")
UNPLUG = ("netd.unplug.begin", "netd.unplug.end")
DETACH = ("netd.detach.begin", "netd.umount.after", "netd.detach.end")


class CrashPointTests(NetdTestCase):
    """One container's whole life for each point, beside a neighbour that must not notice."""

    def test_every_point_of_netd_stands_in_a_test(self) -> None:
        named = {point for point in crash.POINTS if point.startswith("netd.")}

        self.assertEqual(named, {*PLUG, *PREPARE, *WIRE, *PLANE, *UNPLUG, *DETACH})

    def test_plug_can_be_repeated(self) -> None:
        self.check(PLUG)

    def test_prepare_can_be_repeated(self) -> None:
        self.check(PREPARE)

    def test_wire_can_be_repeated(self) -> None:
        self.check(WIRE)

    def test_a_plane_can_be_given_again_and_holds_already_at_the_next_start(self) -> None:
        network_id = new_id()
        ends = [endpoint(network_id, f"10.1.0.{last}") for last in (5, 6)]
        first, _ = (self.wired(end) for end in ends)
        for number, point in enumerate(PLANE):
            for rules in (OUTWARD, EVERYTHING):
                group = GroupState(new_id(), rules)
                states = [port(end, group.group_id) for end in ends]
                plane = HostPlane(number, networks=(network(network_id, states),), groups=(group,))
                self.host.arm(point)
                self.survive(lambda plane=plane: self.netd.plane(plane))
                self.assertTrue(self.host.was_hit(point), point)
                self.assertEqual(rules is EVERYTHING, first.can_ping("10.1.0.6"), point)

    def wired(self, end: Endpoint) -> Container:
        container = self.container()
        self.netd.plug(container.container_id, new_id(), 1, [end], [])
        self.netd.ask("wire", container_id=container.container_id, pid=container.pid)
        return container

    def test_unplug_can_be_repeated(self) -> None:
        self.check(UNPLUG)

    def test_detach_can_be_repeated(self) -> None:
        self.check(DETACH)

    def test_attach_alone_can_be_repeated(self) -> None:
        for point in ("netd.own.after", "netd.loop.after", "netd.mount.after"):
            volume, path = attachment(), str(self.host.volume_file(320))
            self.host.arm(point)
            source = self.survive(lambda v=volume, p=path: self.netd.attach(v, p))
            self.assertTrue(self.host.was_hit(point), point)
            self.assertTrue(Path(source).is_dir())
            self.assert_no_strays()
            self.netd.detach(volume.volume_id, 1)
            self.assertEqual([], self.netd.list()["volumes"])

    def check(self, points: tuple[str, ...]) -> None:
        network_id = new_id()
        neighbour = self.container()
        self.netd.plug(neighbour.container_id, new_id(), 1, [endpoint(network_id, "10.1.0.9")], [])
        self.netd.ask("wire", container_id=neighbour.container_id, pid=neighbour.pid)
        volume, path = attachment(), str(self.host.volume_file(320))
        for point in points:
            self.host.arm(point)
            self.live_through(network_id, neighbour, volume, path)
            self.assertTrue(self.host.was_hit(point), f"{point} was not hit")
            self.assert_no_strays()
            self.assertEqual(([neighbour.container_id], []), self.what_is_known())

    def live_through(self, network_id: str, neighbour: Container, volume, path: str) -> None:
        container = self.container()
        container_id, workload, end = container.container_id, new_id(), endpoint(network_id, "10.1.0.5")
        self.survive(lambda: self.netd.plug(container_id, workload, 1, [end], [(volume, path)]))
        sources = self.survive(lambda: self.netd.ask("prepare", container_id=container_id))["sources"]
        self.assertTrue(Path(sources[volume.volume_id]).is_dir())
        self.survive(lambda: self.netd.ask("wire", container_id=container_id, pid=container.pid))
        self.assertTrue(neighbour.can_ping("10.1.0.5"))
        self.survive(lambda: self.netd.unplug(container_id))
        self.survive(lambda: self.netd.detach(volume.volume_id, 1))
        self.assertFalse(neighbour.can_ping("10.1.0.5"))

    def survive(self, operation):
        """The operation's answer; asked a second time, of a netd started anew, if netd died of it."""
        try:
            return operation()
        except errors.Unavailable:
            assert self.host.process is not None
            self.assertEqual(-9, self.host.process.wait(20))
            self.host.start()
            self.assert_no_strays()
            return operation()

    def what_is_known(self) -> tuple[list[str], list[str]]:
        listed = self.netd.list()
        return [record["container_id"] for record in listed["records"]], listed["volumes"]
