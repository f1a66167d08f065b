# SPDX-License-Identifier: Apache-2.0
"""How a stream in channels (domain/channels.py) says that it has ended."""

from __future__ import annotations

import json

from zun_lite.cli.failures import Failure

BROKEN_OFF = "The stream broke off."


def exit_code(status: bytes) -> int:
    """Of the content of a status; 0 where nobody knows. Failure: it tells an error instead."""
    said = json.loads(status)
    if "error" in said:
        told = said["error"]
        raise Failure(told["title"], status=told["status"], request_id=told.get("request_id", ""))
    return int(said.get("exit_code") or 0)
