# SPDX-License-Identifier: Apache-2.0
"""The IPv6 address that follows from a MAC (RFC 4291, appendix A). Pure."""

from __future__ import annotations

import ipaddress

LINK_LOCAL = ipaddress.IPv6Network("fe80::/64")


def address(prefix: ipaddress.IPv6Network, mac: str) -> ipaddress.IPv6Address:
    """prefix: of 64 bits; what is below them is the MAC's."""
    octets = bytearray.fromhex(mac.replace(":", ""))
    octets[0] ^= 2
    return ipaddress.IPv6Address(prefix.network_address.packed[:8] + octets[:3] + b"\xff\xfe" + octets[3:])
