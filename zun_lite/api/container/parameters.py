# SPDX-License-Identifier: Apache-2.0
"""Parameters as the container API's clients send them: in the query, in a JSON body, or in both.

Values that arrive as the text None mean that the client has none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import falcon

from zun_lite.api import media
from zun_lite.domain import errors

_TRUE = frozenset(("1", "t", "true", "on", "y", "yes"))
_FALSE = frozenset(("0", "f", "false", "off", "n", "no"))


def of_query(req: falcon.Request) -> dict[str, Any]:
    """The query; of a key that is repeated, the last value counts."""
    values = {key: value[-1] if isinstance(value, list) else value for key, value in req.params.items()}
    return {key: value for key, value in values.items() if value != "None"}


def of_both(req: falcon.Request) -> dict[str, Any]:
    """Query and JSON body as one set; the body wins."""
    return {**of_query(req), **{key: value for key, value in media.read_object(req).items() if value is not None}}


def refuse_unknown(parameters: dict[str, Any], known: Collection[str]) -> None:
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise errors.Invalid(
            f"Unknown parameters: {', '.join(unknown)}. Known here are: {', '.join(sorted(known)) or 'none'}.",
            kind="UnknownParameters",
        )


def boolean(parameters: dict[str, Any], name: str, default: bool = False) -> bool:
    value = parameters.get(name)
    if value is None:
        return default
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise errors.Invalid(f"{name} must be a boolean like true or false, not '{value}'.", kind="InvalidValue")


def integer(parameters: dict[str, Any], name: str, *, least: int, most: int) -> int | None:
    """None where it is not given."""
    value = parameters.get(name)
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise errors.Invalid(f"{name} must be an integer of at least {least}, not '{value}'.", kind="InvalidValue")
    if not least <= int(text) <= most:
        raise errors.Invalid(f"{name} must be from {least} to {most}, not {text}.", kind="InvalidValue")
    return int(text)


def text(parameters: dict[str, Any], name: str) -> str | None:
    """None where it is not given."""
    value = parameters.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise errors.Invalid(f"{name} must be a string.", kind="InvalidValue")
    return value
