# SPDX-License-Identifier: Apache-2.0
"""How netd goes on making a plane so when something fails that nobody foresaw."""

from __future__ import annotations

import tempfile
import threading
import unittest
from unittest import mock

from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.domain.plane import ExternalState, GatewayState, HostPlane, RouterState
from zun_lite.netd import namespaces
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.outside import Outside
from zun_lite.netd.routers import Routers
from zun_lite.netd.store import Store


class NoNames:
    """A name service that cannot be started."""

    def start(self) -> None:
        raise OSError("no memory")

    def close(self) -> None: ...


class DataplaneTests(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-plane-")
        self.addCleanup(folder.cleanup)
        self.store = Store(folder.name)

    def a_dataplane(self) -> Dataplane:
        made = Dataplane("unit", self.store, ObjectLocks(), NoNames(), 0.01)  # type: ignore[arg-type]
        self.addCleanup(made.close)
        return made

    def test_a_plane_is_taken_though_names_cannot_be_answered(self) -> None:
        self.assertEqual({"revision": 7, "problems": []}, self.a_dataplane().accept(HostPlane(7)))

    def test_a_plane_that_cannot_be_read_is_said_to_be_lost(self) -> None:
        self.assertIsNone(self.a_dataplane().revision)
        self.store.save_plane(HostPlane(7).to_json())
        self.assertEqual(7, self.a_dataplane().revision)
        self.store.save_plane({"networks": 5})
        with self.assertLogs("zun_lite.netd.dataplane"):
            self.assertEqual(0, self.a_dataplane().revision)

    def test_no_way_out_is_opened_before_the_host_is_guarded(self) -> None:
        external = ExternalState(new_id(), ("192.0.2.1/24",))
        gateway = GatewayState(new_id(), external.network_id, "fa:16:3e:00:00:01", ("192.0.2.9/24",))
        leading_out, inner = RouterState(new_id(), gateway=gateway), RouterState(new_id())
        plane = HostPlane(7, routers=(leading_out, inner), externals=(external,))
        for refused in (False, True):
            done: list[str] = []

            def guard(*_: object, done: list[str] = done, refused: bool = refused) -> None:
                done.append("guard")
                if refused:
                    raise errors.Failed("the kernel refused packet rules")

            with (
                mock.patch.object(Outside, "guard_host", guard),
                mock.patch.object(Outside, "sync", lambda *_, done=done: done.append("sync")),
                mock.patch.object(Outside, "open_host", lambda *_, done=done: done.append("open")),
                mock.patch.object(Routers, "sync", lambda _, router, led, done=done: done.append(router.router_id)),
            ):
                problems = self.a_dataplane().accept(plane)["problems"]
            outward = [] if refused else ["sync", "open", leading_out.router_id]
            self.assertEqual(["guard", *outward, inner.router_id], done)
            self.assertEqual(2 if refused else 0, len(problems), problems)

    def test_a_look_that_broke_is_followed_by_another(self) -> None:
        self.store.save_plane(HostPlane(7).to_json())
        looked_again, looks = threading.Event(), []

        def look(prefix: str) -> list[str]:
            looks.append(prefix)
            if len(looks) == 1:
                raise RuntimeError("not foreseen")
            looked_again.set()
            return []

        with (
            mock.patch.object(namespaces, "names", look),
            self.assertLogs("zun_lite.netd.dataplane"),
        ):
            self.a_dataplane().resume()
            self.assertTrue(looked_again.wait(10))
