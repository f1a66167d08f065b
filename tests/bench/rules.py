# SPDX-License-Identifier: Apache-2.0
"""What a host's packet rules cost as it grows: a port more, a security group's change.

The product's own code is measured against the kernel, in a namespace that goes afterwards, with links that stand
for the containers'; the other side of a group's change is the nft command with the very same script. Before each
sample is a rest, so that what the kernel still tidies up of the one before counts for neither side.
"""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench import measure
from tests.bench.measure import Row, ratio_at_most
from zun_lite.domain.plane import GroupState, PortState, Rule
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import namespaces, rulebook
from zun_lite.netd.firewall import Firewall, Occupant
from zun_lite.netd.rulebook import Combination

FEW, MANY = 10, 10_000
ROUNDS = 15
REST_SECONDS = 0.1


def run() -> list[Row]:
    few, many = Switch(FEW), Switch(MANY)
    with few.made(), many.made():
        pairs = [(few.add_a_port(number), many.add_a_port(number)) for number in range(ROUNDS)]
        added = Row(
            f"rules of a port more, at {MANY} ports",
            "ms",
            [pair[1] for pair in pairs],
            [pair[0] for pair in pairs],
            f"at {FEW} ports",
            "under 10 times",
            ratio_at_most(10),
        )
        changes = [many.change_the_group(number) for number in range(ROUNDS)]
        return [
            added,
            Row(
                f"a security group's change, at {MANY} ports",
                "ms",
                [ours for ours, _ in changes],
                [theirs for _, theirs in changes],
                "nft -f of the same",
                "faster",
                ratio_at_most(1),
            ),
            Row(f"all rules anew, at {MANY} ports", "ms", [many.load_seconds * 1000]),
        ]


class Switch:
    """A network's namespace with so many ports, all in one group that names itself."""

    def __init__(self, ports: int) -> None:
        self._name = f"zlbench-{uuid.uuid4().hex[:8]}"
        self._network_id, self._group_id = str(uuid.uuid4()), str(uuid.uuid4())
        self._firewall = Firewall()
        self._occupants = [self._occupant(number) for number in range(ports)]
        self._members = [occupant.endpoint.addresses[0].ip for occupant in self._occupants]
        self.load_seconds = 0.0

    @contextmanager
    def made(self) -> Iterator[None]:
        namespaces.create(self._name)
        try:
            self._make_links([occupant.link for occupant in self._occupants])
            began = time.perf_counter()
            self._sync(())
            self.load_seconds = time.perf_counter() - began
            yield
        finally:
            namespaces.remove(self._name)

    def add_a_port(self, number: int) -> float:
        """Milliseconds of one port more: its rules before its link is there, and its short way afterwards."""
        occupant = self._occupant(len(self._occupants))
        self._occupants.append(occupant)
        time.sleep(REST_SECONDS)
        with namespaces.opened(self._name) as switch_fd:
            began = time.perf_counter()
            self._firewall.admit(self._network_id, switch_fd, occupant, self._groups(()), lambda _: self._members)
            admitted = time.perf_counter() - began
            self._make_links([occupant.link])
            time.sleep(REST_SECONDS)
            began = time.perf_counter()
            self._firewall.hasten(self._network_id, switch_fd, occupant.link)
            hastened = time.perf_counter() - began
        return (admitted + hastened) * 1000

    def change_the_group(self, number: int) -> tuple[float, float]:
        """Milliseconds of a rule more, by the product and by the nft command, each after a rest."""
        before = rulebook.combination(1, self._combination(), self._groups(()))
        extra = (Rule("ingress", "IPv4", 6, 1000 + number, 1000 + number),)
        after = rulebook.combination(1, self._combination(), self._groups(extra))
        time.sleep(REST_SECONDS)
        began = time.perf_counter()
        self._sync(extra)
        ours = time.perf_counter() - began
        self._sync(())
        script = rulebook.script({1: before}, {1: after})
        time.sleep(REST_SECONDS)
        with namespaces.opened(self._name) as switch_fd:
            theirs = namespaces.inside(switch_fd, lambda: measure.timed(lambda: _nft(script)))
        self._sync(())
        return ours * 1000, theirs

    def _sync(self, extra: tuple[Rule, ...]) -> None:
        with namespaces.opened(self._name) as switch_fd:
            self._firewall.sync(
                self._network_id, switch_fd, (), self._occupants, self._groups(extra), lambda _: self._members
            )

    def _make_links(self, links: list[str]) -> None:
        commands = "".join(f"link add {link} type ifb numtxqueues 1 numrxqueues 1\n" for link in links)
        subprocess.run(["ip", "-n", self._name, "-batch", "-"], input=commands, text=True, check=True)

    def _groups(self, extra: tuple[Rule, ...]) -> dict[str, GroupState]:
        rules = (
            Rule("egress"),
            Rule("ingress", "IPv4", remote_group=self._group_id),
            Rule("ingress", "IPv4", 6, 22, 22),
            *extra,
        )
        return {self._group_id: GroupState(self._group_id, rules)}

    def _combination(self) -> Combination:
        return Combination((self._group_id,))

    def _occupant(self, number: int) -> Occupant:
        ip, mac = (
            f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}",
        )
        endpoint = Endpoint(str(uuid.uuid4()), self._network_id, 1, mac, 1450, (Address(ip, 8, str(uuid.uuid4())),))
        state = PortState(endpoint.port_id, mac, (ip,), True, groups=(self._group_id,))
        return Occupant(f"zv{number:011x}", endpoint, state, self._combination())


def _nft(script: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
