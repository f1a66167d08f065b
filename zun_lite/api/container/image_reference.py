# SPDX-License-Identifier: Apache-2.0
"""What an image reference looks like: Docker's own grammar, [HOST[:PORT]/]NAME[:TAG][@DIGEST]."""

from __future__ import annotations

import re

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
# The first part is a host only if it has a dot or a port, or is localhost.
_HOST = rf"(?:localhost(?::[0-9]+)?|{_LABEL}(?:\.{_LABEL})+(?::[0-9]+)?|{_LABEL}:[0-9]+)"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*(?::\w[\w.-]{{0,127}})?(?:@[A-Za-z][A-Za-z0-9]*:[0-9a-fA-F]{{32,}})?",
    re.ASCII,
)


def is_reference(text: str) -> bool:
    return len(text) <= 255 and _REFERENCE.fullmatch(text) is not None
