# SPDX-License-Identifier: Apache-2.0
"""Volumes through losses, again and again: what was written is there, once, and nothing is left over."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.system.netd.host import new_id
from tests.system.netd.test_pool import PoolTestCase
from zun_lite.netd import kernel, loops, mounts


class VolumeCycleTests(PoolTestCase):
    """A cycle writes, loses something, and compares all that was ever written; tests/chaos takes a hundred.

    Lost are: the container (a process with the volume bound in its own mount namespace), netd, the agent in the
    middle of a snapshot, and the machine (programs, mounts and loop devices are gone).
    """

    cycles = 4

    def test_nothing_differs_and_nothing_is_left(self) -> None:
        volumes = {self.new_volume(fs_type): fs_type for fs_type in ("xfs", "ext4")}
        written: dict[str, dict[str, bytes]] = {volume_id: {} for volume_id in volumes}
        differences = 0
        losses = (self.lose_container, self.lose_netd, self.lose_agent, self.lose_machine)
        for cycle in range(self.cycles):
            epoch = cycle + 1
            for volume_id, fs_type in volumes.items():
                source = self.attached(volume_id, epoch, fs_type=fs_type)
                content = os.urandom(64 * 1024 + cycle)
                with open(source / str(cycle), "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                written[volume_id][str(cycle)] = content
            losses[cycle % len(losses)](list(volumes))
            for volume_id, fs_type in volumes.items():
                source = self.attached(volume_id, epoch, fs_type=fs_type)
                names = sorted(os.listdir(source))
                differences += names != sorted(written[volume_id])
                differences += sum(
                    Path(source, name).read_bytes() != content for name, content in written[volume_id].items()
                )
                self.host.client.detach(volume_id, epoch)
            self.assertEqual((0, [], []), (differences, self.loops(), self.mounted()), f"after cycle {cycle}")
            self.assert_no_strays()
        for volume_id in volumes:
            self.host.pool.destroy(volume_id)
        for snapshot_id in self.host.pool.contents().snapshots:
            self.host.pool.destroy_snapshot(snapshot_id)
        self.assertEqual([], os.listdir(self.host.pool_dir))

    def assert_no_strays(self) -> None:
        strays = self.host.client.list()["strays"]
        self.assertEqual(([], []), (strays["loops"], strays["mounts"]))

    def mounted(self) -> list[str]:
        return [mount.point for mount in mounts.here() if mount.point.startswith(f"{self.host.state_dir}/")]

    def lose_container(self, volumes: list[str]) -> None:
        for volume_id in volumes:
            source = f"{self.host.mount_dir}/{volume_id}/data"
            child = os.fork()
            if child == 0:
                os.chdir(source)
                signal.pause()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def lose_netd(self, volumes: list[str]) -> None:
        self.host.kill()
        self.host.start()

    def lose_agent(self, volumes: list[str]) -> None:
        for volume_id in volumes:
            snapshot_id = new_id()
            self.host.arm("agent.pool.frozen")
            self.assertEqual(-9, self.host.call("snapshot", snapshot_id, volume_id))
            self.assertEqual(0, self.host.call("snapshot", snapshot_id, volume_id))

    def lose_machine(self, volumes: list[str]) -> None:
        """As after a reboot: netd's records stand, and what they stand for is gone."""
        self.host.kill()
        for point in self.mounted():
            kernel.unmount(point)
        for loop in loops.in_use():
            if loop.file_name.startswith(f"{self.host.state_dir}/"):
                loops.free(loop.node)
        self.assertEqual([], self.loops())
        self.host.start()
        mounted = {volume["volume_id"] for volume in self.host.client.list()["volumes"] if volume["mounted"]}
        self.assertEqual(set(volumes), mounted, "what a reboot took away did not come back")
