# SPDX-License-Identifier: Apache-2.0
"""Volumes of a Cinder, where that Cinder is the API that the cloud itself serves. tests/openstack has the real one."""

from __future__ import annotations

from tests.cinder_cases import CinderCases, give_service_role, use_cinder
from tests.door import Door
from tests.functional.case import CloudTestCase


class CinderOfOurOwn(CinderCases, CloudTestCase):
    """A sample of the points; tests/openstack has them all."""

    crash_points = True
    controller_points = ("controller.cinder.connected",)
    host_points = ("netd.connect.after",)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        give_service_role(cls.cloud)
        cls.door = Door(cls.cloud.port)
        cls.addClassCleanup(cls.door.shut)
        cls.cinder_url = f"{cls.cloud.url}/volume/v3"
        use_cinder(cls.cloud, f"http://127.0.0.1:{cls.door.port}/volume/v3", "")

    def cinder_log(self) -> list[str]:
        return (self.cloud.state_dir / "log" / "api.log").read_text().splitlines()
