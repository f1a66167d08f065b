# SPDX-License-Identifier: Apache-2.0
"""What netd has besides on a host whose own Docker is shown tenants' networks: a driver, and a line to the API.

The line is the agent's, by the host's key. Nothing that netd does for containers of the cloud's own goes by it.
"""

from __future__ import annotations

import logging
import os

from oslo_config import cfg

from zun_lite.agent import enrolment
from zun_lite.agent.host_key import HostKey
from zun_lite.client.node import NodeClient
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.netd.dataplane import Dataplane
from zun_lite.netd.libnetwork.calls import Calls
from zun_lite.netd.libnetwork.reservations import Reservations
from zun_lite.netd.libnetwork.server import PluginServer
from zun_lite.netd.locks import ObjectLocks
from zun_lite.netd.store import Store
from zun_lite.netd.wiring import Switchboard

LOG = logging.getLogger(__name__)
# two questions of it are to fit into the time in which Docker is answered
_API_SECONDS = 3.0


def serve(
    conf: cfg.ConfigOpts, store: Store, locks: ObjectLocks, switchboard: Switchboard, dataplane: Dataplane
) -> PluginServer | None:
    """The driver, if there is to be one and it can be; ports that Docker has are minded in any case."""
    grace_seconds = conf.netd.libnetwork_grace_seconds
    reservations = Reservations(store, locks, switchboard, dataplane, lambda: line(conf), grace_seconds)
    reservations.keep(conf.netd.interval_seconds)
    if not conf.netd.libnetwork:
        return None
    name = conf.netd.libnetwork_name
    path = os.path.join(conf.netd.libnetwork_dir, f"{name}.sock")
    for_docker = PluginServer(path, Calls(name, reservations))
    try:
        for_docker.start()
    except (errors.ZunError, OSError) as error:
        # the cloud's own containers need netd all the same
        LOG.error("Docker cannot use network driver %s: %s", name, error)
        return None
    LOG.info("Docker's network driver %s answers at %s", name, path)
    return for_docker


def line(conf: cfg.ConfigOpts) -> NodeClient:
    """How to speak to the API as this host's agent does. Unavailable: it has not joined yet."""
    identity = enrolment.known(conf.agent.journal_dir)
    if identity is None:
        raise errors.Unavailable("This host has not joined the cloud yet.")
    key = HostKey(conf.agent.key_file)
    return NodeClient(conf.agent.api_url, identity.host_uuid, key.current, Clock(), _API_SECONDS, conf.tls.ca_file)
