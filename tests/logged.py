# SPDX-License-Identifier: Apache-2.0
"""What a program would write to its log, for tests that look at whole lines."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from zun_lite.common import log


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """The log of the program `test` while the block runs; its value is the text so far."""
    root, text = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    with contextlib.redirect_stderr(text):
        log.set_up("test")
    try:
        yield text
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
