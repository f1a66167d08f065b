# SPDX-License-Identifier: Apache-2.0
"""Everybody tries to reach everybody: two tenants with equal subnets, on two hosts, with every kind of rules.

All ordered pairs by TCP to two ports, UDP and ICMP, over IPv4 and IPv6. Each refusal has its positive control:
what is refused within a tenant passes once the rules are open, and what one tenant cannot reach its owner does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from tests.functional.case import PATIENT
from tests.system.fleet_case import FleetTestCase, Place
from tests.system.probes import ANSWERED, ICMP, TCP, UDP, Probe, Receivers, arrivals
from zun_lite.cmd.processes import raise_open_files

TENANTS = ("demo", "admin")
KINDS = ("default", "open", "remote", "friends", "none", "free")
OPEN_PORT, OTHER_PORT = 8080, 9090
WAYS = ((TCP, OPEN_PORT), (TCP, OTHER_PORT), (UDP, OPEN_PORT), (ICMP, 0))
# in both tenants the one with these addresses is of this kind on this host
TWIN = ("default", "h2", "10.1.0.200", "fd00:1::200")
SENDERS_AT_ONCE = 4
SPREADS_WITHIN_SECONDS = 20.0


@dataclass(frozen=True)
class Member:
    tenant: str
    kind: str
    place: Place


class IsolationMatrixTests(FleetTestCase):
    size = 2

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        raise_open_files()
        cls.groups = {tenant: cls.make_groups(tenant) for tenant in TENANTS}
        wanted = [(tenant, kind, host) for tenant in TENANTS for kind in KINDS for host in ("h1", "h2")]
        ports = cls.make_ports(wanted)
        places = cls.run_all(
            [
                {
                    "name": f"{tenant}-{kind}-{host}",
                    "cloud": tenant,
                    "host": host,
                    "nets": [{"port": port}],
                    "command": PATIENT,
                }
                for (tenant, kind, host), port in zip(wanted, ports, strict=True)
            ]
        )
        cls.members = [Member(tenant, kind, place) for (tenant, kind, _), place in zip(wanted, places, strict=True)]

    @classmethod
    def make_groups(cls, tenant: str) -> dict[str, str]:
        groups = {
            name: cls.make("security_group", "security-groups", cloud=tenant, name=name)["id"]
            for name in ("open", "remote", "friends", "everything")
        }
        port = {"protocol": "tcp", "port_range_min": OPEN_PORT, "port_range_max": OPEN_PORT}
        for ethertype, icmp in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
            for name, fields in (
                ("open", port),
                ("remote", {**port, "remote_group_id": groups["friends"]}),
                ("remote", {"protocol": icmp, "remote_group_id": groups["friends"]}),
                ("everything", {}),
            ):
                rule = {"security_group_id": groups[name], "direction": "ingress", "ethertype": ethertype, **fields}
                cls.make("security_group_rule", "security-group-rules", cloud=tenant, **rule)
        return groups

    @classmethod
    def make_ports(cls, wanted: list[tuple[str, str, str]]) -> list[str]:
        networks = {tenant: cls.fleet.make_dual_network(cloud=tenant, name=f"of-{tenant}") for tenant in TENANTS}
        made = []
        for number, (tenant, kind, host) in enumerate(wanted):
            last = 10 + number % len(wanted) + (100 if tenant == TENANTS[1] else 0)
            addresses = TWIN[2:] if (kind, host) == TWIN[:2] else (f"10.1.0.{last}", f"fd00:1::{last}")
            fields: dict = {"network_id": networks[tenant], "fixed_ips": [{"ip_address": ip} for ip in addresses]}
            if kind == "free":
                fields["port_security_enabled"] = False
            elif kind != "default":
                fields["security_groups"] = [] if kind == "none" else [cls.groups[tenant][kind]]
            made.append(cls.make("port", "ports", cloud=tenant, **fields)["id"])
        return made

    def test_everybody_reaches_whom_the_rules_let_and_nobody_else(self) -> None:
        """A11."""
        begun = time.monotonic()
        pairs = [
            (sender, receiver)
            for sender in self.members
            for receiver in self.members
            # the other tenant's twin has the address of one's own
            if sender is not receiver and not (sender.tenant != receiver.tenant and self.is_twin(receiver))
            if not (sender.tenant != receiver.tenant and self.is_twin(sender) and self.is_twin(receiver))
        ]
        places = [member.place for member in self.members]
        receivers = Receivers(places, (OPEN_PORT, OTHER_PORT), (OPEN_PORT,))
        self.addCleanup(receivers.close)

        self.fleet.wait_planes(SPREADS_WITHIN_SECONDS)
        by_rules = self.outcomes(pairs, receivers, allowed)
        self.assertEqual([], by_rules.surprises)

        for member in self.members:
            if member.kind != "free":
                groups = {"security_groups": [self.groups[member.tenant]["everything"]]}
                self.ask("PUT", f"ports/{member.place.port_id}", {"port": groups}, cloud=member.tenant)
        self.fleet.wait_planes(SPREADS_WITHIN_SECONDS)
        opened = self.outcomes(pairs, receivers, lambda sender, receiver, *_: sender.tenant == receiver.tenant)
        self.assertEqual([], opened.surprises)

        inner = {probe for probe in by_rules.refused if probe in opened.passed}
        foreign = by_rules.refused - inner
        reached = {(probe.kind, probe.address, probe.port) for probe in opened.passed}
        self.assertEqual(set(), {probe for probe in foreign if (probe.kind, probe.address, probe.port) not in reached})
        self.assertEqual(foreign, opened.refused, "tenants are apart whatever their rules are")
        print(
            f"\nisolation matrix: {len(by_rules.passed)} pass and {len(by_rules.refused)} are refused by the rules, "
            f"{len(foreign)} of them between tenants; {len(inner)} controls within tenants pass when rules are open; "
            f"no surprise among {len(by_rules.passed) + len(by_rules.refused)} and again as many, "
            f"in {time.monotonic() - begun:.0f} s"
        )

    def is_twin(self, member: Member) -> bool:
        return member.place.v4 == TWIN[2]

    def outcomes(self, pairs, receivers: Receivers, rule) -> Outcomes:
        """All that was tried, a few senders at a time; rule: what should be."""
        found = Outcomes(set(), set(), [])
        senders = list(dict.fromkeys(sender for sender, _ in pairs))
        for first in range(0, len(senders), SENDERS_AT_ONCE):
            some = senders[first : first + SENDERS_AT_ONCE]
            tried = [
                (Probe(sender.place, kind, address, port), rule(sender, receiver, kind, port), receiver)
                for sender, receiver in pairs
                if sender in some
                for address in (receiver.place.v4, receiver.place.v6)
                for kind, port in WAYS
            ]
            came = arrivals([probe for probe, _, _ in tried], [wanted for _, wanted, _ in tried], receivers)
            for (probe, wanted, receiver), name in zip(tried, came, strict=True):
                (found.passed if wanted else found.refused).add(probe)
                expected = (ANSWERED if probe.kind == ICMP else receiver.place.name) if wanted else None
                if name != expected:
                    found.surprises.append(
                        f"{probe.sender.name} {probe.kind} {probe.address} {probe.port}: {name}, not {expected}"
                    )
        return found


@dataclass
class Outcomes:
    """passed, refused: what should; surprises: what did otherwise."""

    passed: set[Probe]
    refused: set[Probe]
    surprises: list[str]


def allowed(sender: Member, receiver: Member, kind: str, port: int) -> bool:
    """What the rules come to."""
    if sender.tenant != receiver.tenant or sender.kind == "none":
        return False
    if receiver.kind == "default":
        return sender.kind == "default"
    if receiver.kind == "remote":
        return sender.kind == "friends" and (kind == ICMP or (kind, port) == (TCP, OPEN_PORT))
    if receiver.kind == "open":
        return (kind, port) == (TCP, OPEN_PORT)
    return receiver.kind == "free"
