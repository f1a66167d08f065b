# SPDX-License-Identifier: Apache-2.0
"""The short way of TCP between two ports of this host that may say anything to each other. Pure text.

What goes through the bridge is shown to the packet rules of IP, which track its connection; that costs a fifth of
the throughput. Where two ports have the very same groups, and these let all TCP through both ways, the answer is
known beforehand: a packet passes whoever began, and so does whatever is sent back. Table `netdev zl` then hands it
from the one link to the other before the bridge sees it, if it bears the sender's own addresses and the receiver's.

Everything else goes on as if the table were not there: other protocols, ports of other groups, other hosts,
allowed address pairs, whoever lies about its addresses. So the table never lets through what the others would not.
A change of rules takes a combination out of `open*` in the step that changes its chains. Flows under way are then
judged as any that are not known yet: the side that speaks next is taken for the one that began. Both directions
of a connection must always go the same way, so links are hooked before anything leads to them.

A port's link is hooked to one of several chains, as one chain's links are told in one message. That, and a port's
elements, are told by ingress.py: nft would ask for all links of the namespace to find one's index.
"""

from __future__ import annotations

import ipaddress
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from zun_lite.domain.plane import GroupState, PortState, Rule
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import grouprules
from zun_lite.netd.rulebook import Combination, Part

TABLE_NAME = "zl"
TABLE = f"netdev {TABLE_NAME}"
# the kernel tells a chain in one message, which may name some 1,500 links
_CHAINS = 16
_TCP = 6
_VERSIONS = (("IPv4", "4"), ("IPv6", "6"))

# lo is in every chain so that none is ever without a link, with which older kernels would drop it
_HOOKED = "\n".join(
    f'  chain port{number} {{\n    type filter hook ingress device "lo" priority 0; policy accept;\n'
    "    goto short\n  }"
    for number in range(_CHAINS)
)
# one rule a family, as every step more is felt at this many packets a second
BASE = f"""
table {TABLE} {{
  map from4 {{ type iface_index . ether_addr . ipv4_addr : mark; }}
  map from6 {{ type iface_index . ether_addr . ipv6_addr : mark; }}
  map to4 {{ type mark . ether_addr . ipv4_addr : iface_index; }}
  map to6 {{ type mark . ether_addr . ipv6_addr : iface_index; }}
  set open4 {{ type mark; }}
  set open6 {{ type mark; }}
  chain short {{
    ether type ip ip protocol tcp meta mark set iif . ether saddr . ip saddr map @from4 meta mark @open4 \\
      fwd to meta mark . ether daddr . ip daddr map @to4
    ether type ip6 ip6 nexthdr tcp meta mark set iif . ether saddr . ip6 saddr map @from6 meta mark @open6 \\
      fwd to meta mark . ether daddr . ip6 daddr map @to6
  }}
{_HOOKED}
}}
"""


@dataclass(frozen=True)
class Element:
    """What a map of the table has: as the kernel wants it, each field filled up to four octets."""

    map_name: str
    key: bytes
    value: bytes


def chain(link: str) -> str:
    """The chain that a port's link is hooked to."""
    return f"port{zlib.crc32(link.encode()) % _CHAINS}"


def port(index: int, endpoint: Endpoint, state: PortState | None, number: int) -> frozenset[Element]:
    """From where a port with a combination of that number sends, and where it is reached. index: its link's.

    Only its own addresses, and of these only those that its groups' members are known by. Nothing of a port that
    is limited in what it sends: that is turned aside ahead of the short way, and half a connection makes no sense
    to who tracks it.
    """
    found: set[Element] = set()
    if state is not None and state.port_security and state.kbps_out is None:
        mac = bytes.fromhex(endpoint.mac.replace(":", "")) + bytes(2)
        for address in endpoint.addresses:
            if address.ip in state.addresses:
                packed = ipaddress.ip_address(address.ip).packed
                version = "6" if ":" in address.ip else "4"
                link, combination = struct.pack("=I", index), struct.pack("=I", number)
                found.add(Element(f"from{version}", link + mac + packed, combination))
                found.add(Element(f"to{version}", combination + mac + packed, link))
    return frozenset(found)


def opening(number: int, which: Combination, groups: dict[str, GroupState]) -> Part:
    """That a combination's ports may send each other all TCP, by each family of addresses for which it is so."""
    rules = [rule for group_id in which.groups or () if group_id in groups for rule in groups[group_id].rules]
    return Part(
        elements={
            f"{TABLE} open{version}": frozenset([str(number)])
            for ethertype, version in _VERSIONS
            if _is_open(which, [rule for rule in rules if rule.ethertype == ethertype])
        }
    )


def _is_open(which: Combination, rules: Iterable[Rule]) -> bool:
    """Whether ports of a combination let all TCP to and from each other through."""
    ways = {rule.direction for rule in rules if _is_about_all_tcp(rule) and _is_about_each_other(which, rule)}
    return ways >= {grouprules.INGRESS, grouprules.EGRESS}


def _is_about_all_tcp(rule: Rule) -> bool:
    return rule.protocol is None or (rule.protocol == _TCP and rule.port_min is None and rule.port_max is None)


def _is_about_each_other(which: Combination, rule: Rule) -> bool:
    if rule.remote_group is not None:
        return rule.remote_group in (which.groups or ())
    return rule.remote_prefix is None or rule.remote_prefix.endswith("/0")
