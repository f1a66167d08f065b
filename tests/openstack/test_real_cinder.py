# SPDX-License-Identifier: Apache-2.0
"""Volumes of a real Cinder: cinder-api, cinder-scheduler and cinder-volume, with RabbitMQ, and our identity service."""

from __future__ import annotations

from tests.cinder_cases import CinderCases, give_service_role, use_cinder
from tests.door import Door
from tests.functional.case import CloudTestCase
from tests.openstack.real_cinder import RealCinder


class VolumesOfARealCinder(CinderCases, CloudTestCase):
    crash_points = True
    host_points = (*CinderCases.host_points, "netd.format.noted", "netd.format.made")

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        give_service_role(cls.cloud)
        cls.real = cls.enterClassContext(
            RealCinder(f"{cls.cloud.url}/identity", ("admin", cls.cloud.password("admin")))
        )
        cls.cinder_url = cls.real.url
        cls.door = Door(cls.real.port)
        cls.addClassCleanup(cls.door.shut)
        use_cinder(cls.cloud, f"http://127.0.0.1:{cls.door.port}/v3", str(cls.real.volumes))

    def cinder_log(self) -> list[str]:
        return self.real.log(last=10_000_000).splitlines()

    def test_a_volume_that_holds_something_else_is_refused_and_left_as_it_is(self):
        volume_id = self.make_volume("foreign")
        path = self.real.volumes / f"volume-{volume_id}"
        with path.open("r+b") as file:
            file.write(b"what a machine wrote here")
        uuid = self.cloud.run_container("foreign", mounts=[{"source": volume_id, "destination": "/data"}])
        self.addCleanup(self.delete, uuid)
        record = self.cloud.wait_status(uuid, "Error")
        self.assertIn("neither xfs nor ext4", record["status_reason"])
        with path.open("rb") as file:
            self.assertEqual(b"what a machine wrote here", file.read(25))

    def test_a_user_cannot_end_the_attachment_of_a_container(self):
        volume_id = self.make_volume("held")
        self.mounting("held", volume_id)
        (attachment,) = self.attachments(volume_id)
        answer = self.cinder("DELETE", f"/attachments/{attachment['id']}")
        self.assertGreaterEqual(answer.status_code, 400)
        self.assertEqual(1, len(self.attachments(volume_id)))
