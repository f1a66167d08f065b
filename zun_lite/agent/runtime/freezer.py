# SPDX-License-Identifier: Apache-2.0
"""Holds every process of a container still for the length of a block, by the kernel's freezer.

While Docker mounts a running container's volumes to copy files, a process in the container could put
a symbolic link in their way and so reach the host; one that is frozen cannot. Docker's own pause would
do as well, but would show as the container's state and set the reconciler to work.

What is frozen is noted in a folder first, so that an agent that was killed thaws it at its next start.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from zun_lite.domain import errors

LIMIT_SECONDS = 5.0
TURN_SECONDS = 20.0
_LOOK_SECONDS = 0.002
_AGAIN_SECONDS = 0.05


class Freezer:
    def __init__(self, folder: str, *, cgroups: str = "/sys/fs/cgroup", proc: str = "/proc") -> None:
        self._folder = Path(folder)
        self._cgroups = Path(cgroups)
        self._proc = Path(proc)
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextlib.contextmanager
    def still(self, pid: int, container_id: str) -> Iterator[None]:
        """Hold a container still; Docker can neither pause nor exec in it meanwhile. Conflict: it cannot be done."""
        with self._alone(container_id):
            control = self._control(pid, container_id)
            _check_moving(control)
            note = self._folder / container_id
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                note.write_text(str(control))
                _freeze(control)
                yield
            finally:
                _thaw(control)
                note.unlink(missing_ok=True)

    def thaw_all(self) -> None:
        """Set free what an earlier agent held when it was killed."""
        for note in self._folder.glob("*"):
            _thaw(Path(note.read_text()))
            note.unlink()

    @contextlib.contextmanager
    def _alone(self, container_id: str) -> Iterator[None]:
        """One holder a container: the first to end would set it free for the others."""
        with self._changed:
            if not self._changed.wait_for(lambda: container_id not in self._held, TURN_SECONDS):
                raise errors.Conflict("Files of this container are being copied already; try again later.")
            self._held.add(container_id)
        try:
            yield
        finally:
            with self._changed:
                self._held.discard(container_id)
                self._changed.notify_all()

    def _control(self, pid: int, container_id: str) -> Path:
        """The file that freezes the container's processes, of either version of cgroups."""
        try:
            lines = (self._proc / str(pid) / "cgroup").read_text().splitlines()
        except OSError:
            lines = []
        by_controller = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines if line.count(":") >= 2}
        for controller, top, name in (("freezer", "freezer", "freezer.state"), ("", "", "cgroup.freeze")):
            path = by_controller.get(controller)
            if path and container_id in path and (self._cgroups / top / path.lstrip("/") / name).exists():
                return self._cgroups / top / path.lstrip("/") / name
        raise errors.Conflict("Files of this container cannot be copied while it runs; stop or pause it first.")


def _freeze(control: Path) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    try:
        while time.monotonic() < deadline:
            # the older freezer gets stuck where a process was just being made; told anew, it does it
            _thaw(control)
            control.write_text("FROZEN" if control.name == "freezer.state" else "1")
            again = time.monotonic() + _AGAIN_SECONDS
            while time.monotonic() < again:
                if _is_frozen(control):
                    return
                time.sleep(_LOOK_SECONDS)
        raise errors.Conflict("The container's processes could not be held still; try again later.")
    except OSError as error:
        raise errors.Conflict("The container's processes could not be held still; does it still run?") from error


def _check_moving(control: Path) -> None:
    """Conflict if somebody else froze it, who would not like it thawed."""
    try:
        if not _is_frozen(control):
            return
    except OSError as error:
        raise errors.Conflict("The container just ended; try again.") from error
    raise errors.Conflict("The container was just paused; try again.")


def _is_frozen(control: Path) -> bool:
    if control.name == "freezer.state":
        return control.read_text().strip() == "FROZEN"
    return "frozen 1" in (control.parent / "cgroup.events").read_text()


def _thaw(control: Path) -> None:
    # it may be gone with its container
    with contextlib.suppress(OSError):
        control.write_text("THAWED" if control.name == "freezer.state" else "0")
