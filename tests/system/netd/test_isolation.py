# SPDX-License-Identifier: Apache-2.0
"""All ordered pairs of tenants' networks with equal addresses, by TCP, UDP and ICMP, in both families.

In each run every sender also reaches its own network's member by the same means.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from tests.system.netd.talk import arrives, connects, listening
from zun_lite.domain.wiring import Endpoint

NETWORKS = 3
PORT = 8080


class IsolationTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        group = self.group(*EVERYTHING)
        self.senders: list[Container] = []
        self.receivers: list[tuple[Container, Endpoint]] = []
        for number in range(NETWORKS):
            network_id = new_id()
            sender, receiver = member(network_id, 5), member(network_id, 10 + number)
            states = [port(sender, group), port(receiver, group)]
            self.networks[network_id] = network(network_id, states, vni=1001 + number)
            self.senders.append(self.joined(sender))
            self.receivers.append((self.joined(receiver), receiver))
        self.give()

    def test_nothing_passes_from_one_network_to_another_and_all_passes_within_one(self) -> None:
        """A11."""
        self.assertEqual([], self.surprises())

    def test_so_it_is_while_netd_is_away_and_when_it_is_back(self) -> None:
        """A11."""
        self.host.kill()
        self.assertEqual([], self.surprises())
        self.host.start()
        self.assertEqual([], self.surprises())

    def surprises(self) -> list[str]:
        """What passes and should not, and the other way round."""
        attempts: list[tuple[str, bool, Callable[[], bool]]] = []
        for source, sender in enumerate(self.senders):
            for target, (receiver, end) in enumerate(self.receivers):
                for address in (item.ip for item in end.addresses):
                    for name, way in (("tcp", self.tcp), ("udp", arrives), ("icmp", self.icmp)):
                        number = PORT + source
                        attempts.append(
                            (
                                f"{name} {source} to {target} at {address}",
                                source == target,
                                lambda way=way, s=sender, r=receiver, a=address, n=number: way(s, r, a, n),
                            )
                        )
        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda attempt: attempt[2](), attempts))
        wrong = [what for (what, wanted, _), seen in zip(attempts, outcomes, strict=True) if wanted != seen]
        self.assertEqual(NETWORKS * NETWORKS * 6, len(outcomes))
        return wrong

    def tcp(self, sender: Container, receiver: Container, address: str, number: int) -> bool:
        with listening(receiver, address, number):
            return connects(sender, address, number, 1.5)

    def icmp(self, sender: Container, _: Container, address: str, __: int) -> bool:
        return sender.can_ping(address)
