# SPDX-License-Identifier: Apache-2.0
"""The program that answers for names, run here: what one network's members can take of it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
import unittest

import dns.message

from zun_lite.netd import resolver
from zun_lite.netd.resolver import Program

WITHOUT_FILES = """
import sys
import dns.message
from zun_lite.netd.resolver import Answers, Table

answers = Answers()
answers.tables["net"] = Table({"web": ["10.0.0.5", "fd00::5"]}, {"5.0.0.10.in-addr.arpa": "web"})
sys.meta_path.clear()
for name, kind in (("web", "A"), ("web", "AAAA"), ("5.0.0.10.in-addr.arpa", "PTR")):
    query = dns.message.make_query(name, kind, use_edns=True)
    print(dns.message.from_wire(answers.answer("net", "10.0.0.6", query.to_wire(), 512)).answer[0][0])
"""


class WithoutRootTest(unittest.TestCase):
    def test_a_program_that_can_load_nothing_any_more_answers_all_that_it_knows(self) -> None:
        """As where the package is below /root, which whoever answers may not read."""
        done = subprocess.run([sys.executable, "-c", WITHOUT_FILES], capture_output=True, text=True, timeout=60)
        self.assertEqual(["10.0.0.5", "fd00::5", "web."], done.stdout.split(), done.stderr)


class ResolverTests(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.control, other = socket.socketpair()
        self.addCleanup(self.control.close)
        running = asyncio.create_task(Program(other).run())
        self.addCleanup(other.close)
        self.addAsyncCleanup(asyncio.wait_for, running, 5)
        self.addCleanup(self.control.shutdown, socket.SHUT_RDWR)
        self.ports = [await self.serve(network_id) for network_id in ("one", "two")]

    async def serve(self, network_id: str) -> int:
        """Have a network answered by TCP at a port of the loopback."""
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
            body = {"network_id": network_id, "sockets": 1, "table": {"names": {"web": ["10.0.0.5"]}}}
            content = json.dumps(body).encode()
            socket.send_fds(self.control, [struct.pack("!I", len(content)) + content], [listener.fileno()])
            self.assertEqual(b"+", await asyncio.to_thread(self.control.recv, 1))
            return listener.getsockname()[1]

    async def answers(self, port: int) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        wire = dns.message.make_query("web", "A").to_wire()
        try:
            writer.write(struct.pack("!H", len(wire)) + wire)
            return bool(await reader.read())
        except OSError:
            return False
        finally:
            writer.close()

    async def test_silent_members_of_a_network_take_only_so_much_and_nothing_from_others(self) -> None:
        silent = [
            await asyncio.open_connection("127.0.0.1", self.ports[0]) for _ in range(resolver._MOST_CONVERSATIONS)
        ]
        self.assertTrue(await self.answers(self.ports[1]))
        self.assertFalse(await self.answers(self.ports[0]))
        for _, writer in silent:
            writer.close()
        for _ in range(100):
            if await self.answers(self.ports[0]):
                break
        else:
            self.fail("it goes on refusing")
