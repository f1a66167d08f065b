# SPDX-License-Identifier: Apache-2.0
"""netd's volumes against the real kernel: loop devices, mounts, locks."""

from __future__ import annotations

import fcntl
import os
import subprocess
from pathlib import Path

from tests.system.netd.host import NetdTestCase, attachment, new_id
from zun_lite.domain import errors
from zun_lite.netd import kernel, loops, mounts


class VolumeTestCase(NetdTestCase):
    def loops(self) -> list[loops.Loop]:
        return [loop for loop in loops.in_use() if loop.file_name.startswith(f"{self.host.state_dir}/")]

    def mounted(self) -> list[str]:
        return [mount.point for mount in mounts.here() if mount.point.startswith(f"{self.host.state_dir}/")]

    def assert_nothing_is_left(self) -> None:
        self.assertEqual([], self.loops())
        self.assertEqual([], self.mounted())
        self.assertEqual([], os.listdir(self.host.mount_dir) if self.host.mount_dir.exists() else [])
        self.assertEqual([], self.netd.list()["volumes"])
        self.assert_no_strays()

    def held_elsewhere(self, source: str) -> subprocess.Popen[bytes]:
        """A process in a mount namespace of its own, with the folder bound there as a container has it."""
        script = f"mount --bind {source} /mnt && umount -R {self.host.mount_dir}/* && echo ready && exec sleep 600"
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(b"ready\n", process.stdout.readline())
        return process


class AttachTests(VolumeTestCase):
    def test_what_is_written_is_there_again_after_detach_and_attach(self) -> None:
        for fs_type in ("xfs", "ext4"):
            with self.subTest(fs_type):
                path, volume = self.host.volume_file(fs_type=fs_type), attachment(fs_type=fs_type)
                source = self.netd.attach(volume, str(path))
                Path(source, "note").write_text("kept")
                self.netd.detach(volume.volume_id, 1)
                self.assertFalse(os.path.exists(source))

                self.assertEqual("kept", Path(self.netd.attach(volume, str(path)), "note").read_text())
                self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_the_folder_to_bind_is_in_the_volume_and_does_not_exist_without_it(self) -> None:
        volume = attachment()
        source = self.netd.attach(volume, str(self.host.volume_file()))

        self.assertEqual(f"{self.host.mount_dir}/{volume.volume_id}/data", source)
        self.assertNotEqual(os.stat(self.host.mount_dir).st_dev, os.stat(source).st_dev)
        kernel.unmount(os.path.dirname(source))
        self.assertFalse(os.path.exists(source))
        self.assertEqual(0o700, os.stat(os.path.dirname(source)).st_mode & 0o777)

    def test_attaching_again_gives_the_same_mount_and_device(self) -> None:
        path, volume = self.host.volume_file(), attachment()
        sources = {self.netd.attach(volume, str(path)) for _ in range(3)}

        self.assertEqual(1, len(sources))
        self.assertEqual((1, 1), (len(self.loops()), len(self.mounted())))

    def test_a_file_that_was_renamed_is_known_again(self) -> None:
        path, volume = self.host.volume_file(), attachment()
        self.netd.attach(volume, str(path))
        renamed = path.rename(path.with_suffix(".moved"))

        self.netd.attach(volume, str(renamed))

        self.assertEqual((1, 1), (len(self.loops()), len(self.mounted())))
        self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_a_loop_device_that_is_there_already_is_used(self) -> None:
        path, volume = self.host.volume_file(), attachment()
        made = subprocess.run(["losetup", "--find", "--show", str(path)], check=True, capture_output=True, text=True)

        self.netd.attach(volume, str(path))

        self.assertEqual([made.stdout.strip()], [loop.node for loop in self.loops()])
        self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_the_device_bypasses_the_page_cache_where_the_file_system_can(self) -> None:
        self.netd.attach(attachment(), str(self.host.volume_file()))

        name = self.loops()[0].node.removeprefix("/dev/")
        self.assertEqual("1", Path(f"/sys/block/{name}/loop/dio").read_text().strip())

    def test_device_nodes_in_a_volume_do_not_work(self) -> None:
        volume = attachment()
        source = self.netd.attach(volume, str(self.host.volume_file()))
        os.mknod(f"{source}/null", 0o20666, os.makedev(1, 3))

        self.assertRaises(PermissionError, open, f"{source}/null", "wb")

    def test_a_read_only_attachment_cannot_be_written(self) -> None:
        path, volume_id = self.host.volume_file(), new_id()
        source = self.netd.attach(attachment(volume_id), str(path))
        Path(source, "note").write_text("kept")
        self.netd.detach(volume_id, 1)

        source = self.netd.attach(attachment(volume_id, 2, read_only=True), str(path))

        self.assertEqual("kept", Path(source, "note").read_text())
        self.assertRaises(OSError, Path(source, "more").write_text, "x")

    def test_a_mount_that_the_kernel_refuses_leaves_nothing_behind(self) -> None:
        path = self.host.pool_dir / "blank.img"
        with path.open("wb") as file:
            file.truncate(64 * 1024 * 1024)

        refusal = self.assertRaises(errors.Failed, self.netd.attach, attachment(), str(path))

        self.assertIn("xfs", refusal.message)
        self.assert_nothing_is_left()
        self.assertEqual(b"\0" * 4096, path.read_bytes()[:4096])

    def test_links_folders_devices_and_missing_files_are_no_volumes(self) -> None:
        real = self.host.volume_file()
        link = self.host.pool_dir / "link.img"
        link.symlink_to(real)
        os.mkfifo(self.host.pool_dir / "fifo")

        for path in (link, self.host.pool_dir, Path("/dev/loop-control"), self.host.pool_dir / "fifo"):
            self.assertRaises(errors.Invalid, self.netd.attach, attachment(), str(path))
        self.assertRaises(errors.NotFound, self.netd.attach, attachment(), str(self.host.pool_dir / "none"))
        self.netd.attach(attachment(), str(real))

    def test_files_in_the_mount_point_are_never_hidden(self) -> None:
        volume = attachment()
        point = self.host.mount_dir / volume.volume_id
        point.mkdir(parents=True)
        (point / "precious").write_text("x")

        refusal = self.assertRaises(errors.Failed, self.netd.attach, volume, str(self.host.volume_file()))
        self.assertIn("holds files", refusal.message)


class FenceTests(VolumeTestCase):
    def test_an_older_epoch_can_neither_attach_nor_detach(self) -> None:
        path, volume_id = self.host.volume_file(), new_id()
        self.netd.attach(attachment(volume_id, 2), str(path))

        self.assertRaises(errors.Conflict, self.netd.attach, attachment(volume_id, 1), str(path))
        self.assertRaises(errors.Conflict, self.netd.detach, volume_id, 1)
        self.netd.attach(attachment(volume_id, 3), str(path))
        self.assertEqual([3], [volume["epoch"] for volume in self.netd.list()["volumes"]])
        self.netd.detach(volume_id, 3)
        self.assert_nothing_is_left()

    def test_the_epoch_is_remembered_beside_the_file_after_detach(self) -> None:
        path, volume_id = self.host.volume_file(), new_id()
        self.netd.attach(attachment(volume_id, 7), str(path))
        self.netd.detach(volume_id, 7)

        refusal = self.assertRaises(errors.Conflict, self.netd.attach, attachment(volume_id, 6), str(path))

        self.assertIn("epoch 7", refusal.message)
        self.assert_nothing_is_left()
        self.netd.attach(attachment(volume_id, 7), str(path))

    def test_a_file_that_another_process_holds_is_not_attached(self) -> None:
        path = self.host.volume_file()
        with open(path) as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            self.assertRaises(errors.Conflict, self.netd.attach, attachment(), str(path))
            self.assert_nothing_is_left()

        self.netd.attach(attachment(), str(path))

    def test_a_file_is_locked_while_attached_also_after_netd_was_killed(self) -> None:
        path, volume = self.host.volume_file(), attachment()
        source = self.netd.attach(volume, str(path))
        Path(source, "note").write_text("kept")
        with open(path) as other:
            self.host.kill()
            self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.host.start()
            self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.assertEqual("kept", Path(source, "note").read_text())
            self.netd.detach(volume.volume_id, 1)
            fcntl.flock(other, fcntl.LOCK_EX)

    def test_a_device_that_others_made_is_locked_by_netd_also_after_it_was_killed(self) -> None:
        path, volume = self.host.volume_file(), attachment()
        subprocess.run(["losetup", "--find", str(path)], check=True)
        self.netd.attach(volume, str(path))
        self.host.kill()
        self.host.start()

        with open(path) as other:
            self.assertRaises(BlockingIOError, fcntl.flock, other, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self.netd.detach(volume.volume_id, 1)
            fcntl.flock(other, fcntl.LOCK_EX)
        self.assert_nothing_is_left()

    def test_two_volumes_cannot_be_the_same_file(self) -> None:
        path = self.host.volume_file()
        self.netd.attach(attachment(), str(path))

        self.assertRaises(errors.Conflict, self.netd.attach, attachment(), str(path))
        self.assertEqual((1, 1), (len(self.loops()), len(self.mounted())))

    def test_an_attached_volume_does_not_change_its_file(self) -> None:
        volume = attachment()
        self.netd.attach(volume, str(self.host.volume_file()))

        self.assertRaises(errors.Conflict, self.netd.attach, volume, str(self.host.volume_file()))


class DetachTests(VolumeTestCase):
    def test_detaching_what_is_not_attached_is_fine(self) -> None:
        self.netd.detach(new_id(), 1)

    def test_a_volume_in_use_on_the_host_is_not_detached_and_the_user_is_named(self) -> None:
        volume = attachment()
        source = self.netd.attach(volume, str(self.host.volume_file()))
        with open(f"{source}/open", "w"):
            refusal = self.assertRaises(errors.Failed, self.netd.detach, volume.volume_id, 1)
            self.assertIn(f"process {os.getpid()}", refusal.message)
            self.assertTrue(self.netd.list()["volumes"][0]["mounted"])

        self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_a_volume_that_a_container_has_is_not_detached(self) -> None:
        volume = attachment()
        path = self.host.volume_file()
        holder = self.held_elsewhere(self.netd.attach(volume, str(path)))

        refusal = self.assertRaises(errors.Failed, self.netd.detach, volume.volume_id, 1)

        self.assertIn(f"process {holder.pid}", refusal.message)
        holder.kill()
        holder.wait()
        self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_services_of_a_machine_with_systemd_do_not_keep_a_volume(self) -> None:
        """Their mount namespaces get a copy of each mount that is made on such a machine, and lose it with it."""
        folder = str(self.host.state_dir)
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", folder], check=True)
        subprocess.run(["mount", "--make-shared", folder], check=True)
        command = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c"]
        service = subprocess.Popen(
            [*command, f"mount --make-slave {folder} && echo ready && exec sleep 600"], stdout=subprocess.PIPE
        )
        assert service.stdout is not None
        self.addCleanup(service.stdout.close)
        self.addCleanup(service.wait)
        self.addCleanup(service.kill)
        self.assertEqual(b"ready\n", service.stdout.readline())
        volume = attachment()
        source = self.netd.attach(volume, str(self.host.volume_file()))
        self.assertIn(volume.volume_id, Path(f"/proc/{service.pid}/mountinfo").read_text())

        self.netd.detach(volume.volume_id, 1)

        self.assertNotIn(volume.volume_id, Path(f"/proc/{service.pid}/mountinfo").read_text())
        self.assertFalse(os.path.exists(source))
        self.assert_nothing_is_left()

    def test_a_volume_unmounted_behind_netds_back_is_not_let_go_while_a_container_has_it(self) -> None:
        volume, path = attachment(), self.host.volume_file()
        source = self.netd.attach(volume, str(path))
        holder = self.held_elsewhere(source)
        kernel.unmount(os.path.dirname(source))

        self.assertRaises(errors.Failed, self.netd.detach, volume.volume_id, 1)

        self.assertEqual(source, self.netd.attach(volume, str(path)))
        self.assertEqual(1, len(self.loops()))
        holder.kill()
        holder.wait()
        self.netd.detach(volume.volume_id, 1)
        self.assert_nothing_is_left()

    def test_a_mount_without_a_record_is_taken_away_when_netd_starts(self) -> None:
        volume = attachment()
        self.netd.attach(volume, str(self.host.volume_file()))
        self.host.kill()
        (self.host.state_dir / f"netd/volumes/{volume.volume_id}.json").unlink()

        self.host.start()

        self.assert_nothing_is_left()
