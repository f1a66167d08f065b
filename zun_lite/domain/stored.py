# SPDX-License-Identifier: Apache-2.0
"""Reading stored JSON into a dataclass: keys that this version does not know are kept out."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any


def known(kind: type, body: dict[str, Any]) -> dict[str, Any]:
    """What of body has a field in kind."""
    names = _names(kind)
    return {key: value for key, value in body.items() if key in names}


@functools.cache
def _names(kind: type) -> frozenset[str]:
    # Lists read hundreds of records; asking a dataclass for its fields is slow.
    return frozenset(item.name for item in fields(kind))
