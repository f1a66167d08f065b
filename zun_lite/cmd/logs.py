# SPDX-License-Identifier: Apache-2.0
"""The ends of log files, for telling a user why something did not come up."""

from __future__ import annotations

import os

_READ_BYTES = 8192


def last_lines(path: str, count: int) -> list[str]:
    """At most so many lines; one that says so when there is nothing to read."""
    try:
        with open(path, "rb") as stream:
            stream.seek(max(0, os.path.getsize(path) - _READ_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ["(no log)"]
    return text.strip().splitlines()[-count:] or ["(nothing was logged)"]
