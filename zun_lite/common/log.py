# SPDX-License-Identifier: Apache-2.0
"""How programs log: one line a change, to standard error, which the supervisor keeps.

A line that belongs to a request says by which: [GLOBAL OWN], as oslo.log has it, without what is not known.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from io import TextIOWrapper

from zun_lite.common import request_ids

_NOISY = (
    "alembic",
    "asyncio",
    "docker",
    "pyroute2",
    "urllib3",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "websockets",
)


def _note_request(record: logging.LogRecord) -> bool:
    """A filter that lets everything through, and writes down for which request it was logged."""
    ids = request_ids.current()
    known = " ".join(filter(None, (ids.given, ids.own)))
    record.request = f"[{known}] " if known else ""
    return True


class _OneLine(logging.Formatter):
    """Keeps what users wrote from looking like log lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.exc_info:
            return text
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class _OwnFile(logging.handlers.WatchedFileHandler):
    """A file that nobody else reads, also the new one that is begun when this was moved away."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW
        return open(os.open(self.baseFilename, flags, 0o600), "a", encoding=self.encoding)


def set_up(program: str, *, debug: bool = False) -> None:
    """Send this process's log to standard error. Called once, by cmd."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"%(asctime)s {program}[%(process)d] %(levelname)s %(name)s %(request)s%(message)s"))
    handler.addFilter(_note_request)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def set_up_records(name: str, path: str) -> None:
    """Send what is logged under a name to a file of its own, a record a line; for its owner to read alone.

    The file may be moved away at any time: a new one is begun. OSError: it cannot be written to.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handler = _OwnFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    records = logging.getLogger(name)
    records.handlers[:] = [handler]
    records.setLevel(logging.INFO)
    records.propagate = False
