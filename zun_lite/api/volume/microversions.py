# SPDX-License-Identifier: Apache-2.0
"""The microversion of a volume request: read, answered, or refused.

The highest is 3.50, since what it needs is there: growing in use (3.42), completing attachments (3.44),
several attachments of one volume (3.50). Groups, backups and clusters, which came between, are not served.
"""

from __future__ import annotations

import re
from typing import Any

import falcon

from zun_lite.domain import errors

MINIMUM, MAXIMUM = "3.0", "3.50"
HEADER = "OpenStack-API-Version"
Version = tuple[int, int]

SUMMARY, GROUP_ID, PROVIDER_ID, FORCE_DELETE = (3, 12), (3, 13), (3, 21), (3, 23)
ATTACHMENTS, LIKE_FILTERS, SUMMARY_METADATA = (3, 27), (3, 34), (3, 36)
GROUP_SNAPSHOT_ID, USER_OF_SNAPSHOT, EXTEND_IN_USE, COMPLETE = (3, 14), (3, 41), (3, 42), (3, 44)
COUNTS, SHARED_TARGETS, BACKEND_STATE, MULTIATTACH = (3, 45), (3, 48), (3, 49), (3, 50)
MESSAGES, CLUSTER = (3, 3), (3, 7)


def negotiate(req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]) -> None:
    """A falcon.before hook. The header may name several services; the others' words are not ours to read."""
    version = MINIMUM
    resp.append_header("Vary", HEADER)
    for part in (req.get_header(HEADER) or "").split(","):
        service, _, said = part.strip().lower().partition(" ")
        if service == "volume":
            version = MAXIMUM if said.strip() == "latest" else said.strip()
    if not re.fullmatch(r"[0-9]{1,6}\.[0-9]{1,6}", version, re.ASCII):
        raise errors.Invalid(
            f"API Version String {version} is of invalid format. Must be of format MajorNum.MinorNum.",
            kind="badRequest",
        )
    found = _parsed(version)
    if not _parsed(MINIMUM) <= found <= _parsed(MAXIMUM):
        resp.set_header(HEADER, f"volume {MAXIMUM}")
        raise errors.NotAcceptable(
            f"Version {version} is not supported by the API. Minimum is {MINIMUM} and maximum is {MAXIMUM}."
        )
    resp.set_header(HEADER, f"volume {version}")
    req.context.volume_version = found


def of(req: falcon.Request) -> Version:
    """The version that was negotiated."""
    found: Version = req.context.volume_version
    return found


def needs(req: falcon.Request, version: Version) -> None:
    """NotFound: the request's version is older, so that there is nothing at its path."""
    if of(req) < version:
        raise errors.NotFound(
            f"There is nothing at {req.path} before version {version[0]}.{version[1]}.", kind="itemNotFound"
        )


def _parsed(text: str) -> Version:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
