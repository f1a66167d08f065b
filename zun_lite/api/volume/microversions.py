# SPDX-License-Identifier: Apache-2.0
"""The microversion of a volume request: read, answered, or refused.

3.0 is the only one: what later ones add is not served, and a client that is told so does without.
"""

from __future__ import annotations

import re
from typing import Any

import falcon

from zun_lite.domain import errors

MINIMUM = MAXIMUM = "3.0"
HEADER = "OpenStack-API-Version"


def negotiate(req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]) -> None:
    """A falcon.before hook. The header may name several services; the others' words are not ours to read."""
    resp.set_header(HEADER, f"volume {MAXIMUM}")
    resp.append_header("Vary", HEADER)
    for part in (req.get_header(HEADER) or "").split(","):
        service, _, version = part.strip().lower().partition(" ")
        if service != "volume" or version.strip() in ("latest", MAXIMUM):
            continue
        if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", version.strip(), re.ASCII):
            raise errors.Invalid(
                f"API Version String {version.strip()} is of invalid format. Must be of format MajorNum.MinorNum.",
                kind="badRequest",
            )
        raise errors.NotAcceptable(
            f"Version {version.strip()} is not supported by the API. Minimum is {MINIMUM} and maximum is {MAXIMUM}."
        )
