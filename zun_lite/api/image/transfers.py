# SPDX-License-Identifier: Apache-2.0
"""Bytes of images on their way through the API: in blocks, a bounded number of images at once.

Each takes one of the server's threads for as long as it lasts; the others stay free for short requests.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import falcon

from zun_lite.api.waits import Waits
from zun_lite.domain import errors
from zun_lite.image.base import Bytes

# A client that sends nothing for so long is given up.
SILENT_SECONDS = 60.0


class Transfers:
    """One a process. most: images on their way at once; each is one of the waits, too."""

    def __init__(self, most: int, waits: Waits) -> None:
        self._slots = threading.BoundedSemaphore(max(1, most))
        self._waits = waits

    @contextmanager
    def one(self, req: falcon.Request) -> Iterator[None]:
        """For the length of a block. Busy: too many are on their way."""
        self.take()
        line = req.env.get("gunicorn.socket")
        before = line.gettimeout() if line is not None else None
        try:
            if line is not None:
                line.settimeout(SILENT_SECONDS)
            yield
        except TimeoutError as error:
            raise errors.Invalid(f"Nothing came for {SILENT_SECONDS:g} s; send the image again.") from error
        finally:
            if line is not None:
                line.settimeout(before)
            self.give_back()

    def take(self) -> None:
        if not self._slots.acquire(blocking=False):
            raise errors.Busy("Too many images are on their way at the moment; try again soon.")
        try:
            self._waits.take()
        except errors.Busy:
            self._slots.release()
            raise

    def give_back(self) -> None:
        self._waits.give_back()
        self._slots.release()


def body_of(req: falcon.Request) -> Any:
    """The request's bytes, of a length that was said or in chunks."""
    return req.stream if req.content_length is None else req.bounded_stream


def send(resp: falcon.Response, opened: Bytes, transfers: Transfers) -> None:
    """Answer with an image's bytes."""
    try:
        transfers.take()
    except errors.Busy:
        opened.close()
        raise
    resp.content_type = "application/octet-stream"
    resp.content_length = opened.size_bytes
    resp.stream = _Sent(opened, transfers)


class _Sent:
    """Blocks; whoever sends them closes it, come what may."""

    def __init__(self, opened: Bytes, transfers: Transfers) -> None:
        self._opened = opened
        self._blocks = iter(opened)
        self._transfers: Transfers | None = transfers

    def __iter__(self) -> _Sent:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    def close(self) -> None:
        if self._transfers is not None:
            self._opened.close()
            self._transfers.give_back()
            self._transfers = None
