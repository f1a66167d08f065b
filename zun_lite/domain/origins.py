# SPDX-License-Identifier: Apache-2.0
"""Which web pages may open streams: an exact list of scheme, host and port.

A page is known by its Origin header, which browsers set and pages cannot. Programs that are no browser
send none, or the address that they dial. The Host header says nothing here: a page that had its own
name point to the gateway would make it agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from zun_lite.domain import errors

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_PAGE_OF = {"ws": "http", "wss": "https"}

Origin = tuple[str, str, int]


class Origins:
    """public_url: the gateway's own, ws or wss, whose host may serve pages, too. allowed: like https://a.example."""

    def __init__(self, public_url: str, allowed: Iterable[str]) -> None:
        own = _split(public_url)
        if own is None or own.scheme not in _PAGE_OF:
            raise errors.Invalid(f"[gateway] public_url = {public_url} must begin with ws:// or wss://.")
        self._known = {_origin(own)}
        for text in allowed:
            found = _split(text)
            if found is None or found.scheme not in ("http", "https") or found.path.strip("/") or found.query:
                raise errors.Invalid(f"[gateway] allowed_origins: {text} must be like https://dashboard.example.org.")
            self._known.add(_origin(found))

    def allow(self, header: str | None) -> bool:
        """Whether a request with this Origin header, or none, may open a stream."""
        if header is None:
            return True
        found = _split(header)
        if found is None or found.scheme not in ("http", "https") or found.path or found.query or found.fragment:
            return False
        return _origin(found) in self._known


def with_port(url: str) -> str:
    """The URL with its port spelled out: the stock client makes its Origin of what it finds there."""
    found = _split(url)
    if found is None or found.port is not None:
        return url
    return found._replace(netloc=f"{found.netloc}:{_PORTS[found.scheme]}").geturl()


def _split(text: str) -> SplitResult | None:
    """None unless it is a URL of a host, without a user in it."""
    try:
        found = urlsplit(text)
        if found.scheme in _PORTS and found.hostname and "@" not in found.netloc and found.port != 0:
            return found
    except ValueError:
        return None
    return None


def _origin(found: SplitResult) -> Origin:
    return _PAGE_OF.get(found.scheme, found.scheme), found.hostname or "", found.port or _PORTS[found.scheme]
