# SPDX-License-Identifier: Apache-2.0
"""Which commands have a client at their terminal, noted on disk, so that none outlives an agent that is killed.

Docker lets a command run on when its connection breaks. While the agent lives, it hangs up on such a
command itself; what it could not, its next start does.
"""

from __future__ import annotations

import logging
from pathlib import Path

from zun_lite.agent.streams.base import Streams
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)


class OpenExecs:
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def home(self) -> str:
        """The folder in which its own is."""
        return str(self._folder.parent)

    def note(self, exec_id: str, uuid: str) -> None:
        (self._folder / exec_id).write_text(uuid)

    def forget(self, exec_id: str) -> None:
        (self._folder / exec_id).unlink(missing_ok=True)

    def left(self) -> list[tuple[str, str]]:
        """(exec_id, uuid) of those that an agent before this one left."""
        return [(note.name, note.read_text()) for note in self._folder.iterdir()]

    def hang_up(self, left: list[tuple[str, str]], streams: Streams) -> None:
        """End what was left; a note stays where Docker does not answer, for the next start."""
        for exec_id, uuid in left:
            try:
                streams.hang_up_exec(uuid, exec_id)
            except errors.Unavailable as error:
                LOG.warning("workload %s: a command of an earlier agent's client may live on: %s", uuid, error.message)
                continue
            except errors.ZunError:
                # it, or its container, is gone
                pass
            self.forget(exec_id)
