# SPDX-License-Identifier: Apache-2.0
"""Volumes outside the host's pool, against the real kernel: files elsewhere, and devices that os-brick connects.

os-brick is played by a function that hands out a loop device, as it would a disk; with the real one of the
environment in OPENSTACK_VENV, tests/openstack has a case.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from tests.system.netd.host import new_id
from zun_lite.domain import errors
from zun_lite.domain.wiring import Attachment
from zun_lite.netd import mounts
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.reach import Reach
from zun_lite.netd.stills import Stills
from zun_lite.netd.store import Store
from zun_lite.netd.volumes import Volumes

GIB = 1024**3


class Brick:
    """What os-brick did; hands out one loop device while it is connected."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.asked: list[str] = []
        self.node = ""

    def ask(self, action, question):
        self.asked.append(action)
        assert question["data"]["secret"] == "chap"
        if action == "connect" and not self.node:
            made = subprocess.run(
                ["losetup", "--find", "--show", str(self.file)], check=True, capture_output=True, text=True
            )
            self.node = made.stdout.strip()
        if action == "disconnect":
            self.drop()
        return {"path": self.node}

    def drop(self) -> None:
        if self.node:
            subprocess.run(["losetup", "--detach", self.node], check=True)
            self.node = ""


class ConnectedTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="zl-connected-")))
        self.elsewhere = self.folder / "elsewhere"
        self.elsewhere.mkdir()
        self.file = self.elsewhere / "volume"
        with self.file.open("wb") as file:
            file.truncate(GIB)
        self.brick = Brick(self.file)
        self.addCleanup(self.brick.drop)
        self.restart()
        self.volume_id = new_id()
        self.addCleanup(self.detach_all)

    def restart(self) -> None:
        """As netd does when it begins."""
        self.store = Store(str(self.folder / "netd"))
        reach = Reach((str(self.elsewhere),), str(self.folder), ask=self.brick.ask)
        self.volumes = Volumes(
            str(self.folder / "mounts"), self.store, ObjectLocks(), self.store.host_id(), Stills(), reach
        )

    def detach_all(self) -> None:
        for record in self.store.volumes():
            self.volumes.detach(record.volume_id, record.epoch)

    def local(self, path: object = None, **facts) -> Attachment:
        connection = {"driver_volume_type": "local", "data": {"device_path": str(path or self.file)}}
        usual = {"epoch": 1, "size_gib": 1, "target": "/", "connection": connection}
        return Attachment(self.volume_id, **{**usual, **facts})

    def remote(self, **facts) -> Attachment:
        connection = {"driver_volume_type": "iscsi", "data": {"secret": "chap"}}
        return self.local(connection=connection, **facts)

    def written(self, attachment: Attachment) -> Path:
        self.volumes.make_ready(attachment)
        note = Path(self.volumes.attach(attachment, ""), "note")
        note.write_text("kept")
        return note


class Local(ConnectedTestCase):
    def test_an_empty_volume_is_formatted_once_and_keeps_its_data(self):
        self.written(self.local())
        self.volumes.detach(self.volume_id, 1)
        again = self.local(epoch=2)
        self.volumes.make_ready(again)
        self.assertEqual("kept", Path(self.volumes.attach(again, ""), "note").read_text())

    def test_a_file_outside_the_operators_folders_is_refused(self):
        outside = self.folder / "outside"
        outside.write_bytes(b"")
        link = self.elsewhere / "link"
        link.symlink_to(self.folder)
        for path in (outside, self.elsewhere / ".." / "outside", link / "outside", "relative", ""):
            with self.subTest(path):
                with self.assertRaises(errors.Invalid):
                    self.volumes.make_ready(self.local(path or "/"))
                self.assertEqual([], self.store.volumes())
        self.volumes.make_ready(self.local())

    def test_a_link_is_no_volume(self):
        link = self.elsewhere / "link"
        link.symlink_to(self.file)
        with self.assertRaises(errors.Invalid):
            self.volumes.make_ready(self.local(link))

    def test_what_holds_something_else_is_left_as_it_is(self):
        for place, content in ((0, b"a table"), (GIB - 8, b"an end")):
            with self.subTest(content), self.file.open("r+b") as file:
                file.truncate(0)
                file.truncate(GIB)
                file.seek(place)
                file.write(content)
                file.flush()
                with self.assertRaisesRegex(errors.Failed, "neither xfs nor ext4"):
                    self.volumes.make_ready(self.local())
                file.seek(place)
                self.assertEqual(content, file.read(len(content)))

    def test_a_volume_that_lost_its_file_system_gets_no_new_one(self):
        with self.assertRaisesRegex(errors.Failed, "had a file system"):
            self.volumes.make_ready(self.local(formatted=True))
        with self.assertRaisesRegex(errors.Failed, "only read"):
            self.volumes.make_ready(self.local(read_only=True))
        with self.assertRaises(errors.Failed):
            self.volumes.attach(self.local(), "")
        self.volumes.make_ready(self.local())

    def test_a_file_system_that_was_cut_off_is_made_again(self):
        self.store.note_formatting(self.volume_id, True)
        with self.file.open("r+b") as file:
            file.write(b"XFSB and no more")
        self.written(self.local())
        self.assertFalse(self.store.is_formatting(self.volume_id))

    def test_an_ext4_of_its_owners_is_used_as_it_is(self):
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.file)], check=True)
        self.written(self.local())
        self.assertEqual("ext4", self.store.volume(self.volume_id).attachment.fs_type)

    def test_an_older_attachment_is_refused(self):
        self.written(self.local(epoch=5))
        with self.assertRaises(errors.Conflict):
            self.volumes.make_ready(self.local(epoch=4))
        self.volumes.detach(self.volume_id, 5)
        with self.assertRaises(errors.Conflict):
            self.volumes.attach(self.local(epoch=4), "")
        self.volumes.attach(self.local(epoch=6), "")


class Device(ConnectedTestCase):
    def test_a_device_is_connected_mounted_unmounted_and_disconnected(self):
        self.written(self.remote())
        self.assertEqual(self.brick.node, mounts.at(self.volumes.point(self.volume_id)).source)
        self.volumes.detach(self.volume_id, 1)
        self.assertEqual("disconnect", self.brick.asked[-1])
        self.assertEqual(([], ""), (self.store.volumes(), self.brick.node))
        self.assertFalse([name for name in os.listdir("/dev") if name.endswith(".lock")])
        self.assertEqual("kept", Path(self.volumes.attach(self.remote(epoch=2), ""), "note").read_text())

    def test_what_was_connected_before_a_death_is_disconnected_after_it(self):
        self.volumes.make_ready(self.remote())
        self.restart()
        self.volumes.detach(self.volume_id, 1)
        self.assertEqual("", self.brick.node)

    def test_after_a_restart_a_mounted_device_stays_and_after_a_reboot_it_is_connected_again(self):
        note = self.written(self.remote())
        self.restart()
        self.volumes.resume()
        self.assertEqual("kept", note.read_text())
        subprocess.run(["umount", self.volumes.point(self.volume_id)], check=True)
        self.restart()
        self.brick.drop()
        self.volumes.resume()
        self.assertEqual("kept", note.read_text())

    def test_a_device_of_the_hosts_own_pool_is_no_volume(self):
        self.brick.ask("connect", {"data": {"secret": "chap"}})
        with self.assertRaises(errors.Invalid):
            self.volumes.attach(Attachment(self.volume_id, 1, 1, "/"), self.brick.node)

    def test_what_cannot_be_used_is_disconnected(self):
        self.file.write_bytes(b"x" * 4096)
        os.truncate(self.file, GIB)
        with self.assertRaises(errors.Failed):
            self.volumes.make_ready(self.remote())
        self.assertEqual((["connect", "disconnect"], []), (self.brick.asked, self.store.volumes()))


class WithoutBrick(unittest.TestCase):
    def test_a_volume_that_needs_it_is_refused_with_what_would_help(self):
        reach = Reach((), "")
        with self.assertRaisesRegex(errors.Failed, r"iscsi need os-brick.*zun_lite\[openstack\]"):
            reach.reach(new_id(), {"driver_volume_type": "iscsi", "data": {}})
        self.assertEqual({}, reach.connector("host", "127.0.0.1"))
