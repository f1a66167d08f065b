# SPDX-License-Identifier: Apache-2.0
"""How the operator's webhook is told something: one signed POST, bounded in time, to the one URL that was configured.

    POST URL
    Content-Type: application/json
    X-Zun-Lite-Timestamp: seconds since 1970
    X-Zun-Lite-Signature: sha256=HEX of HMAC-SHA256 with the key over TIMESTAMP.BODY

Redirects are not followed, and what is answered is read no further than its status.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Any

import orjson
import requests

from zun_lite.client.bounded_session import bounded_session
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

TIMESTAMP, SIGNATURE = "X-Zun-Lite-Timestamp", "X-Zun-Lite-Signature"


class Webhook:
    """key: what both sides know. timeout_seconds: from the beginning to the end of an answer, however it comes."""

    def __init__(self, url: str, key: bytes, clock: Clock, timeout_seconds: float) -> None:
        self.url = url
        self._key = key
        self._clock = clock
        self._timeout_seconds = timeout_seconds

    def tell(self, document: dict[str, Any]) -> None:
        """Unavailable: it was not taken: no answer in time, or none of 200 to 299."""
        body = orjson.dumps(document)
        moment = str(int(self._clock.now()))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: moment,
            SIGNATURE: signature(self._key, moment, body),
        }
        until = time.monotonic() + self._timeout_seconds
        try:
            with bounded_session(until) as session:
                session.trust_env = False
                answer = session.post(
                    self.url,
                    data=body,
                    headers=headers,
                    timeout=(self._timeout_seconds, self._timeout_seconds),
                    allow_redirects=False,
                    stream=True,
                )
        except requests.RequestException as error:
            raise errors.Unavailable(f"The webhook does not answer: {type(error).__name__}.") from error
        if time.monotonic() >= until:
            # An answer that was cut looks like one whose headers have ended.
            raise errors.Unavailable(f"The webhook did not answer within {self._timeout_seconds:g} s.")
        if not 200 <= answer.status_code < 300:
            raise errors.Unavailable(f"The webhook answered {answer.status_code}.")


def signature(key: bytes, moment: str, body: bytes) -> str:
    """What X-Zun-Lite-Signature must be."""
    return "sha256=" + hmac.new(key, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
