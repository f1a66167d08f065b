# SPDX-License-Identifier: Apache-2.0
"""Pages of a list, and what is on them, remembered as they were sent.

A page depends on its question and on the project's workloads, whose every change raises the
project's revision in the same transaction; so a page of the current revision is the current page.
The same goes for one container and its row's version. What they say of time ("Up 3 mins") may lag by
LIFETIME_SECONDS each.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

LIFETIME_SECONDS = 5.0
MOST_BYTES = 16 * 1024 * 1024
# What an entry takes besides its page, with a question of ordinary length.
ENTRY_BYTES = 512


class Pages:
    """One a process; threads share it. moments are seconds of a monotonic clock."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._pages: OrderedDict[Hashable, tuple[int, float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable, revision: int, moment: float) -> bytes | None:
        """The page as it is at this revision, or None."""
        known = self._pages.get(question)
        if known is None or known[0] != revision or moment - known[1] > LIFETIME_SECONDS:
            return None
        return known[2]

    def put(self, question: Hashable, revision: int, moment: float, page: bytes) -> None:
        """revision: read before the page was, so that a change in between makes it stale."""
        with self._lock:
            before = self._pages.pop(question, None)
            self._bytes += _weight(page) - (_weight(before[2]) if before else 0)
            self._pages[question] = revision, moment, page
            while self._bytes > self._most_bytes:
                _, dropped = self._pages.popitem(last=False)
                self._bytes -= _weight(dropped[2])


def _weight(page: bytes) -> int:
    return len(page) + ENTRY_BYTES
