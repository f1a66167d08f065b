# SPDX-License-Identifier: Apache-2.0
"""What `zun-lite clean` removes of an installation's folders, and what is not its own to remove."""

from __future__ import annotations

import fcntl
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from zun_lite.cmd import clean, installation


class CleanTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.state_dir = self.folder / "state"
        for name in ("run", "log", "volumes", "mounts"):
            (self.state_dir / name).mkdir(parents=True)
        (self.state_dir / ".zun_lite").touch()
        self.commands: list[list[str]] = []

    def clean(self, pool: Path, shared: str = "", mounted: tuple[str, ...] = (), loops: tuple = ()) -> str:
        """What it says."""
        pool.mkdir(parents=True, exist_ok=True)
        (pool / "volume.img").write_text("data")
        lines = ["[DEFAULT]", "cluster = nobodys", "[volume]", f"pool_dir = {pool}", "[agent]"]
        lines += ["docker_socket = /nowhere/docker.sock", f"pool_shared = {shared}" if shared else ""]
        lines += ["[netd]", f"libnetwork_dir = {self.folder}", "libnetwork_name = ours"]
        (self.state_dir / "zun_lite.conf").write_text("\n".join(lines))
        said: list[str] = []
        with (
            mock.patch.object(clean, "_mount_points", lambda: list(mounted)),
            mock.patch.object(clean, "_loop_devices", lambda: list(loops)),
            mock.patch.object(clean, "_run", lambda command, _: self.commands.append(command)),
        ):
            clean.clean(installation.read(str(self.state_dir)), said.append)
        return "\n".join(said)

    def test_the_way_out_is_closed_for_both_ip_versions(self) -> None:
        asked: list[list[str]] = []

        def output(command: list[str]) -> str:
            asked.append(command)
            return 'elements = { "zu0a1b2c3d4e5" }' if command[:3] == ["nft", "list", "set"] else ""

        with mock.patch.object(clean, "_output", output):
            self.assertIn("packet rules removed", self.clean(self.state_dir / "volumes"))
        for family, firewall in (("ip", "iptables"), ("ip6", "ip6tables")):
            self.assertIn(["nft", "delete", "table", family, "zl_nobodys"], self.commands)
            rule = ["-w", "5", "-D", "FORWARD", "-o", "zu0a1b2c3d4e5", "-j", "ACCEPT"]
            self.assertIn([firewall, *rule], asked)

    def test_a_pool_of_its_own_goes_with_everything_else(self) -> None:
        for shared in ("", "false", "False"):
            with self.subTest(shared=shared):
                self.setUp()
                said = self.clean(self.state_dir / "volumes", shared)
                self.assertFalse(self.state_dir.exists())
                self.assertIn(f"{self.state_dir} removed", said)

    def test_a_shared_pool_stays_with_all_data_wherever_it_lies(self) -> None:
        for where in ("volumes", "deep/er/pool"):
            with self.subTest(where=where):
                self.setUp()
                pool = self.state_dir / where
                said = self.clean(pool, "true")
                self.assertIn(f"{pool} is shared with other hosts and stays", said)
                self.assertEqual("data", (pool / "volume.img").read_text())
                left = {path.relative_to(self.state_dir) for path in self.state_dir.rglob("*") if path.is_file()}
                self.assertEqual({(pool / "volume.img").relative_to(self.state_dir)}, left)
                self.assertFalse(installation.exists(str(self.state_dir)))

    def test_a_pool_outside_stays_and_so_does_what_it_is_mounted_on(self) -> None:
        pool = self.folder / "pool"
        volume, other = str(pool / "volume.img"), str(self.folder / "others.img")
        mounted = (str(pool), str(self.state_dir / "mounts/a"))
        said = self.clean(pool, "true", mounted, (("/dev/loop98", volume), ("/dev/loop99", other)))
        self.assertIn(f"{pool} lies outside {self.state_dir} and stays", said)
        self.assertEqual("data", (pool / "volume.img").read_text())
        self.assertEqual([["umount", mounted[1]], ["losetup", "-d", "/dev/loop98"]], self.commands)
        self.assertFalse(self.state_dir.exists())

    def test_where_docker_asked_goes_unless_another_netd_listens_there(self) -> None:
        for locked in (True, False):
            with self.subTest(locked=locked):
                self.state_dir.mkdir(parents=True, exist_ok=True)
                (self.state_dir / ".zun_lite").touch()
                files = [self.folder / name for name in ("ours.sock", "ours.sock.lock", "theirs.sock")]
                for file in files:
                    file.touch()
                with files[1].open() as lock:
                    if locked:
                        fcntl.flock(lock, fcntl.LOCK_EX)
                    self.clean(self.state_dir / "volumes")
                self.assertEqual([locked, locked, True], [file.exists() for file in files])


if __name__ == "__main__":
    unittest.main()
