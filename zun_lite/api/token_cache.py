# SPDX-License-Identifier: Apache-2.0
"""Remembers for a few seconds what tokens say, so that a request with a known one costs microseconds.

A revoked token may thus go on working for some seconds (BELIEVED_SECONDS where identity is embedded) in a
process that saw it just before; in the process that revoked it, it ends at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from zun_lite.common.clock import Clock
from zun_lite.identity.base import IdentityProvider, Token

MOST = 10_000


class TokenCache:
    """validate() of an identity provider, remembered. One a process; threads share it."""

    def __init__(self, provider: IdentityProvider, clock: Clock, *, most: int = MOST) -> None:
        self._provider = provider
        self._clock = clock
        self._most = most
        self._known: OrderedDict[str, tuple[float, Token]] = OrderedDict()
        self._lock = threading.Lock()

    def validate(self, token_id: str, *, allow_expired: bool = False) -> Token:
        """As the provider's. Unauthorized is never remembered, and neither is what is looked at though expired."""
        known = self._known.get(token_id)
        if known is not None and self._clock.monotonic() < known[0] and self._clock.now() < known[1].expires_at:
            return known[1]
        if allow_expired:
            return self._provider.validate(token_id, allow_expired=True)
        token = self._provider.validate(token_id)
        with self._lock:
            self._known[token_id] = self._clock.monotonic() + self._provider.believed_seconds, token
            self._known.move_to_end(token_id)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return token

    def forget(self, user_id: str) -> None:
        """Look at every token of this user anew."""
        with self._lock:
            for token_id in [id for id, (_, token) in self._known.items() if token.user.id == user_id]:
                del self._known[token_id]

    def clear(self) -> None:
        """Look at every token anew."""
        with self._lock:
            self._known.clear()
