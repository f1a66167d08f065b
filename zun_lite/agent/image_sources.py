# SPDX-License-Identifier: Apache-2.0
"""Where this host's images come from: logins and images that the API gives, for its own workloads only.

An image is brought whole into a file first and held against its checksum, so that the engine gets nothing
of one that was cut off or changed on the way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from zun_lite.agent import image_archive
from zun_lite.agent.runtime.image_base import EngineImages
from zun_lite.client.node import ImageBytes
from zun_lite.domain import errors
from zun_lite.domain.desired import Login

# the file, what the engine unpacks of it, and something to spare
ROOM_FACTOR = 3


class ImageApi(Protocol):
    """What is asked of the API."""

    def login(self, workload_uuid: str) -> Login: ...

    def image(self, image_id: str) -> AbstractContextManager[ImageBytes]: ...

    def send_image(self, image_id: str, blocks: Iterable[bytes]) -> None: ...


class ImageSources:
    """folder: for files on their way; what is in it at the start is left over. most_bytes: of one image."""

    def __init__(self, api: ImageApi, engine: EngineImages, folder: Path, most_bytes: int) -> None:
        self._api = api
        self._engine = engine
        self._folder = folder
        self._most_bytes = most_bytes
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)

    def login(self, workload_uuid: str) -> Login:
        return self._api.login(workload_uuid)

    def load(self, image_id: str, reference: str, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        with self._file() as path:
            self._fetch(image_id, path, deadline)
            left = max(1.0, deadline - time.monotonic())
            if image_archive.is_saved_image(path, self._most_bytes):
                self._engine.load(image_archive.renamed(path, reference, self._most_bytes), left)
            else:
                self._engine.make(image_archive.plain(path), reference, left)
        if self._engine.find(reference) is None:
            raise errors.Invalid("The image's archive holds no image that the engine knows.")

    def send(self, image_id: str, blocks: Iterable[bytes]) -> None:
        self._api.send_image(image_id, blocks)

    def _fetch(self, image_id: str, path: str, deadline: float) -> None:
        try:
            with self._api.image(image_id) as coming:
                if coming.size_bytes * ROOM_FACTOR > shutil.disk_usage(self._folder).free:
                    raise errors.Failed("The host has no room for the image.")
                _write(coming, path, deadline)
        except errors.NotFound as error:
            raise errors.NoSuchImage("The image is not in the image service any more.") from error

    @contextlib.contextmanager
    def _file(self) -> Iterator[str]:
        handle, path = tempfile.mkstemp(dir=self._folder)
        os.close(handle)
        try:
            yield path
        finally:
            os.unlink(path)


def _write(coming: ImageBytes, path: str, deadline: float) -> None:
    digest = hashlib.sha512()
    with open(path, "wb") as stream:
        for block in coming.blocks:
            if time.monotonic() > deadline:
                raise errors.Failed("The image did not come from the image service in time.")
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != coming.sha512:
        raise errors.Failed("The image did not come whole from the image service.")
