# SPDX-License-Identifier: Apache-2.0
"""Microversions of the container API: which exist, and which one a request speaks.

The fields and parameters that came with each are listed where they are read (container/schema.py).
"""

from __future__ import annotations

import re

from zun_lite.domain import errors

MINIMUM_MINOR, MAXIMUM_MINOR = 1, 40
MINIMUM, MAXIMUM = f"1.{MINIMUM_MINOR}", f"1.{MAXIMUM_MINOR}"
HEADER = "OpenStack-API-Version"
MINIMUM_HEADER = "OpenStack-API-Minimum-Version"
MAXIMUM_HEADER = "OpenStack-API-Maximum-Version"
_SERVICE = "container"
_NUMBER = re.compile(r"(\d{1,6})\.(\d{1,6})", re.ASCII)


def negotiate(header: str | None) -> int:
    """The minor number that a request's OpenStack-API-Version asks for; 1.1 where there is none.

    NotAcceptable: another service's, not a version, or out of range.
    """
    if header is None:
        return MINIMUM_MINOR
    words = header.lower().split()
    if len(words) != 2 or words[0] != _SERVICE:
        raise errors.NotAcceptable(f"The header {HEADER} must read like 'container {MAXIMUM}', not '{header}'.")
    if words[1] == "latest":
        return MAXIMUM_MINOR
    number = _NUMBER.fullmatch(words[1])
    if number is None:
        raise errors.NotAcceptable(f"The version in the header {HEADER} must be X.Y or latest, not '{words[1]}'.")
    major, minor = int(number[1]), int(number[2])
    if major != 1 or not MINIMUM_MINOR <= minor <= MAXIMUM_MINOR:
        raise errors.NotAcceptable(f"Version {words[1]} is not served here; {MINIMUM} to {MAXIMUM} are.")
    return minor


def serve(minor: int, what: str, *, since: int = MINIMUM_MINOR, until: int = MAXIMUM_MINOR) -> None:
    """NotAcceptable unless the request speaks a version from 1.SINCE to 1.UNTIL."""
    if not since <= minor <= until:
        raise errors.NotAcceptable(
            f"{what} is served at microversions 1.{since} to 1.{until}; the request was made with 1.{minor}."
        )


def require(minor: int, since: int, what: str) -> None:
    """Invalid unless the request speaks 1.SINCE or newer."""
    if minor < since:
        raise errors.Invalid(
            f"{what} needs microversion 1.{since} or newer; the request was made with 1.{minor}.",
            kind="InvalidParamInVersion",
        )
