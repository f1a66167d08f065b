# SPDX-License-Identifier: Apache-2.0
"""The packet rules of a tenant network's namespace, as text in parts. Pure: tells no kernel.

Two tables. `bridge zl` sees each frame that a port sends, before the bridge learns from it: what does
not bear the port's own addresses goes no further. `inet zl` sees bridged packets through br_netfilter,
which is where connections are tracked: there a port's security groups hold, for what it sends (out*)
and for what it gets (in*).

What most packets are, a port's own and neither UDP nor about neighbours, is told by one look at the guard's top.

A packet's mark says which combination of groups its port has; the bridge's hooks set it from the port's
link, so that a port is judged by where it is and never by what it says. Mark 0 is a link of our own (a
tunnel or a router) or a port that is not to be guarded. What a connection's first side sends is judged
by the rules each time, and so is, by the same rules, what the other side sends back: a rule that is taken
away ends what it had let through, in both directions. Forgetting the connection instead would not: its
other side would go on as the first side of a new one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from zun_lite.common import eui64
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6, GroupState, PortState
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import grouprules
from zun_lite.netd.names import BRIDGE, METADATA_ADDRESSES

BRIDGE_TABLE, INET_TABLE = "bridge zl", "inet zl"
TABLES: tuple[str, ...] = (BRIDGE_TABLE, INET_TABLE)
_DNS_PACKETS_PER_SECOND = 2000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BASE = f"""
table {BRIDGE_TABLE} {{
  set trusted {{ type ifname; }}
  set open {{ type ifname; }}
  set macs {{ type ifname . ether_addr; }}
  set own4 {{ type ifname . ether_addr . ipv4_addr; }}
  set pair4 {{ type ifname . ether_addr . ipv4_addr; flags interval; }}
  set own6 {{ type ifname . ether_addr . ipv6_addr; }}
  set pair6 {{ type ifname . ether_addr . ipv6_addr; flags interval; }}
  set target6 {{ typeof iifname . ether saddr . @th,64,128; }}
  map out_mark {{ type ifname : mark; }}
  map in_mark {{ type ifname : mark; }}
  chain guard {{
    type filter hook prerouting priority -310; policy drop;
    meta mark set 0
    ether type ip meta l4proto != udp iifname . ether saddr . ip saddr @own4 meta mark set iifname map @out_mark accept
    ether type ip6 ip6 nexthdr tcp iifname . ether saddr . ip6 saddr @own6 meta mark set iifname map @out_mark accept
    iifname @trusted accept
    iifname @open accept
    ether type {{ 8021q, 8021ad }} drop
    iifname . ether saddr != @macs drop
    meta mark set iifname map @out_mark
    ether type arp goto guard_arp
    ether type ip goto guard_ip
    ether type ip6 goto guard_ip6
  }}
  chain guard_arp {{
    arp htype != 1 drop
    arp ptype != ip drop
    arp operation != {{ 1, 2 }} drop
    iifname . arp saddr ether . arp saddr ip @own4 accept
    iifname . arp saddr ether . arp saddr ip @pair4 accept
    drop
  }}
  chain guard_ip {{
    udp sport 67 drop
    iifname . ether saddr . ip saddr @own4 accept
    iifname . ether saddr . ip saddr @pair4 accept
    drop
  }}
  chain guard_ip6 {{
    udp sport 547 drop
    icmpv6 type {{ nd-router-advert, nd-redirect }} drop
    icmpv6 type nd-neighbor-advert iifname . ether saddr . @th,64,128 != @target6 drop
    ip6 saddr :: icmpv6 type nd-neighbor-solicit iifname . ether saddr . @th,64,128 @target6 accept
    iifname . ether saddr . ip6 saddr @own6 accept
    iifname . ether saddr . ip6 saddr @pair6 accept
    drop
  }}
  chain towards {{
    type filter hook forward priority -10; policy accept;
    meta mark set 0
    meta mark set oifname map @in_mark
  }}
}}
table {INET_TABLE} {{
  map out_rules {{ type mark : verdict; }}
  map in_rules {{ type mark : verdict; }}
  map out_answers {{ type mark : verdict; }}
  map in_answers {{ type mark : verdict; }}
  counter metadata {{ }}
  chain sent {{
    type filter hook prerouting priority -150; policy accept;
    ip daddr {METADATA_ADDRESSES[0]} counter name metadata drop
    ip6 daddr {METADATA_ADDRESSES[1]} counter name metadata drop
    iifname != "{BRIDGE}" accept
    meta mark 0 accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    ct state invalid drop
    ip daddr {DNS_ADDRESS} accept
    ip6 daddr {DNS_ADDRESS_V6} accept
    ct direction reply ct state established goto sent_back
    ct state related accept
    meta mark vmap @out_rules
    drop
  }}
  chain sent_back {{
    meta mark vmap @in_answers
    drop
  }}
  chain received {{
    type filter hook forward priority 0; policy accept;
    meta mark 0 accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    ct state invalid drop
    ct direction reply ct state established goto received_back
    ct state related accept
    meta mark vmap @in_rules
    drop
  }}
  chain received_back {{
    meta mark vmap @out_answers
    drop
  }}
  chain local {{
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    meta l4proto != {{ tcp, udp }} drop
    th dport != 53 drop
    ip daddr {DNS_ADDRESS} limit rate {_DNS_PACKETS_PER_SECOND}/second accept
    ip6 daddr {DNS_ADDRESS_V6} limit rate {_DNS_PACKETS_PER_SECOND}/second accept
  }}
}}
"""


@dataclass(frozen=True)
class Part:
    """Some of a namespace's rules that come and go together.

    Keys bear their table, such as "inet zl in_rules". sets: declarations of sets that are the part's
    own. elements: of those, and of the base's. chains: the rules of each.
    """

    sets: dict[str, str] = field(default_factory=dict)
    elements: dict[str, frozenset[str]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Combination:
    """What a port's groups come to. groups None: not known. enforced False: whatever is sent and asked for passes.

    With groups unknown the port may ask and be answered, and nobody may ask it.
    """

    groups: tuple[str, ...] | None
    enforced: bool = True


NOT_ENFORCED = Combination(None, enforced=False)
UNKNOWN = Combination(None)


def trusted(link: str) -> Part:
    """A link of our own: a tunnel's or a router's."""
    return Part(elements=_elements("trusted", [f'"{link}"']))


def port(link: str, endpoint: Endpoint, state: PortState | None, number: int) -> Part:
    """What a port may send, and by which combination of groups it is judged.

    The wiring's own addresses always hold; a state adds what else the port may send from.
    """
    if state is not None and not state.port_security:
        return Part(elements=_elements("open", [f'"{link}"']))
    exact = [(endpoint.mac, address.ip) for address in endpoint.addresses]
    prefixes: list[tuple[str, Network]] = []
    for pair in state.allowed_address_pairs if state is not None else ():
        mac, network = pair.mac or endpoint.mac, ipaddress.ip_network(pair.address, strict=False)
        if network.prefixlen == network.max_prefixlen:
            exact = [*exact, (mac, str(network.network_address))]
        else:
            prefixes.append((mac, network))
    macs = {endpoint.mac, *(mac for mac, _ in exact), *(mac for mac, _ in prefixes)}
    # elements of one set must not overlap
    wide = [
        (mac, str(network))
        for mac in sorted(macs)
        for version in (4, 6)
        for network in ipaddress.collapse_addresses(  # type: ignore[type-var]
            network for owner, network in prefixes if owner == mac and network.version == version
        )
    ]
    exact6 = {(mac, ip) for mac, ip in exact if ":" in ip}
    if exact6 or any(":" in prefix for _, prefix in wide):
        exact6 |= {(mac, link_local(mac)) for mac in macs}
    lead = f'"{link}" . '
    return Part(
        elements={
            **_elements("macs", [lead + mac for mac in macs]),
            **_elements("own4", [f"{lead}{mac} . {ip}" for mac, ip in exact if ":" not in ip]),
            **_elements("pair4", [f"{lead}{mac} . {prefix}" for mac, prefix in wide if ":" not in prefix]),
            **_elements("own6", [f"{lead}{mac} . {ip}" for mac, ip in exact6]),
            **_elements("pair6", [f"{lead}{mac} . {prefix}" for mac, prefix in wide if ":" in prefix]),
            **_elements("target6", [f"{lead}{mac} . {_as_number(ip)}" for mac, ip in exact6]),
            **_elements("out_mark", [f'"{link}" : {number}']),
            **_elements("in_mark", [f'"{link}" : {number}']),
        }
    )


def combination(number: int, which: Combination, groups: dict[str, GroupState]) -> Part:
    """The chains of a combination; a group that is not known lets nothing through."""
    chains: grouprules.Chains = {}
    elements: dict[str, frozenset[str]] = {}
    for word, direction in (("out", grouprules.EGRESS), ("in", grouprules.INGRESS)):
        for verdicts, name, answers in ((f"{word}_rules", word, False), (f"{word}_answers", f"{word}_back", True)):
            chain = f"{name}{number}"
            elements[f"{INET_TABLE} {verdicts}"] = frozenset([f"{number} : goto {chain}"])
            if which.groups is None:
                chains[chain] = ("drop",) if which.enforced and word == "in" else ("accept",)
            else:
                rules = [rule for group_id in which.groups if group_id in groups for rule in groups[group_id].rules]
                chains |= grouprules.compile_chains(chain, direction, rules, answers=answers)
    return Part(elements=elements, chains={f"{INET_TABLE} {chain}": lines for chain, lines in chains.items()})


def group(group_id: str, members: Iterable[str]) -> Part:
    """The sets of a group's members that rules of other groups name. members: addresses and prefixes."""
    exact: dict[str, set[str]] = {"4": set(), "6": set()}
    wide: dict[str, list[Network]] = {"4": [], "6": []}
    for member in members:
        if "/" not in member:
            exact["6" if ":" in member else "4"].add(member)
            continue
        network = ipaddress.ip_network(member, strict=False)
        if network.prefixlen == network.max_prefixlen:
            exact[str(network.version)].add(str(network.network_address))
        else:
            wide[str(network.version)].append(network)
    sets, elements = {}, {}
    for version, kind in (("4", "ipv4_addr"), ("6", "ipv6_addr")):
        name = f"{INET_TABLE} {grouprules.group_set(group_id, version)}"
        sets[name] = f"type {kind};"
        elements[name] = frozenset(exact[version])
        name = f"{INET_TABLE} {grouprules.group_prefix_set(group_id, version)}"
        sets[name] = f"type {kind}; flags interval;"
        collapsed = ipaddress.collapse_addresses(wide[version])  # type: ignore[type-var]
        elements[name] = frozenset(str(network) for network in collapsed)
    return Part(sets=sets, elements=elements)


def named_groups(which: Combination, groups: dict[str, GroupState]) -> set[str]:
    """The groups that a combination's rules name as the other side."""
    return {
        rule.remote_group
        for group_id in which.groups or ()
        if group_id in groups
        for rule in groups[group_id].rules
        if rule.remote_group is not None
    }


def link_local(mac: str) -> str:
    """The address that a kernel gives an interface by its MAC."""
    return str(eui64.address(eui64.LINK_LOCAL, mac))


def script(before: dict[object, Part], after: dict[object, Part]) -> str:
    """What turns the one into the other; empty when nothing is to change."""
    gone = [part for key, part in before.items() if (other := after.get(key)) is not part and other != part]
    new = [part for key, part in after.items() if (other := before.get(key)) is not part and other != part]
    old_sets, new_sets = _together(part.sets for part in gone), _together(part.sets for part in new)
    old_chains, new_chains = _together(part.chains for part in gone), _together(part.chains for part in new)
    old_elements, new_elements = _gathered(gone), _gathered(new)
    lines = [f"add set {name} {{ {new_sets[name]} }}" for name in new_sets if name not in old_sets]
    lines += [f"add chain {name}" for name in new_chains if name not in old_chains]
    for name, elements in old_elements.items():
        if name not in old_sets or name in new_sets:
            lines += _element_lines("delete", name, elements - new_elements.get(name, frozenset()))
    changed = {name for name in old_chains if old_chains[name] != new_chains.get(name)}
    lines += [f"flush chain {name}" for name in sorted(changed)]
    for name, rules in new_chains.items():
        if name in changed or name not in old_chains:
            lines += [f"add rule {name} {rule}" for rule in rules]
    for name, elements in new_elements.items():
        lines += _element_lines("add", name, elements - old_elements.get(name, frozenset()))
    lines += [f"delete chain {name}" for name in old_chains if name not in new_chains]
    lines += [f"delete set {name}" for name in old_sets if name not in new_sets]
    return "\n".join(lines) + "\n" if lines else ""


def whole(parts: dict[object, Part], base: str = BASE, tables: tuple[str, ...] = TABLES) -> str:
    """A script that replaces all rules of ours with these, in one step."""
    fresh = "".join(f"add table {table}\ndelete table {table}\n" for table in tables)
    return fresh + base + script({}, parts)


def _element_lines(verb: str, name: str, elements: frozenset[str]) -> list[str]:
    return [f"{verb} element {name} {{ {', '.join(sorted(elements))} }}"] if elements else []


def _together(dicts: Iterable[dict]) -> dict:
    together: dict = {}
    for one in dicts:
        together.update(one)
    return together


def _gathered(parts: Iterable[Part]) -> dict[str, frozenset[str]]:
    gathered: dict[str, set[str]] = {}
    for part in parts:
        for name, elements in part.elements.items():
            gathered.setdefault(name, set()).update(elements)
    return {name: frozenset(elements) for name, elements in gathered.items()}


def _elements(set_name: str, elements: Iterable[str]) -> dict[str, frozenset[str]]:
    found = frozenset(elements)
    return {f"{BRIDGE_TABLE} {set_name}": found} if found else {}


def _as_number(ip: str) -> str:
    return f"0x{int(ipaddress.IPv6Address(ip)):032x}"
