# SPDX-License-Identifier: Apache-2.0
"""Removes images that this host brought and nobody needs: the oldest first, by age and by size.

Never one of which there is a container, whosever it is, never one that the set wants, and never one that
somebody else brought or gave a name of his own.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from zun_lite.agent.image_book import Entry, ImageBook
from zun_lite.agent.runtime.image_base import EngineImage, EngineImages
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheLimits:
    """What is kept of images that nobody needs now."""

    most_bytes: int
    most_seconds: float


class ImageCache:
    def __init__(self, engine: EngineImages, book: ImageBook, limits: CacheLimits, clock: Clock) -> None:
        self._engine = engine
        self._book = book
        self._limits = limits
        self._clock = clock

    def clean(self, wanted: Collection[str]) -> list[str]:
        """Remove what is too old or too much. wanted: whole names that must stay. Answers ids of what is gone."""
        entries = self._book.entries()
        if not entries:
            return []
        unused = self._unused(entries, wanted)
        total = sum(image.size_bytes for image, _ in unused)
        removed = []
        for image, entry in sorted(unused, key=lambda pair: pair[1].used_at):
            if self._clock.now() - entry.used_at > self._limits.most_seconds or total > self._limits.most_bytes:
                total -= image.size_bytes
                if self._remove(image, entry):
                    removed.append(image.image_id)
        return removed

    def let_go(self, reference: str, wanted: Collection[str]) -> None:
        """Remove an image now, if it is one of ours and nobody needs it."""
        image_id = self._engine.find(reference)
        for image, entry in self._unused(self._book.entries(), wanted):
            if image.image_id == image_id:
                self._remove(image, entry)

    def _unused(self, entries: dict[str, Entry], wanted: Collection[str]) -> list[tuple[EngineImage, Entry]]:
        there = {image.image_id: image for image in self._engine.every()}
        for image_id in entries.keys() - there.keys():
            self._book.forget(image_id, entries[image_id])
        used = self._engine.in_use()
        kept = set(wanted) | self._book.being_brought()
        return [
            (there[image_id], entry)
            for image_id, entry in entries.items()
            if image_id in there and image_id not in used and not kept & {*there[image_id].names, *entry.names}
        ]

    def _remove(self, image: EngineImage, entry: Entry) -> bool:
        """Take our names away, and with the last one the image; whether it is gone."""
        names = [name for name in image.names if name in entry.names]
        others = [name for name in image.names if name not in entry.names and "@" not in name]
        try:
            for name in names or ([] if others else [image.image_id]):
                self._engine.untag(name)
        except errors.ZunError as error:
            LOG.warning("image %s cannot be removed: %s", image.image_id, error.message)
            return False
        if others:
            return False
        LOG.info("image %s (%s) is not needed and was removed", image.image_id, ", ".join(names) or "without a name")
        self._book.forget(image.image_id, entry)
        return True
