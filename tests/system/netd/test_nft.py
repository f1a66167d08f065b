# SPDX-License-Identifier: Apache-2.0
"""Packet rules given to the kernel: whole or not at all, with nothing left open."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from unittest import mock

import testtools

from zun_lite.domain import errors
from zun_lite.netd import namespaces, nft

RULES = "add table inet zt\nadd chain inet zt c\nadd rule inet zt c ip daddr 192.0.2.1 drop\n"
OTHERS = "flush chain inet zt c\nadd rule inet zt c ip daddr 192.0.2.2 drop\n"


class PacketRulesTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.name = f"zlt-{uuid.uuid4().hex[:8]}"
        namespaces.create(self.name)
        self.addCleanup(namespaces.remove, self.name)
        self.descriptor = os.open(f"{namespaces.FOLDER}/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        self.addCleanup(os.close, self.descriptor)

    def test_a_change_answers_the_generation_that_is_asked_for_later(self) -> None:
        first = nft.run(self.descriptor, RULES)
        self.assertEqual(first, nft.generation(self.descriptor))
        second = nft.run(self.descriptor, OTHERS)
        self.assertEqual(second, nft.generation(self.descriptor))
        self.assertNotEqual(first, second)

    def test_what_is_refused_changes_nothing(self) -> None:
        before = nft.run(self.descriptor, RULES)
        refused = self.assertRaises(errors.Failed, nft.run, self.descriptor, OTHERS + "delete chain inet zt none\n")
        self.assertIn("the former ones stay", str(refused))
        self.assertEqual(before, nft.generation(self.descriptor))

    def test_a_descriptors_number_that_is_anothers_now_is_told_from_the_former(self) -> None:
        number, other = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
        self.addCleanup(os.close, number)
        self.addCleanup(os.close, other)
        before = nft._descriptors()
        os.dup2(other, number)
        new = {descriptor for descriptor, _ in nft._descriptors() - before}
        self.assertIn(number, new)
        self.assertNotIn(other, new)

    def test_the_generation_is_waited_for_so_long_and_no_longer(self) -> None:
        waits, ask = [], nft.ask

        def asked(sock: socket.socket) -> int:
            waits.append(sock.gettimeout())
            return ask(sock)

        with mock.patch.object(nft, "ask", asked):
            nft.run(self.descriptor, RULES)
            nft.generation(self.descriptor)
        self.assertEqual([5.0, 5.0], waits)

    def test_no_other_socket_is_opened_while_the_librarys_is_looked_for(self) -> None:
        opened = threading.Event()

        def open_one() -> None:
            with nft.opened():
                opened.set()

        thread, twins = threading.Thread(target=open_one), nft._twins

        def meanwhile(descriptors: set[int]) -> list[socket.socket]:
            thread.start()
            self.assertFalse(opened.wait(0.2))
            return twins(descriptors)

        with mock.patch.object(nft, "_twins", meanwhile):
            nft.run(self.descriptor, RULES)
        thread.join(10)
        self.assertTrue(opened.is_set())

    def test_changes_leave_no_descriptor_open(self) -> None:
        nft.run(self.descriptor, RULES)
        before = self.count()
        for _ in range(40):
            nft.run(self.descriptor, OTHERS)
        deadline = time.monotonic() + 20
        while self.count() > before and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertLessEqual(self.count(), before)

    @staticmethod
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))
