# SPDX-License-Identifier: Apache-2.0
"""From the rules of security groups to chains of nftables that let the same through. Pure text.

Rules are gathered by what they are about (family, protocol, ports), and who may take part in that is one
set, so that ten thousand rules are a few lookups. Ports that several such services share are cut into
pieces that do not overlap, as a verdict map demands.

The same rules can be put for answers: what a flow's other side sends back bears the addresses and ports of
the first side's packets the other way round, for nothing is translated within a network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from zun_lite.domain.plane import Rule

INGRESS, EGRESS = "ingress", "egress"
PORT_PROTOCOLS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}
ICMP, ICMPV6 = 1, 58
# what is sent back to an ICMP message: of these types alone is there a flow with answers
_ICMP_ANSWERS = {(ICMP, 8): 0, (ICMP, 13): 14, (ICMP, 15): 16, (ICMP, 17): 18, (ICMPV6, 128): 129}
_FAMILIES = {"IPv4": ("ipv4", "ip", "4"), "IPv6": ("ipv6", "ip6", "6")}
# beyond this many jumps, pieces cost more than asking each service in turn
_MOST_PIECES = 20000

Chains = dict[str, tuple[str, ...]]


def group_set(group_id: str, version: str) -> str:
    """The set of a group's members of a family, "4" or "6"."""
    return f"g{version}_{group_id.replace('-', '')}"


def group_prefix_set(group_id: str, version: str) -> str:
    """The set of the prefixes that a group's members may send from beside their addresses."""
    return f"p{version}_{group_id.replace('-', '')}"


@dataclass(frozen=True, order=True)
class _Service:
    """What a rule is about. protocol -1: all. low -1: all ports, types or codes."""

    ethertype: str
    protocol: int
    low: int
    high: int


@dataclass
class _Peers:
    anybody: bool = False
    prefixes: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Terms:
    """Where a packet bears what the rules of a direction are about. answers: it is an answer to such a packet."""

    direction: str
    answers: bool

    @property
    def address(self) -> str:
        return "saddr" if (self.direction == INGRESS) is not self.answers else "daddr"

    @property
    def port(self) -> str:
        return "sport" if self.answers else "dport"

    def icmp(self, protocol: int, kind: int, code: int) -> str | None:
        """The condition for messages of a kind and code, or for the answers to them; None: there are none."""
        word = "icmp" if protocol == ICMP else "icmpv6"
        if self.answers:
            answer = _ICMP_ANSWERS.get((protocol, kind))
            return None if answer is None else f"{word} type {answer}"
        return f"{word} type {kind}" if code == -1 else f"{word} type {kind} {word} code {code}"


def compile_chains(name: str, direction: str, rules: Iterable[Rule], *, answers: bool = False) -> Chains:
    """A chain of that name, and those it jumps to: accepted is what a rule lets through, all else is dropped.

    answers: for what comes back to what the rules let through, in place of that itself.
    """
    terms = _Terms(direction, answers)
    services = _gather(rule for rule in rules if rule.direction == direction)
    chains: Chains = {}
    body: list[str] = []
    for ethertype in _FAMILIES:
        own = {service: peers for service, peers in services.items() if service.ethertype == ethertype}
        body += _family(name, terms, ethertype, own, chains)
    return {name: (*body, "drop"), **chains}


def _gather(rules: Iterable[Rule]) -> dict[_Service, _Peers]:
    services: dict[_Service, _Peers] = {}
    for rule in rules:
        peers = services.setdefault(_service(rule), _Peers())
        if rule.remote_group is not None:
            peers.groups.add(rule.remote_group)
        elif rule.remote_prefix is not None and ipaddress.ip_network(rule.remote_prefix, strict=False).prefixlen:
            peers.prefixes.add(rule.remote_prefix)
        else:
            peers.anybody = True
    return services


def _service(rule: Rule) -> _Service:
    if rule.protocol is None:
        return _Service(rule.ethertype, -1, -1, -1)
    protocol = ICMPV6 if rule.protocol == ICMP and rule.ethertype == "IPv6" else rule.protocol
    if protocol in (ICMP, ICMPV6):
        return _Service(rule.ethertype, protocol, _or_all(rule.port_min), _or_all(rule.port_max))
    if protocol not in PORT_PROTOCOLS or (rule.port_min is None and rule.port_max is None):
        return _Service(rule.ethertype, protocol, -1, -1)
    low = rule.port_min if rule.port_min is not None else 0
    high = rule.port_max if rule.port_max is not None else 65535
    return _Service(rule.ethertype, protocol, low, high)


def _or_all(number: int | None) -> int:
    return -1 if number is None else number


def _family(name: str, terms: _Terms, ethertype: str, services: dict[_Service, _Peers], chains: Chains) -> list[str]:
    if not services:
        return []
    family = _FAMILIES[ethertype][0]
    lead = f"meta nfproto {family}"
    open_to_all = sorted(service for service, peers in services.items() if peers.anybody)
    if open_to_all and open_to_all[0].protocol == -1:
        return [f"{lead} accept"]
    body = [f"{lead} {match} accept" for match in _matches(terms, open_to_all)]
    jumps: dict[_Service, str] = {}
    for service in sorted(service for service, peers in services.items() if not peers.anybody):
        chain = f"{name}{'v' + _FAMILIES[ethertype][2]}s{len(jumps)}"
        chains[chain] = _peers_rules(terms, ethertype, services[service])
        jumps[service] = chain
    return body + [f"{lead} {line}" for line in _dispatch(f"{name}v{_FAMILIES[ethertype][2]}", terms, jumps, chains)]


def _matches(terms: _Terms, services: list[_Service]) -> list[str]:
    """Conditions that between them hold exactly for these services, none of which is about all protocols."""
    whole = sorted({service.protocol for service in services if service.low == -1 and service.high == -1})
    matches = [f"meta l4proto {{ {', '.join(map(str, whole))} }}"] if whole else []
    for protocol in sorted({service.protocol for service in services}.difference(whole)):
        spans = [(service.low, service.high) for service in services if service.protocol == protocol]
        if protocol in PORT_PROTOCOLS:
            ports = ", ".join(_span(low, high) for low, high in _merged(spans))
            matches.append(f"{PORT_PROTOCOLS[protocol]} {terms.port} {{ {ports} }}")
        else:
            kinds = (terms.icmp(protocol, kind, code) for kind, code in sorted(set(spans)))
            matches += [match for match in kinds if match is not None]
    return matches


def _dispatch(name: str, terms: _Terms, jumps: dict[_Service, str], chains: Chains) -> list[str]:
    """Lines that lead a packet through the chain of each service that it is of."""
    lines = []
    spans: dict[int, list[tuple[int, int, str]]] = {}
    for service, chain in jumps.items():
        if service.protocol == -1:
            lines.append(f"jump {chain}")
        elif service.low == -1 and service.high == -1:
            lines.append(f"meta l4proto {service.protocol} jump {chain}")
        elif service.protocol in PORT_PROTOCOLS:
            spans.setdefault(service.protocol, []).append((service.low, service.high, chain))
        elif (match := terms.icmp(service.protocol, service.low, service.high)) is not None:
            lines.append(f"{match} jump {chain}")
    for protocol, found in spans.items():
        lead = f"{PORT_PROTOCOLS[protocol]} {terms.port}"
        pieces = _pieces(found)
        if pieces is None:
            lines += [f"{lead} {_span(low, high)} jump {chain}" for low, high, chain in found]
            continue
        shared: dict[tuple[str, ...], str] = {}
        for _, _, targets in pieces:
            if len(targets) > 1 and targets not in shared:
                shared[targets] = f"{name}p{protocol}m{len(shared)}"
                chains[shared[targets]] = tuple(f"jump {target}" for target in targets)
        verdicts = ", ".join(
            f"{_span(low, high)} : jump {shared.get(targets) or targets[0]}" for low, high, targets in pieces
        )
        lines.append(f"{lead} vmap {{ {verdicts} }}")
    return lines


def _pieces(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, tuple[str, ...]]] | None:
    """The spans cut where one begins or ends, each piece with the chains of all that cover it.

    None when that would be too many: what people write overlaps little.
    """
    begins: dict[int, list[str]] = {}
    ends: dict[int, list[str]] = {}
    for low, high, chain in spans:
        begins.setdefault(low, []).append(chain)
        ends.setdefault(high + 1, []).append(chain)
    pieces: list[tuple[int, int, tuple[str, ...]]] = []
    covering: dict[str, None] = {}
    before, total = 0, 0
    for edge in sorted({*begins, *ends}):
        if covering:
            pieces.append((before, edge - 1, tuple(covering)))
            total += len(covering)
            if total > _MOST_PIECES + len(spans):
                return None
        for chain in ends.get(edge, ()):
            del covering[chain]
        covering.update(dict.fromkeys(begins.get(edge, ())))
        before = edge
    return pieces


def _peers_rules(terms: _Terms, ethertype: str, peers: _Peers) -> tuple[str, ...]:
    _, word, version = _FAMILIES[ethertype]
    address = f"{word} {terms.address}"
    lines = []
    if peers.prefixes:
        lines.append(f"{address} {{ {', '.join(_collapsed(peers.prefixes))} }} accept")
    for group_id in sorted(peers.groups):
        lines.append(f"{address} @{group_set(group_id, version)} accept")
        lines.append(f"{address} @{group_prefix_set(group_id, version)} accept")
    return tuple(lines)


def _collapsed(prefixes: Iterable[str]) -> list[str]:
    """The same addresses in prefixes that do not overlap."""
    networks = [ipaddress.ip_network(prefix, strict=False) for prefix in prefixes]
    return [str(network) for network in ipaddress.collapse_addresses(networks)]  # type: ignore[type-var]


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"
