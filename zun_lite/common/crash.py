# SPDX-License-Identifier: Apache-2.0
"""The named points of the create and delete paths at which a program can be made to die.

POINTS is the one list. Code calls crash.point("agent.create.after"); nothing happens unless a
test armed that point: the environment names it in ZUN_LITE_CRASH_POINTS *and* the folder
STATE_DIR/crash-points exists (no shipped command makes it). A point that fires leaves a file
of its name there before it kills, which proves that it was hit and keeps the restarted program
from dying at it again.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    # api
    "api.create.before_commit",
    "api.create.after_commit",
    "api.delete.before_commit",
    "api.delete.after_commit",
    # controller
    "controller.provision.begin",
    "controller.provision.port",
    "controller.provision.volume",
    "controller.provision.ready",
    "controller.release.begin",
    "controller.release.port",
    "controller.release.volume",
    "controller.release.row",
    # agent
    "agent.fetched",
    "agent.image.before",
    "agent.image.after",
    "agent.disk.before",
    "agent.disk.made",
    "agent.disk.attached",
    "agent.create.before",
    "agent.create.after",
    "agent.plug.before",
    "agent.plug.after",
    "agent.start.before",
    "agent.start.after",
    "agent.stop.before",
    "agent.stop.after",
    "agent.remove.before",
    "agent.remove.after",
    "agent.unplug.before",
    "agent.unplug.after",
    "agent.detach.before",
    "agent.detach.after",
    "agent.journal.before",
    "agent.journal.after",
    "agent.report.before",
    "agent.report.after",
    # netd, and the runtime wrapper that calls it
    "netd.store.before",
    "netd.store.after",
    "netd.prepare",
    "netd.loop.after",
    "netd.mount.after",
    "netd.wire.begin",
    "netd.wire.veth",
    "netd.wire.end",
    "netd.unplug.begin",
    "netd.unplug.end",
    "netd.detach.begin",
    "netd.umount.after",
    "netd.detach.end",
    "runtime.create.before",
    "runtime.create.after",
)

_armed: frozenset[str] = frozenset()
_folder: str | None = None


def arm(state_dir: str) -> None:
    """Take the armed points from the environment; called once by each program."""
    global _armed, _folder
    folder = os.path.join(state_dir, "crash-points")
    wanted = os.environ.get("ZUN_LITE_CRASH_POINTS", "")
    if not wanted or not os.path.isdir(folder):
        return
    names = frozenset(wanted.split(","))
    unknown = names.difference(POINTS)
    if unknown:
        raise ValueError(f"unknown crash points: {', '.join(sorted(unknown))}")
    _armed, _folder = names, folder


def point(name: str) -> None:
    """Die here, by SIGKILL, if a test armed this point and it was not hit yet."""
    if name not in _armed or _folder is None:
        return
    try:
        os.close(os.open(os.path.join(_folder, name), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
