# SPDX-License-Identifier: Apache-2.0
"""Reading JSON that another version may have written into a dataclass: keys that this one does not know stay out."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def known(kind: type, body: dict[str, Any]) -> dict[str, Any]:
    """What of body has a field in kind."""
    names = _names(kind)
    return {key: value for key, value in body.items() if key in names}


def read(kind: type[Kind], body: dict[str, Any]) -> Kind:
    """One whose fields are all plain."""
    return kind(**known(kind, body))


@functools.cache
def _names(kind: type) -> frozenset[str]:
    # Lists read hundreds of records; asking a dataclass for its fields is slow.
    return frozenset(item.name for item in fields(kind))
