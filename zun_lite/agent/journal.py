# SPDX-License-Identifier: Apache-2.0
"""What this host remembers: what it did for each workload, its last set, who it is.

One small file a workload, replaced by rename, so that a reader finds the old or the new one and
never half of it. Losing any of it costs no container: what matters is read back from the engine.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zun_lite.common import crash
from zun_lite.domain.desired import DesiredSet
from zun_lite.domain.plan import Done

LOG = logging.getLogger(__name__)


class Journal:
    """The agent's folder. One thread a workload may use it at a time; different workloads do not meet."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._workloads = self._folder / "workloads"
        self._workloads.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._known: dict[str, Done] = dict(self._load())
        self._set_lock = threading.Lock()

    def uuids(self) -> list[str]:
        """Every workload that there is a word of."""
        return list(self._known)

    def read(self, uuid: str) -> Done | None:
        return self._known.get(uuid)

    def write(self, uuid: str, done: Done) -> None:
        """Make it last; nothing is written when nothing changed."""
        if self._known.get(uuid) == done:
            return
        crash.point("agent.journal.before")
        replace_file(self._workloads / f"{uuid}.json", json.dumps(done.to_json()).encode())
        self._known[uuid] = done
        crash.point("agent.journal.after")

    def forget(self, uuid: str) -> None:
        self._known.pop(uuid, None)
        (self._workloads / f"{uuid}.json").unlink(missing_ok=True)

    def read_set(self) -> DesiredSet | None:
        """The set that this host was last told to hold, if it is still known."""
        try:
            return DesiredSet.from_json(json.loads((self._folder / "desired.json").read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.warning("the last set of this host cannot be read and will be fetched anew: %s", error)
            return None

    def write_set(self, desired: DesiredSet) -> None:
        with self._set_lock:
            replace_file(self._folder / "desired.json", json.dumps(desired.to_json()).encode())

    def removals_allowed_once(self) -> bool:
        """Whether the operator put the file allow-removals here; it is used up by asking."""
        try:
            (self._folder / "allow-removals").unlink()
        except FileNotFoundError:
            return False
        return True

    def _load(self) -> Iterator[tuple[str, Done]]:
        for path in self._workloads.iterdir():
            if path.suffix != ".json":
                path.unlink(missing_ok=True)
                continue
            try:
                yield path.stem, Done.from_json(json.loads(path.read_bytes()))
            except (OSError, ValueError, TypeError) as error:
                LOG.warning("the journal of workload %s is lost and is judged by the engine: %s", path.stem, error)


def replace_file(path: Path, content: bytes) -> None:
    """Put content at path: wholly or, if it fails, not at all.

    The folder is not synced: after a power cut the older file is as good, for then no container runs.
    """
    staged = path.with_name(f"{path.name}.tmp")
    try:
        with open(os.open(staged, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fdatasync(stream.fileno())
        os.rename(staged, path)
    except OSError:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise


def read_json(path: Path) -> Any:
    """The value in a file, or None when there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
