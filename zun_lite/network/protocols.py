# SPDX-License-Identifier: Apache-2.0
"""IP protocols by the names that security groups' rules may bear, and what of ports each of them has. Pure."""

from __future__ import annotations

from zun_lite.domain import errors

NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipip": 4,
    "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
    "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
ICMP, ICMPV6 = 1, 58
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
_ONLY_V6 = frozenset((41, 43, 44, 58, 59, 60))


def number_of(protocol: str | None, ethertype: str) -> int | None:
    """The protocol's number, where icmp of IPv6 is that of IPv6; None is every protocol. Invalid: there is none."""
    if protocol is None:
        return None
    is_number = protocol.isascii() and protocol.isdigit() and len(protocol) <= 3
    number = NUMBERS.get(protocol, int(protocol) if is_number else -1)
    if not 0 <= number <= 255:
        raise errors.Invalid(
            f"Security group rule protocol {protocol} not supported. Only protocol values {sorted(NUMBERS)} and "
            "integer representations [0 to 255] are supported.",
            kind="SecurityGroupRuleInvalidProtocol",
        )
    if number == ICMP and ethertype == "IPv6":
        return ICMPV6
    if number in _ONLY_V6 and ethertype == "IPv4":
        raise errors.Invalid(
            f"Invalid ethertype {ethertype} for protocol {protocol}.",
            kind="SecurityGroupEthertypeConflictWithProtocol",
        )
    return number


def check_ports(protocol: str | None, number: int | None, port_min: int | None, port_max: int | None) -> None:
    """Whether a protocol can have these: ports, or for ICMP a type and a code. Invalid."""
    if port_min is None and port_max is None:
        return
    if number is None:
        raise _invalid("Must also specify protocol if port range is given.", "SecurityGroupProtocolRequiredWithPorts")
    if number in (ICMP, ICMPV6):
        _check_icmp(port_min, port_max)
    elif number in WITH_PORTS:
        _check_range(port_min, port_max)
    else:
        raise _invalid(
            f"Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.",
            "SecurityGroupInvalidProtocolForPort",
        )


def _check_range(port_min: int | None, port_max: int | None) -> None:
    for port in (port_min, port_max):
        if port is not None and not 1 <= port <= 65535:
            raise _invalid(
                f"Invalid value for port {port}; it must be from 1 to 65535.", "SecurityGroupInvalidPortValue"
            )
    if port_min is None or port_max is None or port_min > port_max:
        raise _invalid(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max.", "SecurityGroupInvalidPortRange"
        )


def _check_icmp(kind: int | None, code: int | None) -> None:
    for what, field, value in (("type", "port_range_min", kind), ("code", "port_range_max", code)):
        if value is not None and not 0 <= value <= 255:
            raise _invalid(
                f"Invalid value for ICMP {what} ({field}) {value}. It must be 0 to 255.",
                "SecurityGroupInvalidIcmpValue",
            )
    if kind is None:
        raise _invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            "SecurityGroupMissingIcmpType",
        )


def _invalid(sentence: str, kind: str) -> errors.Invalid:
    return errors.Invalid(sentence, kind=kind)
