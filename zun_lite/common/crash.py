# SPDX-License-Identifier: Apache-2.0
"""The named points of the create and delete paths at which a program can be made to die.

POINTS is the one list, with MORE_POINTS of other paths. Code calls crash.point("agent.create.after");
nothing happens unless the program was started for a test: with ZUN_LITE_CRASH_POINTS in its environment *and* a folder
STATE_DIR/crash-points (no shipped command makes either). Then a file "armed.NAME" in that folder
makes the point fire once: the file becomes "hit.NAME", which proves that the point was reached,
and the program kills itself.
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
    "netd.own.after",
    "netd.loop.after",
    "netd.mount.after",
    "netd.wire.begin",
    "netd.wire.veth",
    "netd.wire.end",
    "netd.plane.stored",
    "netd.plane.network",
    "netd.plane.end",
    "netd.unplug.begin",
    "netd.unplug.end",
    "netd.detach.begin",
    "netd.umount.after",
    "netd.detach.end",
    "runtime.create.before",
    "runtime.create.after",
)

# on other paths than those of create and delete
MORE_POINTS = (
    # the exchange of a host's key
    "agent.key.made",
    "agent.key.accepted",
    "agent.key.taken_up",
    "agent.commit.before",
    "agent.commit.made",
    "agent.commit.sent",
    # volumes that are copied or grow
    "agent.volume.before",
    "agent.volume.done",
    "agent.pool.staged",
    "agent.pool.frozen",
    "agent.pool.copied",
    "agent.pool.renamed",
    "agent.pool.grown",
    "agent.pool.destroyed",
    "netd.freeze.after",
    "netd.grow.device",
    "netd.settle.mounted",
    # ports for the host's own Docker
    "netd.reserve.recorded",
    "netd.reserve.answered",
    "netd.lend.link",
    "netd.release.begin",
    "netd.release.end",
    # volumes of a Cinder
    "api.create.volume.before",
    "api.create.volume.after",
    "controller.cinder.reserved",
    "controller.cinder.connected",
    "controller.cinder.completed",
    "controller.cinder.ended",
    "agent.disk.connect",
    "netd.connect.recorded",
    "netd.connect.after",
    "netd.format.noted",
    "netd.format.made",
    "netd.disconnect.after",
    # volumes that are brought from elsewhere
    "volume.import.filled",
    "volume.import.recorded",
)

_folder: str | None = None


def arm(state_dir: str) -> None:
    """Heed armed points from now on, if this process was started for that; called once by each program."""
    global _folder
    folder = os.path.join(state_dir, "crash-points")
    if os.environ.get("ZUN_LITE_CRASH_POINTS") and os.path.isdir(folder):
        _folder = folder


def point(name: str) -> None:
    """Die here, by SIGKILL, if a test armed this point."""
    if _folder is None:
        return
    try:
        os.rename(os.path.join(_folder, f"armed.{name}"), os.path.join(_folder, f"hit.{name}"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
