# SPDX-License-Identifier: Apache-2.0
"""Names, locks, frames, and the reading of mountinfo."""

from __future__ import annotations

import threading
import uuid

import testtools

from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import announce, mounts, names
from zun_lite.netd.locks import ObjectLocks

ID = "0123abcd-4567-89ab-cdef-0123456789ab"


class NameTests(testtools.TestCase):
    def test_names_are_the_same_each_time_and_fit_the_kernel(self) -> None:
        self.assertEqual("zlzun-0123abcd4567", names.namespace("zun", ID))
        self.assertEqual(names.link("zun", ID), names.link("zun", ID))
        self.assertRegex(names.link("zun", ID), r"^zv[0-9a-f]{11}$")
        self.assertLessEqual(len(names.link("a" * 16, ID)), 15)

    def test_clusters_never_share_a_name(self) -> None:
        self.assertNotEqual(names.link("one", ID), names.link("two", ID))
        self.assertFalse(names.namespace("zun2", ID).startswith(names.namespace_prefix("zun")))

    def test_ports_do_not_share_a_link(self) -> None:
        self.assertEqual(2000, len({names.link("zun", str(uuid.UUID(int=number))) for number in range(2000)}))


class ObjectLockTests(testtools.TestCase):
    def test_one_object_is_worked_on_by_one_thread_and_others_go_on(self) -> None:
        locks, entered, other_entered = ObjectLocks(), threading.Event(), threading.Event()

        def same() -> None:
            with locks.held("container", "a"):
                entered.set()

        def other() -> None:
            with locks.held("container", "b"), locks.held("volume", "a"):
                other_entered.set()

        with locks.held("container", "a"):
            threads = [threading.Thread(target=work) for work in (same, other)]
            for thread in threads:
                thread.start()
            self.assertTrue(other_entered.wait(10))
            self.assertFalse(entered.is_set())
        for thread in threads:
            thread.join(10)
        self.assertTrue(entered.is_set())
        self.assertEqual({}, locks._locks)


class FrameTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        addresses = (Address("10.1.0.5", 24, ID), Address("fd00:1::5", 64, ID))
        self.frames = announce.frames(Endpoint(ID, ID, 1, "fa:16:3e:01:02:03", 1450, addresses))

    def test_ipv4_is_announced_by_a_gratuitous_arp_request(self) -> None:
        self.assertEqual(
            "ffffffffffff" "fa163e010203" "0806" "0001" "0800" "06" "04" "0001"
            "fa163e010203" "0a010005" "000000000000" "0a010005",
            self.frames[0].hex(),
        )  # fmt: skip

    def test_ipv6_is_announced_by_an_advertisement_whose_checksum_is_right(self) -> None:
        frame = self.frames[1]
        source, target, message = frame[22:38], frame[38:54], frame[54:]
        pseudo = source + target + len(message).to_bytes(4, "big") + (58).to_bytes(4, "big") + message

        total = sum(int.from_bytes(pseudo[at : at + 2], "big") for at in range(0, len(pseudo), 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        self.assertEqual(0xFFFF, total)
        self.assertEqual("33330000000186dd", (frame[:6] + frame[12:14]).hex())
        self.assertEqual((136, 0x20, "fa163e010203"), (message[0], message[4], message[-6:].hex()))


class MountTests(testtools.TestCase):
    def test_a_line_of_mountinfo_is_read_with_its_octal_blanks(self) -> None:
        line = r"36 35 7:3 / /mnt/a\040b\134c ro,nodev shared:1 master:2 - xfs /dev/loop3 rw,nouuid"

        self.assertEqual(
            mounts.Mount("7:3", "/mnt/a b\\c", True, "xfs", "/dev/loop3", shared="1", master="2"), mounts._parse(line)
        )

    def test_a_mount_that_goes_along_with_ours_is_no_holder(self) -> None:
        def mount(shared: str | None = None, master: str | None = None) -> mounts.Mount:
            return mounts.Mount("7:3", "/mnt", False, "xfs", "/dev/loop3", shared, master)

        follower, peer, container = mount(master="26"), mount(shared="26"), mount()
        relay, behind_it, stranger = mount(shared="40", master="26"), mount(master="40"), mount(shared="50", master="9")
        others = [("1", follower), ("2", peer), ("3", container), ("4", behind_it), ("5", relay), ("6", stranger)]

        self.assertEqual([("3", container), ("6", stranger)], mounts.staying(mount(shared="26"), others))
        self.assertEqual(others, mounts.staying(mount(), others))

    def test_the_root_is_mounted(self) -> None:
        self.assertIsNotNone(mounts.at("/"))
        self.assertIsNone(mounts.at("/no/such/mount"))
