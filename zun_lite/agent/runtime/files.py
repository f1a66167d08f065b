# SPDX-License-Identifier: Apache-2.0
"""Files that a user gave to a container: a copy of its own on the host, bound where the container sees it.

One folder a container, closed to everyone but the agent; the container sees the file alone, may write
to it, and what it wrote goes with it. A new build of the container begins with the files as given.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from zun_lite.agent.runtime.base import Bind
from zun_lite.domain import errors, names
from zun_lite.domain.spec import FileRequest


class GivenFiles:
    """folder is the agent's own. Nothing is kept for a container that is gone."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def write(self, uuid: str, files: tuple[FileRequest, ...]) -> tuple[Bind, ...]:
        """Write them as they were given; the binds that show them."""
        if not files:
            return ()
        folder = self._of(uuid)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(opened, 0o700)
            for number, file in enumerate(files):
                _write(opened, str(number), base64.b64decode(file.content))
            # a container that Docker starts after a power cut must find them
            os.fsync(opened)
        finally:
            os.close(opened)
        return tuple(Bind(str(folder / str(number)), file.target) for number, file in enumerate(files))

    def remove(self, uuid: str) -> None:
        """Fine to say twice, and for what never had a file."""
        if names.is_id(uuid):
            shutil.rmtree(self._of(uuid), ignore_errors=True)

    def _of(self, uuid: str) -> Path:
        if not names.is_id(uuid):
            raise errors.Invalid("A container's id is a UUID.")
        return self._folder / uuid


def give(binds: Iterable[Bind], root: tuple[int, int] | None) -> None:
    """Let the root of containers own what is shown to them, where Docker maps it to another user of the host.

    Only what is the host's root's now: the files of ours and new volumes. What lies in a volume that was filled
    without mapped users stays as it is.
    """
    if root is None:
        return
    for bind in binds:
        # what is not there is Docker's to complain of
        with contextlib.suppress(FileNotFoundError):
            opened = os.open(bind.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if os.fstat(opened).st_uid == 0 and not bind.read_only:
                    os.fchown(opened, *root)
            finally:
                os.close(opened)


def _write(folder: int, name: str, content: bytes) -> None:
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW
    with open(os.open(name, flags, 0o644, dir_fd=folder), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())
