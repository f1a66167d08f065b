# SPDX-License-Identifier: Apache-2.0
"""How a machine that knows a cloud by a fingerprint alone gains the CAs of its API's certificate.

Nothing is said on this line but the question, and nothing is believed of it but what has the fingerprint.
"""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from zun_lite.common import join_token
from zun_lite.domain import errors

PATH = "/node/v1/ca"
_MOST_BYTES = 1024 * 1024
_SECONDS = 10.0


def gain(api_url: str, fingerprint: str) -> bytes:
    """The CAs, PEM. Unavailable: no answer. Forbidden: the answer is not that of the cloud of the fingerprint."""
    place = urlsplit(api_url)
    context = ssl.create_default_context()
    # whoever answers is as good as any other: the fingerprint judges what is answered
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    line = http.client.HTTPSConnection(place.hostname or "", place.port or 443, timeout=_SECONDS, context=context)
    try:
        line.request("GET", f"{place.path.rstrip('/')}{PATH}")
        answer = line.getresponse()
        status, content = answer.status, answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise errors.Unavailable(f"{api_url} does not answer: {error}.") from error
    finally:
        line.close()
    if status != http.client.OK or not _is(content, fingerprint):
        raise errors.Forbidden(
            f"Who answers at {api_url} is not the cloud that the token is of: somebody stands in between, or its CA "
            "was changed since; make a new token, and look at what the name leads to."
        )
    return content


def _is(content: bytes, fingerprint: str) -> bool:
    try:
        return join_token.fingerprint(content) == fingerprint
    except errors.Invalid:
        return False
