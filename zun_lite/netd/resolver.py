# SPDX-License-Identifier: Apache-2.0
"""The program that answers containers' questions for names: one for all networks of a host, without privileges.

netd starts it, gives it sockets that are already bound in each network's namespace, and tells it each
network's names; it ends with netd. A name of a network is answered to that network's members alone, and
to a container that is on several networks from all of them. What else has a dot in it is refused where
the subnet has name servers of its own, so that the asker's library goes on to the next one in its list,
by the tenant's own way and under its own rules; where there are none, it does not exist.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import random
import socket
import struct
import sys
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype

# Loaded before root is given up: dnspython looks for them when first needed, where then only root might read.
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.PTR
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.rrset

NOBODY = 65534
TTL_SECONDS = 5
_PLAIN_BYTES, _MOST_BYTES = 512, 1232
_TCP_SECONDS = 5.0
# one tenant must not take the descriptors of all
_MOST_CONVERSATIONS = 64
_FAMILIES = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}


@dataclass
class Table:
    """A network's names. also: for the address of a container on several networks, the others. forwards: see above."""

    names: dict[str, list[str]] = field(default_factory=dict)
    pointers: dict[str, str] = field(default_factory=dict)
    also: dict[str, list[str]] = field(default_factory=dict)
    forwards: bool = False


class Answers:
    """What is answered to whom."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def answer(self, network_id: str, client: str, wire: bytes, most_bytes: int | None) -> bytes | None:
        """The answer to a message, or None to what deserves none. most_bytes None: as many as it takes."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            response.set_rcode(dns.rcode.NOTIMP)
            return response.to_wire()
        self._fill(response, network_id, client)
        if most_bytes is not None and query.edns >= 0:
            most_bytes = min(max(query.payload, _PLAIN_BYTES), _MOST_BYTES)
        try:
            return response.to_wire(max_size=most_bytes or 65535)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def _fill(self, response: dns.message.Message, network_id: str, client: str) -> None:
        question = response.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        own = self.tables.get(network_id, Table())
        tables = [own, *(self.tables[other] for other in own.also.get(client, ()) if other in self.tables)]
        if question.rdtype == dns.rdatatype.PTR:
            targets = [table.pointers[name] for table in tables if name in table.pointers]
            if targets:
                self._add(response, question, "PTR", [f"{target}." for target in targets[:1]])
                return
        addresses = [address for table in tables for address in table.names.get(name, ())]
        if addresses:
            family = _FAMILIES.get(question.rdtype)
            fitting = [item for item in addresses if family == (6 if ":" in item else 4)]
            random.shuffle(fitting)
            self._add(response, question, "AAAA" if family == 6 else "A", fitting)
        elif "." in name and own.forwards:
            response.set_rcode(dns.rcode.REFUSED)
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)

    def _add(self, response: dns.message.Message, question: Any, kind: str, values: list[str]) -> None:
        response.flags |= dns.flags.AA
        if values:
            response.answer.append(dns.rrset.from_text(question.name, TTL_SECONDS, "IN", kind, *values))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answers: Answers, network_id: str) -> None:
        self._answers = answers
        self._network_id = network_id
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        answer = self._answers.answer(self._network_id, addr[0], data, _PLAIN_BYTES)
        if answer is not None:
            self._transport.sendto(answer, addr)


class Program:
    """control: the socket to netd; see nameservice.py for what it says."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._answers = Answers()
        self._open: dict[str, list[Any]] = {}
        self._conversations: dict[str, int] = {}

    async def run(self) -> None:
        """Answer until netd is gone."""
        loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        wakened = asyncio.Event()
        loop.add_reader(self._control.fileno(), wakened.set)
        pending, descriptors = b"", array.array("i")
        while True:
            await wakened.wait()
            wakened.clear()
            with contextlib.suppress(BlockingIOError):
                while True:
                    octets, came, _, _ = socket.recv_fds(self._control, 1 << 20, 16)
                    if not octets:
                        return
                    pending += octets
                    descriptors.extend(came)
            while len(pending) >= 4 and len(pending) >= 4 + (length := struct.unpack("!I", pending[:4])[0]):
                message, pending = json.loads(pending[4 : 4 + length]), pending[4 + length :]
                own = [descriptors.pop(0) for _ in range(message["sockets"])]
                await self._heed(message, own)
                self._control.send(b"+")

    async def _heed(self, message: dict[str, Any], descriptors: list[int]) -> None:
        network_id = message["network_id"]
        if descriptors or message["table"] is None:
            for former in self._open.pop(network_id, ()):
                former.close()
        if message["table"] is None:
            self._answers.tables.pop(network_id, None)
            return
        self._answers.tables[network_id] = Table(**message["table"])
        loop = asyncio.get_running_loop()
        for sock in (socket.socket(fileno=descriptor) for descriptor in descriptors):
            sock.setblocking(False)
            server: Any
            if sock.type == socket.SOCK_DGRAM:
                server, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self._answers, network_id), sock=sock
                )
            else:
                server = await asyncio.start_server(
                    lambda reader, writer: self._converse(network_id, reader, writer), sock=sock
                )
            self._open.setdefault(network_id, []).append(server)

    async def _converse(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One question by TCP."""
        under_way = self._conversations.get(network_id, 0)
        if under_way < _MOST_CONVERSATIONS:
            self._conversations[network_id] = under_way + 1
            try:
                await self._answer(network_id, reader, writer)
            finally:
                left = self._conversations.pop(network_id) - 1
                if left:
                    self._conversations[network_id] = left
        writer.close()

    async def _answer(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(_TCP_SECONDS):
                length = struct.unpack("!H", await reader.readexactly(2))[0]
                wire = await reader.readexactly(length)
                answer = self._answers.answer(network_id, writer.get_extra_info("peername")[0], wire, None)
                if answer is not None:
                    writer.write(struct.pack("!H", len(answer)) + answer)
                    await writer.drain()


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    asyncio.run(Program(control).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
