# SPDX-License-Identifier: Apache-2.0
"""How programs log, by oslo.log: one line a change, to standard error, which the supervisor keeps, or as told.

A line that belongs to a request says by which: [GLOBAL OWN], without what is not known.
"""

from __future__ import annotations

import copy
import logging
import logging.handlers
import os
from io import TextIOWrapper

from oslo_config import cfg
from oslo_log import _options, formatters
from oslo_log import log as oslo_log

from zun_lite.common import request_ids
from zun_lite.domain import errors

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
_BEGINNING = "%(asctime)s.%(msecs)03d %(project)s[%(process)d] %(levelname)s %(name)s "
_DEFAULTS = {
    "use_stderr": True,
    "default_log_levels": [f"{name}=WARNING" for name in _NOISY],
    "logging_default_format_string": f"{_BEGINNING}%(message)s",
    "logging_context_format_string": f"{_BEGINNING}[%(request_ids)s] %(message)s",
}


def options() -> list[cfg.Opt]:
    """oslo.log's own, under the names that operators know, with defaults of ours."""
    ((_, known),) = _options.list_opts()
    made = [copy.copy(option) for option in known]
    for option in made:
        option.default = _DEFAULTS.get(option.dest, option.default)
        # Files are read once, at the start.
        option.mutable = False
    return made


def _note_request(record: logging.LogRecord) -> bool:
    """A filter that lets everything through, and writes down for which request it was logged, as oslo.log names it."""
    ids = request_ids.current()
    record.global_request_id, record.request_id = ids.given, ids.own or ids.given
    record.request_ids = " ".join(filter(None, (ids.given, ids.own)))
    return True


class _OneLine(formatters.ContextFormatter):
    """Keeps what users wrote from looking like log lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # Its lines begin like no other's.
        traceback = f"\n{record.exc_text}" if record.exc_info else ""
        line = text.removesuffix(traceback)
        if not traceback:
            # Whoever logs within an except block has said what went wrong.
            line = line.removesuffix(f": {getattr(record, 'error_summary', '')}")
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line) + traceback


class _OwnFile(logging.handlers.WatchedFileHandler):
    """A file that nobody else reads, also the new one that is begun when this was moved away."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW
        return open(os.open(self.baseFilename, flags, 0o600), "a", encoding=self.encoding)


def set_up(program: str, conf: cfg.ConfigOpts) -> None:
    """Begin this process's log. conf: with the options() above. Called once, by cmd. Invalid: it cannot be written."""
    if conf.log_dir:
        # A program that was forked, or run as a module, has no file name that says what it is.
        conf.set_default("log_file", f"{program}.log")
    try:
        oslo_log.setup(conf, program)
    except (oslo_log.LogConfigError, OSError, ImportError, RuntimeError, ValueError) as error:
        raise errors.Invalid(
            f"The log cannot be begun as [DEFAULT] log_file, log_dir, log_config_append, use_journal and the like say: "
            f"{' '.join(str(error).split())}."
        ) from error
    for handler in logging.getLogger().handlers:
        handler.addFilter(_note_request)
        if isinstance(handler.formatter, formatters.ContextFormatter):
            handler.setFormatter(_OneLine(project=program, datefmt=conf.log_date_format, config=conf))


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
