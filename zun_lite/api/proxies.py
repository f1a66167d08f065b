# SPDX-License-Identifier: Apache-2.0
"""Who sent a request, also by a proxy of the operator's: a WSGI application around another one.

Only a proxy that the operator named is believed, and of what it says only the last address, which it saw
itself; what stands before that a client may have made up. A server that listens on :: is told IPv4 addresses as ones
of IPv6; everybody behind finds them as what they are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any

from zun_lite.domain import errors


class Proxies:
    """trusted: addresses or networks of proxies. Invalid: one is none."""

    def __init__(self, application: Callable[..., Iterable[bytes]], trusted: Iterable[str]) -> None:
        self._application = application
        try:
            self._trusted = [ipaddress.ip_network(text, strict=False) for text in trusted]
        except ValueError as error:
            raise errors.Invalid(f"[api] trusted_proxies must be addresses or networks: {error}.") from error

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = _plain(environ.get("REMOTE_ADDR", ""))
        said = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        while said and self._is_proxy(environ["REMOTE_ADDR"]):
            address = said.pop().strip()
            if not _is_address(address):
                break
            environ["REMOTE_ADDR"] = _plain(address)
        return self._application(environ, start_response)

    def _is_proxy(self, address: str) -> bool:
        return _is_address(address) and any(ipaddress.ip_address(address) in network for network in self._trusted)


def _plain(text: str) -> str:
    """Of an IPv4 address within IPv6 the former; anything else as it is."""
    if ":" not in text or not _is_address(text):
        return text
    address = ipaddress.ip_address(text)
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return text if inner is None else str(inner)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
