# SPDX-License-Identifier: Apache-2.0
"""zun-lite-netd: the host's one program with privileges over links, mounts and loop devices."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from importlib.metadata import version
from typing import TYPE_CHECKING

from oslo_config import cfg

from zun_lite.cmd import begin
from zun_lite.cmd.processes import raise_open_files
from zun_lite.common import crash
from zun_lite.domain import errors
from zun_lite.netd import namespaces
from zun_lite.netd.census import Census
from zun_lite.netd.copying import Copying
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.nameservice import NameService
from zun_lite.netd.operations import Operations
from zun_lite.netd.reach import Reach
from zun_lite.netd.server import Server
from zun_lite.netd.stills import Stills
from zun_lite.netd.store import Store
from zun_lite.netd.volumes import Volumes
from zun_lite.netd.wiring import Switchboard

if TYPE_CHECKING:
    from zun_lite.netd.libnetwork.server import PluginServer

LOG = logging.getLogger(__name__)
_STOP_SECONDS = 10.0
_FENCE_SECONDS = 5.0


def main() -> int:
    conf = begin.configured("zun-lite-netd", sys.argv[1:])
    crash.arm(conf.state_dir)
    # a volume takes one, a network four of the program that answers for names
    raise_open_files()
    # blocked before any thread begins, so that only sigwait below sees them
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    try:
        server, for_docker = serve(conf)
    except (errors.ZunError, OSError) as error:
        LOG.error("netd cannot start: %s", error)
        return 1
    LOG.info("netd answers at %s", conf.netd.socket)
    LOG.info("netd ends: %s", signal.Signals(signal.sigwait(stop_signals)).name)
    if for_docker is not None:
        for_docker.stop()
    server.stop(_STOP_SECONDS)
    return 0


def serve(conf: cfg.ConfigOpts) -> tuple[Server, PluginServer | None]:
    """A server that has put this host in order and answers; and the one that Docker asks, if there is to be one."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    server = Server(conf.netd.socket)
    server.claim()
    store, locks = Store(conf.netd.store_dir), ObjectLocks()
    dataplane = Dataplane(conf.cluster, store, locks, NameService(), conf.netd.interval_seconds)
    switchboard = Switchboard(conf.cluster, store, locks, dataplane)
    stills = Stills()
    local_dirs = (conf.volume.pool_dir, *conf.netd.local_volume_dirs)
    reach = Reach(local_dirs, os.path.join(conf.netd.store_dir, "brick"), conf.netd.multipath)
    mount_dir = os.path.realpath(conf.netd.mount_dir)
    volumes = Volumes(mount_dir, store, locks, store.host_id(), stills, reach)
    copying = Copying(volumes, store, locks, stills)
    census = Census(conf.cluster, store, switchboard, dataplane, volumes, os.path.realpath(conf.volume.pool_dir))
    about = version("zun_lite"), boot_id
    operations = Operations(*about, switchboard, dataplane, volumes, reach, copying, census)
    namespaces.prepare_folder()
    volumes.resume()
    census.sweep()
    dataplane.resume(switchboard.rejoin)
    server.start(operations.perform)
    if conf.agent.pool_shared:
        threading.Thread(target=_keep_fenced, args=(volumes,), name="fence", daemon=True).start()
    if not conf.netd.libnetwork and not store.reservations():
        return server, None
    # what speaks to the API is not small, and most hosts do without
    from zun_lite.cmd import netd_docker

    return server, netd_docker.serve(conf, store, locks, switchboard, dataplane)


def _keep_fenced(volumes: Volumes) -> None:
    """Other hosts see the files too, and may have been given one while this host was out of sight."""
    while True:
        time.sleep(_FENCE_SECONDS)
        try:
            volumes.fence()
        except Exception:
            LOG.exception("whose the volumes are could not be told")


if __name__ == "__main__":
    sys.exit(main())
