# SPDX-License-Identifier: Apache-2.0
"""The header Idempotency-Key: a create that is sent again is answered as the first time, and not done again.

A client that lost the answer does not know whether its request was accepted; with a key it just asks
again. The answer is kept for a day in the transaction that makes the object, so that a crash in
between leaves either both or none. Of two at the same time, one does the work: the other's
transaction finds the answer, or fails on its row, and is rolled back.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import falcon
import orjson
import sqlalchemy as sa

from zun_lite.api import media
from zun_lite.db import idempotency
from zun_lite.db.engine import Database
from zun_lite.db.idempotency import KEPT_HOURS, KeptAnswer, Key
from zun_lite.domain import errors

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True)
class Reply:
    """What a create is answered with. location: the URL of what it made."""

    status: int
    body: Any
    location: str | None = None


Keep = Callable[[sa.Connection, Callable[[], Reply]], None]
"""Called within the transaction that makes the object, with what renders the reply."""


def answer_once(
    db: Database, req: falcon.Request, resp: falcon.Response, work: Callable[[Keep], Reply], *variant: object
) -> None:
    """Answer with what work makes; if the request has a key that was answered, with that answer.

    Nobody has read the body yet: work does.
    variant: what besides method, path, query and body tells two requests apart.
    Invalid: the key is malformed. Conflict: it was used for another request.
    """
    text = req.get_header(HEADER)
    if text is None:
        _send(resp, work(_keep_nothing))
        return
    if not _KEY.fullmatch(text):
        raise errors.Invalid(f"{HEADER} must be 1 to 255 printable ASCII characters without spaces.")
    caller = req.context.caller
    key, digest = Key(caller.project_id or "", caller.user_id, text), _digest(req, variant)
    if not _replay(db, key, digest, resp):
        try:
            reply = work(_keeper(db, key, digest))
        except (errors.ZunError, _Answered):
            # The same request may have been accepted meanwhile, and have taken what this one lacks.
            if not _replay(db, key, digest, resp):
                raise
        else:
            _send(resp, reply)


class _Answered(Exception):
    """Somebody answered under this key while we worked; our transaction must not be committed."""


def _keep_nothing(tx: sa.Connection, render: Callable[[], Reply]) -> None:
    return


def _keeper(db: Database, key: Key, digest: str) -> Keep:
    def keep(tx: sa.Connection, render: Callable[[], Reply]) -> None:
        if idempotency.find(tx, db, key):
            raise _Answered
        reply = render()
        idempotency.keep(tx, db, key, KeptAnswer(digest, reply.status, reply.location, reply.body))

    return keep


def _replay(db: Database, key: Key, digest: str, resp: falcon.Response) -> bool:
    """Answer as before, if there is an answer."""
    with db.read() as tx:
        kept = idempotency.find(tx, db, key)
    if kept is None:
        return False
    if kept.digest != digest:
        raise errors.Conflict(
            f"The {HEADER} {key.key} was used for another request within {KEPT_HOURS} hours; take a new one.",
            kind="IdempotencyKeyReused",
        )
    resp.set_header(REPLAYED_HEADER, "true")
    _send(resp, Reply(kept.status, kept.body, kept.location))
    return True


def _digest(req: falcon.Request, variant: tuple[object, ...]) -> str:
    """The same for the same request, however its JSON is laid out. Leaves the body to be read."""
    raw = req.env["wsgi.input"].read(req.content_length or 0)
    req.env["wsgi.input"] = io.BytesIO(raw)
    try:
        body = orjson.dumps(media.loads(raw), option=orjson.OPT_SORT_KEYS)
    except ValueError:
        body = raw
    asked = orjson.dumps([req.method, req.path, sorted(req.params.items()), [str(part) for part in variant]])
    return hashlib.sha256(asked + b"\n" + body).hexdigest()


def _send(resp: falcon.Response, reply: Reply) -> None:
    if reply.location:
        resp.set_header("Location", reply.location)
    media.answer(resp, reply.body, reply.status)
