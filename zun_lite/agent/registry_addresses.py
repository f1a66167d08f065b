# SPDX-License-Identifier: Apache-2.0
"""Which registries a host may be sent to: none whose name leads into the host's own or an inner network.

The engine looks the name up again, so that this keeps out what is set up wrongly or in a hurry only.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from zun_lite.domain import errors


class RegistryAddresses:
    """allowed: registries, as HOST:PORT, that may be spoken to though they are in an inner network.

    addresses_of: looks up a host's name; none are found where there is no network.
    """

    def __init__(
        self, allowed: Collection[str] = (), addresses_of: Callable[[str], Collection[str]] | None = None
    ) -> None:
        self._allowed = allowed
        self._addresses_of = addresses_of or _addresses_of

    def check(self, registry: str) -> None:
        """NoSuchImage: this HOST[:PORT] is not to be spoken to."""
        if registry in self._allowed:
            return
        host = urlsplit(f"//{registry}").hostname or ""
        if not host or not all(_is_outside(address) for address in self._addresses_of(host)):
            raise errors.NoSuchImage(f"Images from the registry {registry!r} are not allowed here.")


def _is_outside(text: str) -> bool:
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_global and not address.is_multicast


def _addresses_of(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(item[4][0]).partition("%")[0] for item in found]
