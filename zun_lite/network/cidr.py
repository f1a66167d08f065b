# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of subnets: what a CIDR, a gateway and pools must be. Pure; it knows no records.

Errors bear Neutron's types, since clients read those.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from zun_lite.domain import errors

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Pool = tuple[str, str]


def parse_cidr(text: str, version: int | None = None) -> Network:
    """A subnet's CIDR, strictly: an address without bits beyond its prefix."""
    if "/" not in text or "%" in text:
        raise bad_input(f"'{text}' is not a CIDR; write it as 10.0.0.0/24 or 2001:db8::/64.")
    try:
        cidr = ipaddress.ip_network(text)
    except ValueError:
        cidr = _with_host_bits(text)
        raise bad_input(f"'{text}' has bits set beyond its prefix; did you mean {cidr}?") from None
    if text.partition("/")[2] != str(cidr.prefixlen):
        raise bad_input(f"'{text}' is not a CIDR; write its prefix as a length: {cidr}.")
    if version is not None and cidr.version != version:
        raise bad_input(f"The CIDR {text} is not of IP version {version}.")
    if cidr.prefixlen == 0:
        raise bad_input(f"The CIDR {text} is the whole address space; choose a smaller one.")
    if cidr.is_multicast or cidr.is_loopback or cidr.is_link_local:
        raise bad_input(f"The CIDR {text} is reserved for multicast, loopback or link-local use.")
    return cidr


def parse_ip(text: str, what: str) -> Address:
    """what: names the field in the error."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise bad_input(f"'{text}' is not a valid IP address for {what}.") from None
    if "%" in text:
        raise bad_input(f"'{text}' is not a valid IP address for {what}: leave the zone out.")
    return address


def is_usable(cidr: Network, address: Address) -> bool:
    """Whether a port of the subnet may have the address: inside, and neither its network's nor broadcast address."""
    if address.version != cidr.version or address not in cidr:
        return False
    if cidr.prefixlen >= cidr.max_prefixlen - 1:
        return True
    if address == cidr.network_address:
        return False
    return cidr.version == 6 or address != cidr.broadcast_address


def first_host(cidr: Network) -> str:
    """The gateway of a subnet whose user named none."""
    return str(next(iter(cidr.hosts())))


def check_gateway(cidr: Network, gateway: Address) -> None:
    if gateway.version != cidr.version or not is_usable(cidr, gateway):
        raise bad_input(f"Gateway {gateway} is not a host address of the subnet {cidr}.")


def default_pools(cidr: Network, gateway: str | None) -> list[Pool]:
    """All usable addresses but the gateway, as at most two pools."""
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    if cidr.prefixlen < cidr.max_prefixlen - 1:
        first += 1
        last -= 1 if cidr.version == 4 else 0
    if gateway is None:
        spans = [(first, last)]
    else:
        middle = int(ipaddress.ip_address(gateway))
        spans = [(first, middle - 1), (middle + 1, last)]
    kind = type(cidr.network_address)
    return [(str(kind(low)), str(kind(high))) for low, high in spans if low <= high]


def checked_pools(cidr: Network, pools: Sequence[Pool], gateway: str | None) -> list[Pool]:
    """The user's pools in ascending order, in the canonical spelling."""
    spans = []
    for start, end in pools:
        low, high = parse_ip(start, "an allocation pool"), parse_ip(end, "an allocation pool")
        if low.version != cidr.version or high.version != cidr.version or int(low) > int(high):
            raise errors.Invalid(f"The allocation pool {start}-{end} is not valid.", kind="InvalidAllocationPool")
        if not (is_usable(cidr, low) and is_usable(cidr, high)):
            raise errors.Invalid(
                f"The allocation pool {start}-{end} spans beyond the subnet cidr {cidr}.",
                kind="OutOfBoundsAllocationPool",
            )
        spans.append((low, high))
    spans.sort(key=lambda span: int(span[0]))
    for (_, before), (after, _) in zip(spans, spans[1:], strict=False):
        if int(after) <= int(before):
            raise errors.Conflict(
                f"Found overlapping allocation pools around {after} in the subnet {cidr}.",
                kind="OverlappingAllocationPools",
            )
    canonical = [(str(low), str(high)) for low, high in spans]
    check_gateway_outside(canonical, gateway)
    return canonical


def check_gateway_outside(pools: Sequence[Pool], gateway: str | None) -> None:
    if gateway is None:
        return
    number = int(ipaddress.ip_address(gateway))
    for start, end in pools:
        if int(ipaddress.ip_address(start)) <= number <= int(ipaddress.ip_address(end)):
            raise errors.Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}.",
                kind="GatewayConflictWithAllocationPools",
            )


def check_routes(routes: Sequence[tuple[str, str]], cidr: Network) -> None:
    """routes: (destination, nexthop). A destination may be the whole address space."""
    for destination, nexthop in routes:
        if destination not in ("0.0.0.0/0", "::/0"):
            parse_cidr(destination, cidr.version)
        if parse_ip(nexthop, "a host route's nexthop").version != cidr.version:
            raise bad_input(f"The nexthop {nexthop} of a host route is not of IP version {cidr.version}.")


def bad_input(sentence: str) -> errors.Invalid:
    return errors.Invalid(f"Invalid input for operation: {sentence}", kind="InvalidInput")


def _with_host_bits(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise bad_input(f"'{text}' is not a valid CIDR; write it as 10.0.0.0/24 or 2001:db8::/64.") from None
