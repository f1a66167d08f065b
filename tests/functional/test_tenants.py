# SPDX-License-Identifier: Apache-2.0
"""What a tenant may count on: its network is its own, its volume outlives its containers, and what ends shows."""

from __future__ import annotations

import datetime
import os
import signal
import time

from tests.functional.case import CloudTestCase

SHOWN_WITHIN_SECONDS = 1.0


class TenantsTest(CloudTestCase):
    def test_two_projects_with_the_same_addresses_do_not_see_each_other(self):
        mine = self.cloud.make_network("10.70.0.0/24", name="same")
        theirs = self.cloud.make_network("10.70.0.0/24", name="same", cloud="admin")

        def at(address: str, network: str, cloud: str) -> str:
            nets = [{"network": network, "v4-fixed-ip": address}]
            return self.running(f"at-{address.rpartition('.')[2]}", cloud=cloud, nets=nets)["uuid"]

        here = at("10.70.0.10", mine, "demo")
        at("10.70.0.11", mine, "demo")
        at("10.70.0.12", theirs, "admin")
        double = at("10.70.0.10", theirs, "admin")

        self.assertTrue(self.reaches(here, "10.70.0.11"), "a neighbour on the same network is reached")
        self.assertTrue(self.reaches(double, "10.70.0.12"), "the other project's neighbours reach each other")
        self.assertFalse(self.reaches(here, "10.70.0.12"), "the other project's container is not there")
        self.assertFalse(self.reaches(double, "10.70.0.11"), "nor is ours for the other project")

    def test_what_is_written_to_a_volume_outlives_the_container(self):
        network = self.cloud.make_network("10.71.0.0/24", name="outlives")
        volume = self.cloud.make_volume(name="outlives")
        mounts = [{"source": volume, "destination": "/data"}]
        first = self.running("first", nets=[{"network": network}], mounts=mounts)["uuid"]
        self.assertEqual(0, self.execute(first, "sh -c 'echo kept > /data/note && sync'")[0])
        self.assertRegex(self.execute(first, "df -T /data")[1], "xfs")
        self.delete(first)
        self.assertEqual(("available", []), (self.volume(volume)["status"], self.volume(volume)["attachments"]))

        second = self.running("second", nets=[{"network": network}], mounts=mounts)["uuid"]
        self.assertEqual((0, "kept\n"), self.execute(second, "cat /data/note"))
        self.assertEqual("in-use", self.volume(volume)["status"])
        refused = self.cloud.call("DELETE", f"/volume/v3/volumes/{volume}")
        self.assertEqual(400, refused.status_code, refused.text)
        self.assertEqual((0, "kept\n"), self.execute(second, "cat /data/note"))

    def test_a_container_that_docker_restarts_comes_back_with_its_network_and_volume(self):
        network = self.cloud.make_network("10.73.0.0/24", name="restarts")
        volume = self.cloud.make_volume(name="restarts")
        uuid = self.running(
            "restarts",
            nets=[{"network": network}],
            mounts=[{"source": volume, "destination": "/data"}],
            restart_policy={"Name": "always"},
        )["uuid"]
        neighbour = self.running("neighbour", nets=[{"network": network}])["uuid"]
        self.assertEqual(0, self.execute(uuid, "touch /data/here")[0])
        before, was = self.links(uuid)["eth0"], self.one_in_docker(uuid)["State"]
        (address,) = [found["local"] for found in before["addr_info"] if found["family"] == "inet"]
        self.assertTrue(self.reaches(neighbour, address))

        def listed() -> str | None:
            answer = self.cloud.call("POST", f"/v1/containers/{uuid}/execute", {"command": "ls /data"})
            return answer.json()["output"] if answer.status_code == 200 else None

        def again(what: str) -> None:
            def look() -> bool:
                state = self.one_in_docker(uuid)["State"]
                return state["Running"] and state["Pid"] not in (0, was["Pid"])

            self.cloud.wait(look, f"it runs again after {what}")
            now = self.links(uuid)["eth0"]
            self.assertEqual(before["address"], now["address"], what)
            self.assertIn(address, [found["local"] for found in now["addr_info"]], what)
            self.assertTrue(self.reaches(neighbour, address), f"it is reached after {what}")
            # A command is refused while the cloud still shows the moment between the two lives.
            self.assertEqual("here\n", self.cloud.wait(listed, f"a command runs in it after {what}"))

        os.kill(was["Pid"], signal.SIGKILL)
        again("its process was killed")
        was = self.one_in_docker(uuid)["State"]
        self.cloud.kill("netd")
        os.kill(was["Pid"], signal.SIGKILL)
        again("its process and netd were killed")
        self.cloud.wait_status(uuid, "Running")

    def test_a_container_that_ends_by_itself_shows_within_a_second_and_stays_ended(self):
        network = self.cloud.make_network("10.72.0.0/24", name="ends")
        record = self.running("ends", nets=[{"network": network}], command=["sh", "-c", "sleep 1; exit 3"])
        uuid = record["uuid"]
        shown = self.cloud.wait(
            lambda: (found := self.cloud.container(uuid)) and found["status"] == "Stopped" and time.time(),
            "a container that ended by itself is Stopped",
        )
        state = self.one_in_docker(uuid)["State"]
        self.assertEqual(("exited", 3), (state["Status"], state["ExitCode"]))
        late = shown - moment(state["FinishedAt"])
        self.assertLess(late, SHOWN_WITHIN_SECONDS, f"Stopped was shown {late:.2f} s after the end")
        self.assertIn("Exited(3)", self.cloud.container(uuid)["status_detail"])

        other = self.running("after", nets=[{"network": network}])["uuid"]
        self.assertEqual("Stopped", self.cloud.container(uuid)["status"])
        self.assertEqual(state["StartedAt"], self.one_in_docker(uuid)["State"]["StartedAt"])
        self.assertTrue(self.one_in_docker(other)["State"]["Running"])


def moment(text: str) -> float:
    """Docker's moment, whose nanoseconds Python does not read, in seconds since the epoch."""
    whole, _, rest = text.partition(".")
    return datetime.datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{rest.rstrip('Z') or 0}")
