# SPDX-License-Identifier: Apache-2.0
"""Where a host may be: HOST:PORT that the API dials with grants in hand, so not just anywhere."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from zun_lite.domain import errors

# of clouds' services for metadata, which answer whoever asks from there
_METADATA = frozenset(("169.254.169.254", "fd00:ec2::254"))


def check_host(text: str) -> None:
    """Invalid: it is no HOST:PORT, or leads to nobody in particular: link-local, metadata, multicast, everywhere."""
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, found.port
    except ValueError:
        host, port = None, None
    if not host or not port or text != found.netloc or "@" in text:
        raise errors.Invalid(f"A host's address is HOST:PORT, not '{text}'.")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if str(address) in _METADATA or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise errors.Invalid(f"No host can be at {text}: it is an address of nobody in particular.")
