# SPDX-License-Identifier: Apache-2.0
"""JSON in and out, by orjson; the one place that reads a request's body."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.media
import orjson

JSON = "application/json"
MAX_DEPTH = 64
# A body of this length or less cannot hold enough to matter; a longer one may hold so many items.
LONG_BYTES = 1024 * 1024
MOST_ITEMS = 500_000


def loads(text: bytes | str, *, nul: bool = False) -> Any:
    """A JSON document; ValueError for what is none, is nested too deeply, or, unless nul, holds a NUL character.

    No text column of ours can hold a NUL, and no environment or file name either.
    """
    if isinstance(text, str):
        text = text.encode()
    if not nul and b"\\u0000" in text:
        raise ValueError("the document holds a NUL character")
    # Each item of a document takes many times the memory of its text, and archives make for long bodies.
    if len(text) > LONG_BYTES and sum(text.count(mark) for mark in (b",", b"[", b"{")) > MOST_ITEMS:
        raise ValueError(f"the document has more than {MOST_ITEMS} items")
    document = orjson.loads(text)
    if text.count(b"[") + text.count(b"{") > MAX_DEPTH and _is_deep(document):
        raise ValueError(f"the document is nested more than {MAX_DEPTH} deep")
    return document


def handler() -> falcon.media.JSONHandler:
    """What req.media and resp.media use."""
    return falcon.media.JSONHandler(dumps=orjson.dumps, loads=loads)


def read_object(req: falcon.Request, *, nul: bool = False) -> dict[str, Any]:
    """The JSON object in the body; empty where there is none or it is something else.

    The container API takes a malformed body for no body: what is missing is then said by its schema.
    """
    if not req.content_length or not is_json(req):
        return {}
    try:
        body = loads(req.bounded_stream.read(), nul=nul)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            inner.extend(item.values() if isinstance(item, dict) else item if isinstance(item, list) else ())
        level = inner
    return any(isinstance(item, (dict, list)) for item in level)


def is_json(req: falcon.Request) -> bool:
    return (req.content_type or "").split(";", 1)[0].strip().lower() == JSON


def answer(resp: falcon.Response, body: Any, status: int = 200) -> None:
    """Answer with a JSON document; None is the document null."""
    resp.status = status
    resp.content_type = JSON
    resp.data = orjson.dumps(body)
