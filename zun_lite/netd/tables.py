# SPDX-License-Identifier: Apache-2.0
"""Packet rules that are small enough to be given whole: those of routers, of ways out, of the host.

Given again only when their text or the namespace's rules changed. Callers hold the lock of the object.
"""

from __future__ import annotations

from zun_lite.netd import nft


class Tables:
    """By the name of a namespace, what it was given last."""

    def __init__(self) -> None:
        self._given: dict[str, tuple[str, int]] = {}

    def give(self, name: str, namespace_fd: int, script: str) -> None:
        if self._given.get(name) == (script, nft.generation(namespace_fd)):
            return
        self._given.pop(name, None)
        self._given[name] = (script, nft.run(namespace_fd, script))

    def forget(self, name: str) -> None:
        self._given.pop(name, None)
