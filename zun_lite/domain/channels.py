# SPDX-License-Identifier: Apache-2.0
"""How a stream that is more than bytes is written: the first byte of each message names its channel.

From the client: STDIN (no bytes after the first: nothing more comes) and SIZE, {"height", "width"}. To it:
STDOUT, STDERR, and at the end one STATUS, which is {"exit_code": number or null} or
{"error": {"status", "title", "request_id"}}.
"""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN, STDOUT, STDERR, STATUS, SIZE = range(5)
# of logs in frames: the channel, three zero bytes, and the length of what follows
FRAME = struct.Struct(">BxxxL")
FRAMES_TYPE = "application/vnd.zun-lite.frames"
# a close code is this and the HTTP status that says the same
CLOSE_BASE = 4000


def message(channel: int, content: bytes) -> bytes:
    return bytes((channel,)) + content


def status(**what: Any) -> bytes:
    return message(STATUS, json.dumps(what).encode())


def split(content: bytes) -> tuple[int, bytes]:
    """Channel and content of a message; ValueError: it has no channel."""
    if not content:
        raise ValueError("a message begins with the number of its channel")
    return content[0], content[1:]
