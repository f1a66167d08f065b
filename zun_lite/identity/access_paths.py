# SPDX-License-Identifier: Apache-2.0
"""The paths of access rules: * and {name} stand for text within one segment, ** for any number of segments.

They come from users and are held against paths that users send, so their form keeps every match short: one
such mark in a segment, one ** in a path.
"""

from __future__ import annotations

import functools
import re

from zun_lite.domain import errors

LONGEST = 128
_PATH = re.compile(r"/[^\s?#]*")
_PARTS = re.compile(r"\*\*|\*|\{[^{}/]*\}|[^*{]+|.")


def check(path: str) -> None:
    """Invalid: it is no such path."""
    if len(path) > LONGEST or not _PATH.fullmatch(path):
        raise errors.Invalid(
            f"The path of an access rule begins with /, and has at most {LONGEST} characters, no blanks and no query."
        )
    marks = [[part for part in _PARTS.findall(segment) if _is_mark(part)] for segment in path.split("/")]
    if any(len(each) > 1 for each in marks) or sum(each == ["**"] for each in marks) > 1:
        raise errors.Invalid("The path of an access rule may have one * or {name} in a segment, and ** once.")


@functools.lru_cache(maxsize=1000)
def pattern(path: str) -> re.Pattern[str]:
    """What the whole of a request's path has to match."""
    made = ""
    for part in _PARTS.findall(path):
        if part == "**":
            made += ".*"
        else:
            made += "[^/]+" if _is_mark(part) else re.escape(part)
    return re.compile(made, re.DOTALL)


def _is_mark(part: str) -> bool:
    return part in ("*", "**") or (part[0] == "{" and len(part) > 1)
