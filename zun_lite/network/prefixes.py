# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of prefixes that a pool has and of those that are taken from it. Pure; it knows no records."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from zun_lite.network.cidr import Network


def merged(prefixes: Iterable[Network]) -> list[Network]:
    """The same addresses in as few prefixes as there can be, ascending. All are of one IP version."""
    return list(ipaddress.collapse_addresses(prefixes))  # type: ignore[type-var]


def cover(prefixes: Sequence[Network], wanted: Network) -> bool:
    """Whether the wanted addresses all lie in one of the prefixes, which are merged."""
    return any(wanted.version == each.version and wanted.subnet_of(each) for each in prefixes)  # type: ignore[arg-type]


def first_free(prefixes: Sequence[Network], taken: Iterable[Network], length: int) -> Network | None:
    """A free prefix of that length, out of the smallest gap that holds one, so that large ones last."""
    gaps = [gap for prefix in prefixes for gap in _gaps(prefix, taken) if gap.prefixlen <= length]
    if not gaps:
        return None
    gap = max(gaps, key=lambda each: (each.prefixlen, -int(each.network_address)))
    return type(gap)((int(gap.network_address), length))


def _gaps(prefix: Network, taken: Iterable[Network]) -> list[Network]:
    """What is free of a prefix, as prefixes."""
    first, last = int(prefix.network_address), int(prefix.broadcast_address)
    kind = type(prefix.network_address)
    gaps: list[Network] = []
    for held in sorted(
        (each for each in taken if each.version == prefix.version and each.overlaps(prefix)),
        key=lambda each: int(each.network_address),
    ):
        below = int(held.network_address)
        if below > first:
            gaps += ipaddress.summarize_address_range(kind(first), kind(below - 1))  # type: ignore[type-var]
        first = max(first, int(held.broadcast_address) + 1)
    if first <= last:
        gaps += ipaddress.summarize_address_range(kind(first), kind(last))  # type: ignore[type-var]
    return gaps
