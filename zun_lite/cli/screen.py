# SPDX-License-Identifier: Apache-2.0
"""What is written for people: colours and moving lines on a terminal only, and nothing that could steer it.

Names, reasons and logs' metadata come from others, so that whatever would move the cursor or turn the
direction of writing is shown as what it is.
"""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

_STEERING = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_COLOURING = r"(\x1b\[\d+m)"
_COLOURS = {"Running": "32", "Error": "31", "Stopped": "33", "Deleted": "90", "Paused": "33"}
_COLOURS |= {"done": "32", "failed": "31", "waits": "33", "ahead": "90"}


def width_of_terminal() -> int:
    """In columns; 80 where there is no terminal and COLUMNS says nothing."""
    said = os.environ.get("COLUMNS", "")
    if said.isdigit() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1).columns or 80
    except (OSError, ValueError):
        return 80


def harmless(text: str) -> str:
    """Without what steers a terminal: each such character as \\x1b or \\u202e."""
    if text.isprintable():
        return text
    return re.sub(_STEERING, lambda found: ascii(found[0])[1:-1], text)


def coloured(status: str, stream: TextIO) -> str:
    colour = _COLOURS.get(status)
    if colour is None or not stream.isatty() or os.environ.get("NO_COLOR"):
        return harmless(status)
    return f"\x1b[{colour}m{harmless(status)}\x1b[0m"


def cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list | tuple):
        import json

        return harmless(
            json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else ", ".join(map(str, value))
        )
    return harmless(str(value).replace("\n", " "))


def lined(columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int = 0) -> list[str]:
    """Columns one under the other; no wider than width, if one is given, by shortening the longest."""
    cells = [[str(column).upper() for column in columns], *([cell(value) for value in row] for row in rows)]
    widths = [max((len(row[at]) for row in cells), default=0) for at in range(len(columns))]
    while width and sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > 8:
        widths[widths.index(max(widths))] -= 1
    padded = [[fitted(value, size).ljust(size) for value, size in zip(row, widths, strict=True)] for row in cells]
    return [fitted("  ".join(row).rstrip(), width) for row in padded]


def fitted(text: str, size: int) -> str:
    """No longer than that, if a size is given."""
    return text if not size or len(text) <= size else f"{text[: max(size - 1, 0)]}\u2026"


def bytes_of(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""


class Board:
    """Lines that are painted over as they change, on a terminal; elsewhere none of them is written."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self.stream = stream
        self.is_live = stream.isatty()
        self._height = 0

    def paint(self, lines: Sequence[str]) -> None:
        """lines: without what steers a terminal, but for colours. As many as there is room for."""
        if not self.is_live:
            return
        import shutil

        size = shutil.get_terminal_size()
        shown = [_cut(line, size.columns - 1) for line in lines[: max(size.lines - 1, 1)]]
        self._stream_over("".join(f"{line}\n" for line in shown))
        self._height = len(shown)

    def wipe(self) -> None:
        """Leave the terminal as it was."""
        if self._height:
            self._stream_over("")
        self._height = 0

    def keep(self) -> None:
        """What comes now comes below."""
        self._height = 0

    def _stream_over(self, text: str) -> None:
        up = f"\x1b[{self._height}A" if self._height else ""
        self.stream.write(f"{up}\r\x1b[J{text}")
        self.stream.flush()


def _cut(text: str, room: int) -> str:
    """So many cells of a line, its colours whole."""
    shown, left = "", room
    for part in re.split(_COLOURING, text):
        if re.fullmatch(_COLOURING, part):
            shown += part
        else:
            shown, left = shown + part[:left], left - len(part[:left])
    return shown


class Line:
    """One line that changes, on a terminal; elsewhere each new text is a line of its own, if it is to be kept."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._moving = stream.isatty()
        self._said = ""

    def say(self, text: str, *, kept: bool = True) -> None:
        text = harmless(text)
        if text == self._said:
            return
        self._said = text
        if self._moving:
            room = width_of_terminal() - 1
            self._stream.write(f"\r\x1b[K{text[:room]}")
        elif kept:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def over(self) -> None:
        if self._moving and self._said:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
        self._said = ""
