# SPDX-License-Identifier: Apache-2.0
"""How programs log: one line a change, to standard error, which the supervisor keeps."""

from __future__ import annotations

import logging
import sys

_NOISY = (
    "alembic.runtime.migration",
    "asyncio",
    "docker",
    "pyroute2",
    "urllib3",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "websockets",
)


class _OneLine(logging.Formatter):
    """Keeps what users wrote from looking like log lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.exc_info:
            return text
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def set_up(program: str, *, debug: bool = False) -> None:
    """Send this process's log to standard error. Called once, by cmd."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(f"%(asctime)s {program}[%(process)d] %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
