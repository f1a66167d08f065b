# SPDX-License-Identifier: Apache-2.0
"""A pool's volumes against the real kernel: held still, copied, grown, full, refused; and killed in the middle."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import threading
import time
from pathlib import Path

import testtools

from tests.system.netd.host import attachment, new_id
from tests.system.netd.pools import PoolHost, SmallPool, settled
from zun_lite.agent.pool import AT_THE_NEXT_MOUNT, NOW
from zun_lite.domain import errors
from zun_lite.netd import loops, mounts

MIB = 1024**2
GIB = 1024**3


class PoolTestCase(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.assertEqual(0, os.geteuid(), "these tests need root")
        self.host = self.new_host()

    def new_host(self, pool_dir: Path | None = None, own_mounts: bool = False) -> PoolHost:
        host = PoolHost(pool_dir, own_mounts=own_mounts)
        self.addCleanup(host.clean)
        if own_mounts:
            self.addCleanup(host.lose)
        host.start()
        return host

    def attached(self, volume_id: str, epoch: int = 1, host: PoolHost | None = None, **fields) -> Path:
        """The volume's folder, mounted."""
        host = host or self.host
        wanted = attachment(volume_id, epoch, **fields)
        return host.inside(host.client.attach(wanted, host.pool.path(volume_id)))

    def new_volume(self, fs_type: str = "xfs", host: PoolHost | None = None) -> str:
        volume_id = new_id()
        (host or self.host).pool.make(volume_id, 1, fs_type)
        return volume_id

    def is_thawed(self, source: Path) -> bool:
        """Whether what is mounted can be written to."""
        done = subprocess.run(["timeout", "5", "sh", "-c", f"echo x > {source}/probe && sync -f {source}/probe"])
        return done.returncode == 0

    def loops(self) -> list[str]:
        return [loop.node for loop in loops.in_use() if loop.file_name.startswith(f"{self.host.state_dir}/")]


class SnapshotTests(PoolTestCase):
    def test_a_snapshot_of_a_volume_in_use_is_of_one_moment_and_its_copy_mounts_beside_it(self) -> None:
        """A writer makes file N only once N-1 is there, so that a gap would show."""
        for fs_type in ("xfs", "ext4"):
            volume_id, snapshot_id, copy_id = self.new_volume(fs_type), new_id(), new_id()
            source = self.attached(volume_id, fs_type=fs_type)
            stop, written = threading.Event(), []

            def write(source=source, stop=stop, written=written) -> None:
                while not stop.is_set():
                    Path(source, str(len(written))).write_text(f"{len(written)}" * 100)
                    written.append(time.monotonic())

            writer = threading.Thread(target=write)
            writer.start()
            self.assertTrue(settled(lambda written=written: len(written) > 20))
            self.host.pool.snapshot(snapshot_id, volume_id)
            count = len(written)
            self.assertTrue(settled(lambda written=written, count=count: len(written) > count), "it never went on")
            stop.set()
            writer.join()

            self.host.pool.copy(copy_id, 2, self.host.pool.snapshot_path(snapshot_id))
            copy = self.attached(copy_id, fs_type=fs_type)
            numbers = sorted(int(name) for name in os.listdir(copy))
            self.assertEqual(list(range(len(numbers))), numbers)
            self.assertGreater(len(numbers), 20)
            for number in numbers[:-1]:
                self.assertEqual(f"{number}" * 100, Path(copy, str(number)).read_text())
            self.assertGreater(os.statvfs(copy).f_blocks * os.statvfs(copy).f_frsize, 1.8 * GIB)
            self.host.client.detach(volume_id, 1)
            self.host.client.detach(copy_id, 1)
        self.assertEqual([], self.loops())

    def test_a_pool_that_can_share_extents_does(self) -> None:
        small = SmallPool(900)
        self.addCleanup(small.remove)
        host = self.new_host(small.point)
        volume_id, snapshot_id, copy_id = self.new_volume(host=host), new_id(), new_id()
        source = self.attached(volume_id, host=host)
        Path(source, "large").write_bytes(os.urandom(300 * MIB))
        os.sync()
        free_mib = small.free_mib

        host.pool.snapshot(snapshot_id, volume_id)
        host.pool.copy(copy_id, 1, host.pool.snapshot_path(snapshot_id))

        self.assertLess(free_mib - small.free_mib, 100)
        copy = self.attached(copy_id, host=host)
        self.assertEqual(_digest(source / "large"), _digest(copy / "large"))
        names = {mount.source.removeprefix("/dev/") for mount in mounts.here() if str(host.mount_dir) in mount.point}
        self.assertEqual({"1"}, {Path(f"/sys/block/{name}/loop/dio").read_text().strip() for name in names})

    def test_a_volume_goes_on_by_itself_when_its_copier_died(self) -> None:
        volume_id, path = self.new_volume(), ""
        path = self.host.pool.path(volume_id)
        source = self.attached(volume_id)
        self.host.client.freeze(volume_id, path, 1)

        Path(source, "later").write_text("this waits until the volume goes on")

        self.assertFalse(self.host.client.thaw(volume_id))

    def test_a_volume_goes_on_when_netd_died_while_it_was_held(self) -> None:
        volume_id = self.new_volume()
        source = self.attached(volume_id)
        self.host.client.freeze(volume_id, self.host.pool.path(volume_id), 600)
        waiting = threading.Thread(target=Path(source, "later").write_text, args=("x",), daemon=True)
        waiting.start()
        waiting.join(0.3)
        self.assertTrue(waiting.is_alive(), "it was not held at all")

        self.host.kill()
        self.host.start()

        waiting.join(10)
        self.assertFalse(waiting.is_alive())
        self.assertFalse(self.host.client.thaw(volume_id))
        self.host.client.detach(volume_id, 1)

    def test_a_volume_that_is_not_mounted_cannot_be_while_it_is_copied(self) -> None:
        volume_id = self.new_volume()
        path = self.host.pool.path(volume_id)
        self.host.client.freeze(volume_id, path, 600)
        attaching = threading.Thread(target=self.attached, args=(volume_id,), daemon=True)
        attaching.start()
        attaching.join(0.3)
        self.assertTrue(attaching.is_alive())

        self.assertTrue(self.host.client.thaw(volume_id))

        attaching.join(10)
        self.assertEqual([True], [volume["mounted"] for volume in self.host.client.list()["volumes"]])


class GrowTests(PoolTestCase):
    def size_gib(self, folder: Path) -> float:
        found = os.statvfs(folder)
        return found.f_blocks * found.f_frsize / GIB

    def test_an_xfs_grows_while_it_is_used_and_keeps_its_data(self) -> None:
        volume_id = self.new_volume()
        source = self.attached(volume_id)
        Path(source, "note").write_text("kept")
        with open(source / "open", "w") as file:
            self.assertEqual(NOW, self.host.pool.grow(volume_id, 3))
            file.write("still writing")

        self.assertGreater(self.size_gib(source), 2.8)
        self.assertEqual("kept", Path(source, "note").read_text())

    def test_an_ext4_grows_now_or_when_it_is_next_mounted_and_the_answer_says_which(self) -> None:
        volume_id = self.new_volume("ext4")
        source = self.attached(volume_id, fs_type="ext4")
        Path(source, "note").write_text("kept")

        answer = self.host.pool.grow(volume_id, 3)
        self.assertEqual(answer == NOW, self.size_gib(source) > 2)

        self.host.client.detach(volume_id, 1)
        source = self.attached(volume_id, fs_type="ext4")
        self.assertGreater(self.size_gib(source), 2.7)
        self.assertEqual("kept", Path(source, "note").read_text())

    def test_an_ext4_that_could_not_grow_does_when_a_container_that_had_it_starts_anew(self) -> None:
        volume_id = self.new_volume("ext4")
        source = self.attached(volume_id, fs_type="ext4")
        Path(source, "note").write_text("kept")
        # larger without the kernel's being asked
        os.truncate(self.host.pool.path(volume_id), 3 * GIB)
        (node,) = self.loops()
        loops.follow_size(node)

        with Path(source, "note").open():
            self.attached(volume_id, fs_type="ext4")
            self.assertLess(self.size_gib(source), 1.01, "not under one who has it")
        source = self.attached(volume_id, fs_type="ext4")
        self.assertGreater(self.size_gib(source), 2.7)
        self.assertEqual("kept", Path(source, "note").read_text())

    def test_what_grew_while_it_was_not_mounted_is_filled_at_the_next_mount_for_writing(self) -> None:
        for fs_type in ("xfs", "ext4"):
            volume_id = self.new_volume(fs_type)
            self.attached(volume_id, fs_type=fs_type)
            self.host.client.detach(volume_id, 1)
            self.assertEqual(AT_THE_NEXT_MOUNT, self.host.pool.grow(volume_id, 2))

            source = self.attached(volume_id, 2, fs_type=fs_type, read_only=True)
            self.assertLess(self.size_gib(source), 1.01)
            self.host.client.detach(volume_id, 2)
            self.assertGreater(self.size_gib(self.attached(volume_id, 3, fs_type=fs_type)), 1.8)


class KilledTests(PoolTestCase):
    """The agent is killed at each point; the call is made again; the data is there, and nothing else is."""

    POINTS = ("agent.pool.staged", "agent.pool.frozen", "agent.pool.copied", "agent.pool.renamed")

    def setUp(self) -> None:
        super().setUp()
        self.volume_id = self.new_volume()
        self.source = self.attached(self.volume_id)
        Path(self.source, "note").write_text("kept")

    def killed(self, point: str, verb: str, *arguments: object) -> None:
        self.host.arm(point)
        self.assertEqual(-9, self.host.call(verb, *arguments), f"{verb} did not come to {point}")
        self.assertTrue(self.host.was_hit(point))
        self.assertEqual(0, self.host.call(verb, *arguments))

    def assert_nothing_unfinished(self) -> None:
        self.assertEqual((), self.host.pool.contents().unfinished)
        self.assertTrue(self.is_thawed(self.source))
        self.assertEqual("kept", Path(self.source, "note").read_text())
        self.assertEqual(1, len(self.loops()))
        strays = self.host.client.list()["strays"]
        self.assertEqual(([], []), (strays["loops"], strays["mounts"]))

    def test_snapshot(self) -> None:
        for point in self.POINTS:
            snapshot_id = new_id()
            self.killed(point, "snapshot", snapshot_id, self.volume_id)
            self.assertIn(snapshot_id, self.host.pool.contents().snapshots)
            self.assert_nothing_unfinished()
            self.killed_copy(snapshot_id)

    def killed_copy(self, snapshot_id: str) -> None:
        copy_id = new_id()
        self.killed("agent.pool.copied", "copy", copy_id, 1, self.host.pool.snapshot_path(snapshot_id))
        copy = self.attached(copy_id)
        self.assertEqual("kept", Path(copy, "note").read_text())
        self.host.client.detach(copy_id, 1)

    def test_copy_of_a_volume_in_use(self) -> None:
        for point in self.POINTS:
            copy_id = new_id()
            self.killed(point, "copy", copy_id, 1, self.host.pool.path(self.volume_id))
            self.assertEqual("kept", Path(self.attached(copy_id), "note").read_text())
            self.host.client.detach(copy_id, 1)
            self.assert_nothing_unfinished()

    def test_make(self) -> None:
        for point in ("agent.pool.staged", "agent.pool.renamed"):
            volume_id = new_id()
            self.killed(point, "make", volume_id, 1, "xfs")
            self.attached(volume_id)
            self.host.client.detach(volume_id, 1)
            self.assert_nothing_unfinished()

    def test_grow(self) -> None:
        self.killed("agent.pool.grown", "grow", self.volume_id, 2)
        self.assertGreater(os.statvfs(self.source).f_blocks * os.statvfs(self.source).f_frsize, 1.8 * GIB)
        self.assert_nothing_unfinished()

    def test_destroy(self) -> None:
        volume_id = self.new_volume()
        self.attached(volume_id)
        self.killed("agent.pool.destroyed", "destroy", volume_id)
        self.assertEqual([self.volume_id], list(self.host.pool.contents().volumes))
        self.assert_nothing_unfinished()

    def test_netd_killed_while_it_holds_grows_or_settles(self) -> None:
        for point, verb, arguments in (
            ("netd.freeze.after", "snapshot", (new_id(), self.volume_id)),
            ("netd.grow.device", "grow", (self.volume_id, 2)),
            ("netd.settle.mounted", "copy", (new_id(), 1, self.host.pool.path(self.volume_id))),
        ):
            self.host.arm(point)
            self.assertEqual(1, self.host.call(verb, *arguments), point)
            self.assertTrue(self.host.was_hit(point), point)
            assert self.host.process is not None
            self.host.process.wait(10)
            self.host.start()
            self.assertEqual(0, self.host.call(verb, *arguments), point)
            self.assert_nothing_unfinished()
        self.assertGreater(os.statvfs(self.source).f_blocks * os.statvfs(self.source).f_frsize, 1.8 * GIB)


class DataTests(PoolTestCase):
    def test_a_hundred_refused_mounts_change_nothing_and_the_next_one_works(self) -> None:
        """Busy, another file system, a damaged superblock, a device that ends too early, a missing file."""
        volume_id = self.new_volume()
        path = self.host.pool.path(volume_id)
        Path(self.attached(volume_id), "note").write_text("kept")
        self.host.client.detach(volume_id, 1)
        before, refused = _digest(path), 0
        for number in range(20):
            if number < 3:
                with open(path) as other:
                    fcntl.flock(other, fcntl.LOCK_SH)
                    refused += self.refuses(volume_id)
            refused += self.refuses(volume_id, fs_type="ext4")
            os.rename(path, f"{path}.away")
            refused += self.refuses(volume_id)
            for kind in ("superblock", "cut short"):
                refused += self.refuses_damaged(volume_id, path, kind)
            os.rename(f"{path}.away", path)
        self.assertGreaterEqual(refused, 100)
        self.assertEqual(before, _digest(path))
        self.assertEqual([], self.loops())
        self.assertEqual("kept", Path(self.attached(volume_id), "note").read_text())

    def refuses_damaged(self, volume_id: str, path: str, kind: str) -> int:
        """Refused for writing and for reading, and as damaged afterwards as before."""
        subprocess.run(["cp", "--sparse=always", f"{path}.away", path], check=True)
        if kind == "superblock":
            _overwrite(path, 0, b"BAD!")
        else:
            os.truncate(path, 64 * MIB)
        damaged = _digest(path)
        refused = self.refuses(volume_id) + self.refuses(volume_id, read_only=True)
        self.assertEqual(damaged, _digest(path))
        os.unlink(path)
        return refused

    def refuses(self, volume_id: str, **fields) -> int:
        self.assertRaises(errors.ZunError, self.attached, volume_id, **fields)
        return 1

    def test_a_new_volume_holds_nothing_of_one_that_was_removed(self) -> None:
        small = SmallPool(700)
        self.addCleanup(small.remove)
        host = self.new_host(small.point)
        volume_id = self.new_volume(host=host)
        secret = b"a secret that nobody may find " * 1000
        source = self.attached(volume_id, host=host)
        for number in range(40):
            Path(source, str(number)).write_bytes(secret * 300)
        host.client.detach(volume_id, 1)
        self.assertIn(b"a secret", Path(host.pool.path(volume_id)).read_bytes())
        host.pool.destroy(volume_id)

        second = self.new_volume(host=host)

        self.assertNotIn(b"a secret", Path(host.pool.path(second)).read_bytes())

    def test_what_is_removed_in_a_volume_is_free_again_in_the_pool(self) -> None:
        for fs_type in ("xfs", "ext4"):
            volume_id = self.new_volume(fs_type)
            source = self.attached(volume_id, fs_type=fs_type)
            path = self.host.pool.path(volume_id)
            Path(source, "large").write_bytes(os.urandom(200 * MIB))
            subprocess.run(["sync", "-f", str(source)], check=True)
            self.assertGreater(os.stat(path).st_blocks * 512, 200 * MIB)
            os.unlink(source / "large")

            def is_free(source=source, path=path) -> bool:
                subprocess.run(["sync", "-f", str(source)], check=True)
                return os.stat(path).st_blocks * 512 < 100 * MIB

            self.assertTrue(settled(is_free), fs_type)
            Path(source, "large").write_bytes(os.urandom(100 * MIB))
            subprocess.run(["sync", "-f", str(source)], check=True)
            self.assertGreater(os.stat(path).st_blocks * 512, 100 * MIB)
            os.unlink(source / "large")

            def is_trimmed(source=source, path=path) -> bool:
                subprocess.run(["fstrim", str(source.parent)], check=True)
                return os.stat(path).st_blocks * 512 < 100 * MIB

            self.assertTrue(settled(is_trimmed), "fstrim gave nothing back")

    def test_a_full_pool_fails_writes_and_harms_nothing_that_was_written(self) -> None:
        for fs_type in ("xfs", "ext4"):
            small = SmallPool(400)
            self.addCleanup(small.remove)
            host = self.new_host(small.point)
            volume_id = self.new_volume(fs_type, host=host)
            source = self.attached(volume_id, host=host, fs_type=fs_type)
            kept = os.urandom(20 * MIB)
            _write_through(source / "kept", kept)
            filler = small.point / "filler"
            with open(filler, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, (small.free_mib - 30) * MIB)

            self.assertRaises(OSError, _write_through, source / "more", os.urandom(200 * MIB))

            filler.unlink()
            host.client.detach(volume_id, 1)
            source = self.attached(volume_id, host=host, fs_type=fs_type)
            self.assertEqual(kept, (source / "kept").read_bytes(), fs_type)
            (source / "more").unlink(missing_ok=True)
            _write_through(source / "again", os.urandom(50 * MIB))
            host.client.detach(volume_id, 1)
            check = {"xfs": ["xfs_repair", "-n", "-f"], "ext4": ["e2fsck", "-f", "-n"]}[fs_type]
            self.assertEqual(0, subprocess.run([*check, host.pool.path(volume_id)], capture_output=True).returncode)

    def test_a_device_goes_with_the_last_who_holds_it(self) -> None:
        volume_id = self.new_volume()
        for epoch in range(1, 6):
            self.attached(volume_id, epoch)
            self.host.client.detach(volume_id, epoch)
        self.assertEqual([], self.loops())
        self.assertEqual([], [mount for mount in mounts.here() if mount.point.startswith(str(self.host.state_dir))])


def _digest(path: Path | str) -> str:
    """Of the file's size and of all in it that is not zero, without reading its holes."""
    with open(path, "rb") as file:
        digest = hashlib.sha256(str(os.fstat(file.fileno()).st_size).encode())
        at = 0
        while True:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA) // MIB * MIB
            except OSError:
                return digest.hexdigest()
            piece = os.pread(file.fileno(), MIB, at)
            if piece.strip(b"\0"):
                digest.update(b"%d" % at + piece)
            at += MIB


def _overwrite(path: str, at: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


def _write_through(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
