# SPDX-License-Identifier: Apache-2.0
"""Judges the grants that callers of this host present: one host, one workload, one verb, one use.

A grant says for which request it was given; what follows is done for that.
"""

from __future__ import annotations

import threading
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from zun_lite.common import grants, request_ids
from zun_lite.common.clock import Clock
from zun_lite.common.request_ids import RequestIds
from zun_lite.domain import errors

# longer than a grant can be good for, leeway at both ends included
REMEMBERED_SECONDS = 120 + 2 * grants.LEEWAY_SECONDS
SCHEME = "Grant "


class Permits:
    def __init__(self, key: Ed25519PublicKey, host_uuid: str, clock: Clock) -> None:
        self._key = key
        self._audience = grants.host_audience(host_uuid)
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}

    def check(self, header: str | None, workload: str, verb: str) -> dict[str, Any]:
        """The grant's claims.

        Unauthorized: none, forged, for another host, too old, or used before. Forbidden: not for this.
        """
        if not header or not header.startswith(SCHEME):
            raise errors.Unauthorized("This host answers only to a grant of the API.")
        claims = grants.read(self._key, self._audience, header.removeprefix(SCHEME), self._clock)
        if claims.get("sub") != workload or claims.get("verb") != verb:
            raise errors.Forbidden("The grant is for another workload or verb.")
        self._use_up(claims.get("jti"))
        request_ids.begin(RequestIds(given=request_ids.as_given(claims.get("req"))))
        return claims

    def _use_up(self, grant_id: Any) -> None:
        if not isinstance(grant_id, str) or not grant_id:
            raise errors.Unauthorized("The grant has no id.")
        now = self._clock.now()
        with self._lock:
            if grant_id in self._used:
                raise errors.Unauthorized("The grant was used before.")
            if len(self._used) >= 1024:
                self._used = {known: at for known, at in self._used.items() if at > now - REMEMBERED_SECONDS}
            self._used[grant_id] = now
