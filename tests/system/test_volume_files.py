# SPDX-License-Identifier: Apache-2.0
"""`zun-lite volume export` and `import`, on a whole cloud."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.functional.case import CloudTestCase

# one file after another, each with its checksum in its name once it is whole
WRITER = (
    "i=0; while :; do head -c 300000 /dev/urandom > /data/new; s=$(sha256sum /data/new | cut -c1-64); "
    "sync /data/new; mv /data/new /data/$s; i=$((i+1)); [ $i -gt 40 ] && { rm -f /data/[0-7]*; i=0; }; done"
)


class VolumeFilesTests(CloudTestCase):
    crash_points = True

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.cloud.make_network()
        cls.cloud.make_network(cloud="admin")

    def setUp(self) -> None:
        super().setUp()
        self.file = self.cloud.folder / f"{self.id().rpartition('.')[2]}.volume"
        self.addCleanup(self.file.unlink, missing_ok=True)

    def export(self, volume: str, *, check: bool = True) -> str:
        return self.cloud.command("volume", "export", volume, str(self.file), check=check)

    def bring(self, *options: str, project: str = "admin", check: bool = True) -> str:
        return self.cloud.command("volume", "import", str(self.file), "--project", project, *options, check=check)

    def volumes(self, cloud: str = "admin") -> dict[str, str]:
        return {
            item["name"]: item["id"] for item in self.cloud.ask("GET", "/volume/v3/volumes", cloud=cloud)["volumes"]
        }

    def delete_volume(self, volume_id: str, cloud: str = "admin") -> None:
        self.cloud.ask("DELETE", f"/volume/v3/volumes/{volume_id}", cloud=cloud)
        path = f"/volume/v3/volumes/{volume_id}"
        self.cloud.wait(lambda: self.cloud.call("GET", path, cloud=cloud).status_code == 404, "the volume is gone")

    def full(self, name: str) -> tuple[str, str]:
        """The id of a volume, and of a container that has written to it."""
        volume_id = self.cloud.make_volume(name=name)
        made = self.running(name, mounts=[{"source": volume_id, "destination": "/data"}])
        self.assertEqual(0, self.execute(made["uuid"], f"sh -c 'echo {name} > /data/file'")[0])
        return volume_id, made["uuid"]

    def pool(self) -> set[str]:
        return {path.name for path in (self.cloud.state_dir / "volumes").iterdir()}

    def test_one_moment_of_a_volume_that_is_written_all_the_time_comes_back_in_another_project(self):
        volume_id = self.cloud.make_volume(name="busy")
        mounts = [{"source": volume_id, "destination": "/data"}]
        writer = self.running("writer", command=["sh", "-c", WRITER], mounts=mounts)
        count = "sh -c 'ls /data | grep -c .'"
        self.cloud.wait(lambda: int(self.execute(writer["uuid"], count)[1]) > 8, "the writer writes")
        before = self.pool()
        said = self.export("busy")
        self.assertIn("1 GiB", said)
        self.assertEqual(before, self.pool())
        self.assertEqual(0o600, self.file.stat().st_mode & 0o777)
        self.bring("--name", "restored")
        restored = self.volumes()["restored"]
        mounts = [{"source": restored, "destination": "/data"}]
        reader = self.running("reader", cloud="admin", mounts=mounts)
        script = (
            "n=0; for f in /data/????????????????*; do [ $(sha256sum $f | cut -c1-64) = ${f#/data/} ] || exit 9; "
            "n=$((n+1)); done; echo $n"
        )
        code, output = self.execute(reader["uuid"], f"sh -c '{script}'", cloud="admin")
        self.assertEqual(0, code, output)
        self.assertGreater(int(output), 3)
        self.delete(reader["uuid"])
        self.delete_volume(restored)

    def test_a_damaged_or_a_cut_file_is_refused_before_anything_is_made(self):
        volume_id, _ = self.full("whole")
        self.export(volume_id)
        whole = self.file.read_bytes()
        before = (self.volumes(), self.pool())
        middle = len(whole) // 2
        for content in (whole[:middle], whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):
            self.file.write_bytes(content)
            said = self.bring(check=False)
            self.assertRegex(said, r"^zun-lite: .* is no exported volume, or it is damaged: .*\.\n$")
            self.assertEqual(before, (self.volumes(), self.pool()))
        self.file.write_bytes(whole)
        self.bring()
        self.delete_volume(self.volumes()["whole"])

    def test_refusals_are_one_sentence_each(self):
        volume_id, _ = self.full("refusals")
        self.assertRegex(self.export("nowhere", check=False), r"^zun-lite: There is no volume nowhere\.\n$")
        empty = self.cloud.make_volume(name="empty")
        self.assertRegex(self.export(empty, check=False), r"^zun-lite: Volume .* holds nothing to export\.\n$")
        self.export(volume_id)
        self.assertRegex(self.export(volume_id, check=False), r"^zun-lite: .* is there already; .*\n$")
        self.assertRegex(self.bring(project="nobody", check=False), r"^zun-lite: There is no project nobody\.\n$")
        self.assertEqual([], [path for path in self.file.parent.iterdir() if path.suffix == ".part"])

    def test_a_project_over_its_quota_gets_nothing(self):
        volume_id, _ = self.full("quota")
        self.export(volume_id)
        project = self.cloud.ask("GET", "/identity/v3/projects?name=admin", cloud="admin")["projects"][0]["id"]
        path = f"/volume/v3/os-quota-sets/{project}"
        self.cloud.ask("PUT", path, {"quota_set": {"volumes": len(self.volumes())}}, cloud="admin")
        before = self.pool()
        self.assertRegex(self.bring(check=False), r"^zun-lite: Maximum number of volumes allowed .*\n$")
        self.assertEqual(before, self.pool())
        self.cloud.ask("PUT", path, {"quota_set": {"volumes": 100}}, cloud="admin")
        self.bring()
        self.delete_volume(self.volumes()["quota"])

    def test_an_import_that_is_cut_off_leaves_a_whole_volume_or_in_the_end_none(self):
        volume_id, _ = self.full("cut")
        self.export(volume_id)
        before = self.pool()
        self.cloud.arm_point("volume.import.filled")
        self.bring(check=False)
        self.assertTrue(self.cloud.was_hit("volume.import.filled"))
        self.assertNotIn("cut", self.volumes())
        self.cloud.arm_point("volume.import.recorded")
        self.bring(check=False)
        self.assertTrue(self.cloud.was_hit("volume.import.recorded"))
        kept = self.volumes()["cut"]
        self.bring("--name", "next")
        names = [name for name in self.pool() - before if name.endswith(".img")]
        self.assertEqual({f"{kept}.img", f"{self.volumes()['next']}.img"}, set(names))
        self.assertFalse([name for name in self.pool() if "importing" in name or ".tmp" in name])
        for volume_id in (kept, self.volumes()["next"]):
            self.delete_volume(volume_id)

    def test_an_export_that_is_killed_leaves_nothing_in_the_pool(self):
        volume_id, uuid = self.full("killed")
        self.assertEqual(0, self.execute(uuid, "sh -c 'head -c 200000000 /dev/urandom > /data/large; sync'")[0])
        before = self.pool()
        words = [sys.executable, "-m", "zun_lite.cmd.up", "volume", "export", volume_id, str(self.file)]
        process = subprocess.Popen(words, env=self.cloud.environment, stdin=subprocess.DEVNULL)
        part = Path(f"{self.file}.part")
        self.addCleanup(part.unlink, missing_ok=True)
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 4096) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
        process.wait()
        self.assertFalse(self.file.exists())
        self.assertEqual(before, self.pool())
        self.export(volume_id)
