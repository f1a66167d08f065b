# SPDX-License-Identifier: Apache-2.0
"""How a gateway asks the API about streams: open one with a secret, check the open ones, say which ended.

Each request carries a token signed with the gateways' own key; the secrets are in bodies only. One
that fails because the API does not answer is Unavailable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import grants
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

SUBJECT = "gateway"
SCHEME = "Gateway"
_BY_STATUS = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
}


@dataclass(frozen=True)
class Place:
    """Where a host gives a stream: its URL, and the grant that opens it once."""

    url: str
    host_grant: str


class StreamsClient:
    """May be used by several threads."""

    def __init__(self, api_url: str, key: Ed25519PrivateKey, clock: Clock, timeout_seconds: float = 10.0) -> None:
        self._api_url = api_url.rstrip("/")
        self._key = key
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def open(self, secret: str, workload_uuid: str, exec_id: str | None) -> Place:
        """Spend a secret. Unauthorized, Forbidden, Conflict: it opens nothing, or not now."""
        answer = self._ask("open", {"token": secret, "uuid": workload_uuid, "exec_id": exec_id})
        below = f"execs/{exec_id}/stream" if exec_id else "attach"
        return Place(f"ws://{answer['address']}/v1/workloads/{workload_uuid}/{below}", answer["grant"])

    def check(self, secrets: list[str]) -> dict[str, str]:
        """Which of these open streams must end, and why."""
        answer = self._ask("check", {"tokens": secrets})
        return {secrets[item["position"]]: item["reason"] for item in answer["ended"]}

    def release(self, secrets: list[str]) -> None:
        self._ask("release", {"tokens": secrets})

    def _ask(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        token = grants.sign(self._key, grants.API_AUDIENCE, {"sub": SUBJECT}, self._clock)
        url = f"{self._api_url}/node/v1/streams/{verb}"
        try:
            answer = requests.post(
                url,
                headers={"Authorization": f"{SCHEME} {token}"},
                json=body,
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
            said = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            raise errors.Unavailable(f"The API does not answer at {url}.") from error
        if answer.status_code >= 400:
            kind = _BY_STATUS.get(answer.status_code, errors.Unavailable)
            try:
                raise kind(str(said["error"]["message"]))
            except (KeyError, TypeError):
                raise kind(f"The API answered {answer.status_code}.") from None
        return said
