# SPDX-License-Identifier: Apache-2.0
"""What a program would write to its log, for tests that look at whole lines."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator

from zun_lite.common import config, log


@contextlib.contextmanager
def logged() -> Iterator[io.StringIO]:
    """The log of the program `test` while the block runs; its value is the text so far."""
    root, text, hook = logging.getLogger(), io.StringIO(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    with contextlib.redirect_stderr(text):
        log.set_up("test", config.load([], state_dir="/nonexistent/zun_lite"))
    try:
        yield text
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        sys.excepthook = hook
