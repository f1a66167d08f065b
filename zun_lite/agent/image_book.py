# SPDX-License-Identifier: Apache-2.0
"""Which images this host brought, and with whose right: a private one must not be anybody's for lying here.

A right is PUBLIC (it was pulled without a login), a project's (with a login of its registry) or that of an
image of the image service. Images that are on the engine without the host having brought them are the
operator's, and for all. What is being brought is noted first, so that a host that dies in between does not
take a private image for one of the operator's afterwards.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zun_lite.agent.journal import read_json, replace_file
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.common.clock import Clock
from zun_lite.domain.image_reference import RESERVED_REGISTRY

LOG = logging.getLogger(__name__)

PUBLIC = "public"
USE_NOTED_SECONDS = 600.0


def of_project(project_id: str) -> str:
    return f"project:{project_id}"


def of_image(image_id: str) -> str:
    return f"image:{image_id}"


@dataclass(frozen=True)
class Entry:
    """One image that was brought: under which names, with which rights, and when it was last wanted (epoch s)."""

    names: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    used_at: float = 0.0


@dataclass(frozen=True)
class Bringing:
    """An image on its way. others: ids of images that were the operator's when it began."""

    reference: str
    right: str
    others: tuple[str, ...]


class ImageBook:
    """Kept in one file, written before and after each image that is brought."""

    def __init__(self, path: Path, engine: EngineImages, clock: Clock) -> None:
        self._path = path
        self._engine = engine
        self._clock = clock
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}
        self._bringing: list[Bringing] = []
        self._unsettled: list[Bringing] = []
        self._lost = False
        self._read()

    def begin(self, reference: str, right: str) -> Bringing:
        """An image is about to be brought."""
        with self._lock:
            known = set(self._entries)
        there = {image.image_id for image in self._engine.every()}
        with self._lock:
            self._settle()
            # one that was forgotten meanwhile was there as ours all the same
            begun = Bringing(reference, right, tuple(sorted(there - known - self._entries.keys())))
            self._bringing.append(begun)
            self._write()
        return begun

    def end(self, begun: Bringing) -> None:
        """It is there, or it failed."""
        image_id = self._engine.find(begun.reference)
        with self._lock:
            self._bringing.remove(begun)
            if image_id is not None:
                self._note(image_id, begun, (begun.right,))
            self._write()

    def drop(self, begun: Bringing) -> None:
        """It failed; what the engine has under that name, it had before."""
        with self._lock:
            self._bringing.remove(begun)
            self._write()

    def may_use(self, image_id: str, rights: Collection[str]) -> bool:
        """Whether who has these rights may use an image of the engine; that it is used is noted."""
        with self._lock:
            self._settle()
            entry = self._entries.get(image_id)
            if entry is None:
                return True
            if PUBLIC not in entry.rights and not set(rights) & set(entry.rights):
                return False
            now = self._clock.now()
            if now - entry.used_at > USE_NOTED_SECONDS:
                self._entries[image_id] = replace(entry, used_at=now)
                self._write()
            return True

    def entries(self) -> dict[str, Entry]:
        with self._lock:
            self._settle()
            return dict(self._entries)

    def being_brought(self) -> set[str]:
        with self._lock:
            return {begun.reference for begun in self._bringing}

    def forget(self, image_id: str, seen: Entry) -> None:
        """It is gone, by this entry of entries(); one that was brought again since is kept with its rights."""
        with self._lock:
            if self._entries.get(image_id) is seen:
                del self._entries[image_id]
                self._write()

    def _note(self, image_id: str, begun: Bringing, rights: tuple[str, ...]) -> None:
        entry = self._entries.get(image_id)
        if entry is None and image_id in begun.others:
            if not begun.reference.startswith(f"{RESERVED_REGISTRY}/"):
                return
            # the operator's image, and so for all; but this name of it is ours
            rights = (PUBLIC,)
        entry = entry or Entry()
        self._entries[image_id] = Entry(
            tuple(sorted({*entry.names, begun.reference})),
            tuple(sorted({*entry.rights, *rights})),
            self._clock.now(),
        )

    def _settle(self) -> None:
        """What an earlier run was bringing when it ended is nobody's until somebody brings it again."""
        if self._lost:
            self._unsettled = [Bringing(name, "", ()) for image in self._engine.every() for name in image.names]
            self._lost = False
        if not self._unsettled:
            return
        for begun in self._unsettled:
            image_id = self._engine.find(begun.reference)
            if image_id is not None:
                self._note(image_id, begun, ())
        self._unsettled = []
        self._write()

    def _read(self) -> None:
        try:
            body = read_json(self._path)
            if body is None:
                return
            self._entries = {key: _entry(value) for key, value in body["images"].items()}
            self._unsettled = [
                Bringing(item["reference"], item["right"], tuple(item["others"])) for item in body["bringing"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.warning("which images were brought here cannot be read; they all count as nobody's: %s", error)
            self._lost = True

    def _write(self) -> None:
        body: dict[str, Any] = {
            "images": {key: vars(entry) for key, entry in self._entries.items()},
            "bringing": [vars(item) for item in self._bringing + self._unsettled],
        }
        replace_file(self._path, json.dumps(body).encode())


def _entry(body: dict[str, Any]) -> Entry:
    return Entry(tuple(body["names"]), tuple(body["rights"]), float(body["used_at"]))
