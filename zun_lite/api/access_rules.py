# SPDX-License-Identifier: Apache-2.0
"""Whether a request is among those that the access rules of an application credential allow.

A rule names a service by its type in the catalogue, a method, and a path below that service. What is compared
is the path by which the request was routed, so that other spellings of it change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from zun_lite.api import paths
from zun_lite.domain import errors
from zun_lite.identity import access_paths
from zun_lite.identity.base import AccessRule

_TYPES = {
    paths.CONTAINER: frozenset(("container", "application-container")),
    paths.IDENTITY: frozenset(("identity",)),
    paths.NETWORK: frozenset(("network",)),
    paths.VOLUME: frozenset(("block-storage", "block-store", "volume", "volumev2", "volumev3")),
    paths.IMAGE: frozenset(("image",)),
}


def check(rules: Iterable[AccessRule], service: str, method: str, path: str) -> None:
    """Forbidden: no rule allows the request. service, path: as paths.normalise says."""
    types = _TYPES.get(service, frozenset())
    # A path may be written with the prefix that all of a service's paths have here, or without.
    below = path.removeprefix(f"/{service}")
    for rule in rules:
        pattern = access_paths.pattern(rule.path)
        if rule.service in types and rule.method == method and (pattern.fullmatch(path) or pattern.fullmatch(below)):
            return
    raise errors.Forbidden("The access rules of your application credential do not allow this request.")
