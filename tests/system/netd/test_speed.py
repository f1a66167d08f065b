# SPDX-License-Identifier: Apache-2.0
"""How fast a port may be, what it is said to have sent and got."""

from __future__ import annotations

import socket
import threading
import time

from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from tests.system.netd.talk import inside, listening, socket_in
from zun_lite.domain.wiring import Endpoint

LIMIT_KBPS = 20_000
SECONDS = 2.0


def kbps(sender: Container, receiver: Container, address: str) -> float:
    """The rate at which TCP arrives, after what the first burst lets through."""
    with listening(receiver, address, 5001) as server, socket_in(sender, address, socket.SOCK_STREAM) as client:
        client.connect((address, 5001))
        accepted, _ = server.accept()
        stop = threading.Event()

        def pour() -> None:
            while not stop.is_set():
                try:
                    client.send(bytes(16384))
                except OSError:
                    return

        thread = threading.Thread(target=pour, daemon=True)
        thread.start()
        with accepted:
            begin, got, start = time.monotonic(), 0, 0.0
            while time.monotonic() - begin < 0.5 + SECONDS:
                octets = len(accepted.recv(1 << 16))
                if time.monotonic() - begin > 0.5:
                    start = start or time.monotonic()
                    got += octets
            took = time.monotonic() - start
            stop.set()
        client.close()
        thread.join(5)
    return got * 8 / 1000 / took


class SpeedTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network_id = new_id()
        self.group_id = self.group(*EVERYTHING)
        self.ends = [member(self.network_id, last) for last in (5, 6)]
        self.limit()
        self.sender, self.receiver = (self.joined(end) for end in self.ends)

    def limit(self, **limits: int) -> None:
        """Give the first port these limits."""
        ports = [port(self.ends[0], self.group_id, **limits), port(self.ends[1], self.group_id)]
        self.networks["one"] = network(self.network_id, ports)
        self.give()

    def at(self, number: int) -> str:
        return self.ends[number].addresses[0].ip

    def test_what_a_port_sends_and_gets_is_held_to_its_limits(self) -> None:
        self.assertGreater(kbps(self.sender, self.receiver, self.at(1)), 5 * LIMIT_KBPS)

        self.limit(kbps_out=LIMIT_KBPS)
        self.assert_near(LIMIT_KBPS, kbps(self.sender, self.receiver, self.at(1)))
        self.assertGreater(kbps(self.receiver, self.sender, self.at(0)), 5 * LIMIT_KBPS)

        self.limit(kbps_in=LIMIT_KBPS)
        self.assert_near(LIMIT_KBPS, kbps(self.receiver, self.sender, self.at(0)))
        self.assertGreater(kbps(self.sender, self.receiver, self.at(1)), 5 * LIMIT_KBPS)

        self.limit()
        self.assertGreater(kbps(self.receiver, self.sender, self.at(0)), 5 * LIMIT_KBPS)
        self.assert_no_strays()

    def test_a_limit_outlives_netd_and_the_containers_own_start(self) -> None:
        self.limit(kbps_out=LIMIT_KBPS)
        record = self.record_of(self.ends[0])
        self.host.kill()
        self.host.start()
        again = self.container()
        again.container_id = record
        self.netd.ask("wire", container_id=record, pid=again.pid)

        self.assert_near(LIMIT_KBPS, kbps(again, self.receiver, self.at(1)))

    def test_a_limit_that_went_while_netd_was_away_is_taken_off(self) -> None:
        self.limit(kbps_out=LIMIT_KBPS, kbps_in=LIMIT_KBPS)
        self.host.kill()
        self.host.start()

        self.limit()

        self.assertGreater(kbps(self.sender, self.receiver, self.at(1)), 5 * LIMIT_KBPS)
        self.assertGreater(kbps(self.receiver, self.sender, self.at(0)), 5 * LIMIT_KBPS)

    def test_counts_are_as_the_container_sees_them(self) -> None:
        kbps(self.sender, self.receiver, self.at(1))

        counts = self.netd.stats(self.record_of(self.ends[0]))[self.ends[0].port_id]
        self.assertGreater(counts["tx_bytes"], 1_000_000)
        self.assertGreater(counts["tx_bytes"], counts["rx_bytes"])
        traffic = self.netd.list()["traffic"]
        self.assertEqual({end.port_id for end in self.ends}, set(traffic))
        self.assertGreaterEqual(traffic[self.ends[0].port_id]["tx_bytes"], counts["tx_bytes"])
        self.assertGreater(traffic[self.ends[1].port_id]["rx_bytes"], 1_000_000)
        for name, value in self.inner().items():
            self.assertAlmostEqual(value, counts[name], delta=value // 20 + 2000)

    def inner(self) -> dict[str, int]:
        """The same out of /proc, which is the container's own when read in its namespace."""

        def read() -> dict[str, int]:
            with open("/proc/thread-self/net/dev") as file:
                fields = next(line.split() for line in file if line.strip().startswith("eth0:"))
            return {"rx_bytes": int(fields[1]), "tx_bytes": int(fields[9])}

        return inside(self.sender, read)

    def record_of(self, end: Endpoint) -> str:
        return next(record["container_id"] for record in self.netd.list()["records"] if end.port_id in record["ports"])

    def assert_near(self, wanted: float, seen: float) -> None:
        self.assertTrue(0.9 * wanted < seen < 1.1 * wanted, f"{seen:.0f} kbit/s instead of {wanted:.0f}")
