# SPDX-License-Identifier: Apache-2.0
"""One pool seen by three hosts, each a netd in a mount namespace of its own; and one volume for several workloads."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.system.netd.host import attachment
from tests.system.netd.pools import PoolHost, settled
from tests.system.netd.test_pool import PoolTestCase
from zun_lite.domain import errors
from zun_lite.netd import filelock


class SharedPoolTests(PoolTestCase):
    def new_host(self, pool_dir: Path | None = None, own_mounts: bool = False) -> PoolHost:
        """The first of three on one folder; the others are self.others."""
        folder = Path(tempfile.mkdtemp(prefix="zl-shared-"))
        self.addCleanup(shutil.rmtree, folder)
        self.folder = folder
        first, *self.others = [super(SharedPoolTests, self).new_host(folder, own_mounts=True) for _ in range(3)]
        return first

    def refused(self, host: PoolHost, volume_id: str, epoch: int, **fields) -> str:
        return self.assertRaises(errors.Conflict, self.attached, volume_id, epoch=epoch, host=host, **fields).message

    def test_a_volume_moves_between_hosts_and_older_epochs_stay_out(self) -> None:
        first, (second, third) = self.host, self.others
        volume_id = self.new_volume()
        for epoch, host in enumerate((first, second, third, first), start=1):
            source = self.attached(volume_id, epoch=epoch, host=host)
            self.assertEqual(epoch - 1, len(list(source.iterdir())))
            Path(source, str(epoch)).write_text("kept")
            for other in {first, second, third} - {host}:
                self.assertIn("another host", self.refused(other, volume_id, epoch + 1))
                self.assertRaises(errors.Conflict, other.pool.destroy, volume_id)
            host.client.detach(volume_id, epoch)
            for other in (first, second, third):
                self.assertIn("is over", self.refused(other, volume_id, epoch - 1)) if epoch > 1 else None

    def test_only_a_newer_attachment_takes_over_what_a_lost_host_held(self) -> None:
        first, (second, _) = self.host, self.others
        volume_id = self.new_volume()
        Path(self.attached(volume_id, epoch=4, host=first), "note").write_text("kept")
        self.refused(second, volume_id, 5)

        first.lose()

        self.assertIn("only a newer attachment", self.refused(second, volume_id, 4))
        self.assertIn("is over", self.refused(second, volume_id, 3))
        self.assertEqual("kept", Path(self.attached(volume_id, epoch=5, host=second), "note").read_text())

    def test_a_host_whose_netd_died_keeps_its_volume_from_others(self) -> None:
        first, (second, _) = self.host, self.others
        volume_id = self.new_volume()
        self.attached(volume_id, epoch=1, host=first)
        first.kill()

        self.assertIn("another host", self.refused(second, volume_id, 2))

        first.start()
        first.client.detach(volume_id, 1)
        self.attached(volume_id, epoch=2, host=second)

    def test_a_host_that_comes_back_never_writes_beside_a_newer_one(self) -> None:
        """The lock is taken from it as a file server does that has not heard of it: by the record alone."""
        volume_id = self.new_volume()
        path = self.host.pool.path(volume_id)
        for running in (True, False):
            source = self.attached(volume_id, epoch=1 if running else 10)
            Path(source, "before").write_text("accepted while it held the volume")
            if not running:
                self.host.kill()
            with filelock.changing(path, 1) as ownership:
                ownership.note("5b3f0c1e-0000-4000-8000-000000000001", 9 if running else 19)
            if not running:
                self.host.start()

            def is_cut_off(source=source) -> bool:
                try:
                    Path(source, "after").write_text("x")
                except OSError:
                    return True
                return False

            self.assertTrue(settled(is_cut_off, 15), "it still writes")
            self.refused(self.host, volume_id, 1 if running else 10)
            self.host.client.detach(volume_id, 1 if running else 10)
            with filelock.changing(path, 1) as ownership:
                ownership.give_back("5b3f0c1e-0000-4000-8000-000000000001")

    def test_several_hosts_read_one_volume_and_a_writer_is_alone(self) -> None:
        volume_id = self.new_volume()
        first, (second, third) = self.host, self.others
        Path(self.attached(volume_id, epoch=1, shared=True), "note").write_text("kept")
        self.assertIn("alone", self.refused(second, volume_id, 2, shared=True))
        self.assertIn("is written", self.refused(second, volume_id, 2, shared=True, read_only=True))
        first.client.detach(volume_id, 1)

        for epoch, host in ((4, first), (3, second), (2, third)):
            source = self.attached(volume_id, epoch=epoch, host=host, shared=True, read_only=True)
            self.assertEqual("kept", Path(source, "note").read_text())
            self.assertRaises(OSError, Path(source, "more").write_text, "x")
        second.client.detach(volume_id, 3)
        self.assertIn("alone", self.refused(second, volume_id, 5, shared=True))
        first.client.detach(volume_id, 4)
        third.client.detach(volume_id, 2)
        Path(self.attached(volume_id, epoch=5, host=second, shared=True), "more").write_text("x")


class SharingTests(PoolTestCase):
    """Several workloads of one host."""

    def test_one_mount_serves_all_and_goes_with_the_last(self) -> None:
        volume_id = self.new_volume()
        source = self.attached(volume_id, 7, shared=True)
        self.assertEqual(source, self.attached(volume_id, 5, shared=True))
        self.assertEqual(source, self.attached(volume_id, 9, shared=True, read_only=True))
        self.host.kill()
        self.host.start()
        self.assertEqual(source, self.attached(volume_id, 5, shared=True))
        for epoch in (9, 9, 5, 4):
            self.host.client.detach(volume_id, epoch)
            Path(source, "note").write_text("still here")

        self.host.client.detach(volume_id, 7)

        self.assertFalse(source.exists())
        self.assertEqual([], self.loops())

    def test_readers_first_and_then_a_writer_is_refused_until_they_left(self) -> None:
        volume_id = self.new_volume()
        self.attached(volume_id, 1)
        self.host.client.detach(volume_id, 1)
        for epoch in (2, 3):
            self.attached(volume_id, epoch, shared=True, read_only=True)
        refusal = self.assertRaises(errors.Conflict, self.attached, volume_id, 4, shared=True)
        self.assertIn("reading only", refusal.message)
        for epoch in (2, 3):
            self.host.client.detach(volume_id, epoch)
        Path(self.attached(volume_id, 4, shared=True), "note").write_text("x")

    def test_destroying_ends_all_attachments(self) -> None:
        volume_id = self.new_volume()
        for epoch in (2, 3):
            self.attached(volume_id, epoch, shared=True)
        self.host.pool.destroy(volume_id)
        self.assertEqual([], self.host.client.list()["volumes"])
        self.assertEqual([], list(self.host.pool.contents().volumes))

    def test_a_volume_that_is_not_shared_has_one_attachment(self) -> None:
        volume_id = self.new_volume()
        self.attached(volume_id, 2)
        self.assertRaises(errors.Conflict, self.attached, volume_id, 1)
        self.assertRaises(errors.Conflict, self.host.client.attach, attachment(volume_id, 1, shared=True), "/x")
