# SPDX-License-Identifier: Apache-2.0
"""Connections that the kernel remembers, of addresses that went: forgotten, unless there are very many."""

from __future__ import annotations

import os
import socket
import subprocess
import unittest
import uuid
from unittest import mock

from zun_lite.netd import connections, namespaces, nft
from zun_lite.netd.connections import Connections

NETWORK = str(uuid.uuid4())
# the kernel tracks only where rules ask for it
TRACKED = "table inet zt { chain out { type filter hook output priority 0; ct state new accept; }; }\n"


class ConnectionTests(unittest.TestCase):
    def setUp(self) -> None:
        name = f"zlt-{uuid.uuid4().hex[:8]}"
        namespaces.create(name)
        self.addCleanup(namespaces.remove, name)
        self.descriptor = os.open(f"{namespaces.FOLDER}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        self.addCleanup(os.close, self.descriptor)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        nft.run(self.descriptor, TRACKED)
        self.connections = Connections()

    def test_those_of_an_address_that_went_are_forgotten_by_two_sockets_and_of_no_other(self) -> None:
        namespaces.inside(self.descriptor, lambda: self.talk("127.0.0.5", 8))
        namespaces.inside(self.descriptor, lambda: self.talk("127.0.0.6", 3))
        self.assertEqual(11, self.count())
        opened: list[object] = []
        real = connections.NFCTSocket

        def counted(**how: object) -> object:
            opened.append(how)
            return real(**how)

        with mock.patch.object(connections, "NFCTSocket", counted):
            self.tidy("127.0.0.5")

        self.assertEqual(3, self.count())
        self.assertEqual(2, len(opened))

    def test_of_very_many_none_is_even_read(self) -> None:
        namespaces.inside(self.descriptor, lambda: self.talk("127.0.0.5", 8))
        with (
            mock.patch.object(connections, "_MOST_READ", 7),
            mock.patch.object(connections, "NFCTSocket", side_effect=AssertionError("it is read")),
        ):
            self.tidy("127.0.0.5")
        self.assertEqual(8, self.count())

        with mock.patch.object(connections, "_MOST_READ", 8):
            self.tidy("127.0.0.5")
        self.assertEqual(0, self.count())

    def tidy(self, address: str) -> None:
        self.connections.left(NETWORK, [address])
        self.connections.tidy(NETWORK, self.descriptor)

    def count(self) -> int:
        return int(namespaces.inside(self.descriptor, connections._COUNT.read_text))

    @staticmethod
    def talk(address: str, times: int) -> None:
        for port in range(times):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((address, 0))
                sender.sendto(b"one", ("127.0.0.1", 7000 + port))
