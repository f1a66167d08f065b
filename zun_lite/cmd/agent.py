# SPDX-License-Identifier: Apache-2.0
"""zun-lite-agent: makes one host hold the containers that the API says it should.

Ends only when told to or when it cannot begin; every container stays as it is. Answers the API's
requests in the main thread, does everything else beside it.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading

import uvicorn
from oslo_config import cfg

from zun_lite.agent import enrolment, host_key, inventory
from zun_lite.agent.host_key import HostKey
from zun_lite.agent.image_keeping import ImageSettings
from zun_lite.agent.loop import Agent, Settings
from zun_lite.agent.permits import Permits
from zun_lite.agent.runtime.base import Limits
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.docker_archives import DockerArchives
from zun_lite.agent.runtime.docker_images import DockerImages
from zun_lite.agent.runtime.docker_streams import DockerStreams
from zun_lite.agent.runtime.etc import EtcFiles
from zun_lite.agent.runtime.files import GivenFiles
from zun_lite.agent.runtime.freezer import Freezer
from zun_lite.agent.server import make_app
from zun_lite.agent.signatures import read_keys
from zun_lite.agent.streams.opened import OpenExecs
from zun_lite.client import node
from zun_lite.client.netd import NetdClient
from zun_lite.cmd import begin
from zun_lite.cmd.processes import raise_open_files
from zun_lite.common import crash, grants, security_profiles, tls
from zun_lite.common.clock import Clock
from zun_lite.domain import errors

LOG = logging.getLogger(__name__)

# an unmount waits for what still lets go, and a kernel's mount of a large volume takes its time
WS_MESSAGE_BYTES = 1024 * 1024
WS_PING_SECONDS = 30.0


def main() -> int:
    conf = begin.configured("zun-lite-agent", sys.argv[1:])
    crash.arm(conf.state_dir)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    # what the token buys is kept in files; no program that is started from here needs it
    join_token = os.environ.pop(enrolment.TOKEN_VARIABLE, None)
    try:
        return run(conf, join_token, stopping)
    except (errors.ZunError, OSError) as error:
        LOG.error("the agent cannot begin: %s", error)
        return 0 if stopping.is_set() else 1


def run(conf: cfg.ConfigOpts, join_token: str | None, stopping: threading.Event) -> int:
    """Enrol if need be, then serve until told to stop."""
    context = tls.serve("agent", conf.agent.tls_cert_file, conf.agent.tls_key_file)
    clock = Clock()
    key = HostKey(conf.agent.key_file)
    identity = enrolment.identify(
        conf.agent.journal_dir,
        functools.partial(node.enrol, ca_file=conf.tls.ca_file),
        api_url=conf.agent.api_url.rstrip("/"),
        given=join_token,
        name=conf.agent.host_name,
        address=conf.agent.address,
        key=key,
        stopping=stopping,
    )
    limits = Limits(conf.container.pids_limit, conf.container.log_max_mib, conf.container.log_max_files)
    etc = EtcFiles(os.path.join(conf.agent.journal_dir, "etc"))
    files = GivenFiles(os.path.join(conf.agent.journal_dir, "files"))
    profiles = security_profiles.load(conf.container.security_profiles)
    runtime = DockerRuntime(
        conf.agent.docker_socket, conf.cluster, conf.agent.docker_runtime, limits, etc, files, profiles
    )
    netd = NetdClient(conf.netd.socket, conf.netd.answer_seconds)
    api = node.NodeClient(conf.agent.api_url, identity.host_uuid, key.current, clock, ca_file=conf.tls.ca_file)
    agent = Agent(
        api,
        runtime,
        DockerImages(runtime),
        netd,
        settings(conf),
        clock,
    )
    freezer = Freezer(os.path.join(conf.agent.journal_dir, "frozen"))
    freezer.thaw_all()
    streams = DockerStreams(
        runtime, conf.agent.docker_socket, DockerArchives(runtime, freezer, conf.agent.docker_socket), netd
    )
    execs = OpenExecs(os.path.join(conf.agent.journal_dir, "execs"))
    threading.Thread(target=execs.hang_up, args=(execs.left(), streams), name="hang-up", daemon=True).start()
    raise_open_files()
    permits = Permits(grants.public_key(identity.grant_public_key), identity.host_uuid, clock)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(runtime, permits, agent.nudge, streams, execs, agent.progress.tell),
            host=conf.agent.bind,
            port=conf.agent.port,
            ssl_context_factory=(lambda *_: context) if context else None,
            loop="asyncio",
            http="h11",
            ws="websockets-sansio",
            ws_max_size=WS_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            # a peer that does not read for long is held up, not hung up on; a dead one fails the ping's delivery
            ws_ping_interval=WS_PING_SECONDS,
            ws_ping_timeout=None,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    if stopping.is_set():
        return 0
    agent.start()
    threading.Thread(target=host_key.keep, args=(key, api, stopping), name="host-key", daemon=True).start()
    LOG.info("the agent of host %s answers at %s:%s", identity.host_uuid, conf.agent.bind, conf.agent.port)
    # uvicorn minds the signals while it runs, and hands them on to our handler when it has ended
    server.run()
    LOG.info("the agent ends")
    if not agent.stop():
        LOG.warning("something was still under way; the next start takes it up again")
    return 0


def settings(conf: cfg.ConfigOpts) -> Settings:
    return Settings(
        pool_dir=os.path.realpath(conf.volume.pool_dir),
        journal_dir=conf.agent.journal_dir,
        boot_id=inventory.boot_id(),
        docker_runtime=conf.agent.docker_runtime,
        pool_overcommit=conf.agent.pool_overcommit,
        pool_reserve_gib=conf.agent.pool_reserve_gib,
        pool_shared=conf.agent.pool_shared,
        interval_seconds=conf.agent.interval_seconds,
        heartbeat_seconds=conf.agent.heartbeat_seconds,
        resync_seconds=conf.agent.resync_seconds,
        silent_after_seconds=conf.scheduler.host_timeout_seconds,
        parallel=conf.agent.parallel,
        images=ImageSettings(
            pull_timeout_seconds=conf.agent.pull_timeout_seconds,
            most_gib=conf.image.max_size_gib,
            cache_gib=conf.agent.image_cache_max_gib,
            cache_hours=conf.agent.image_cache_max_age_hours,
            allowed_registries=tuple(name.lower() for name in conf.image.allowed_registries),
            signing_keys=read_keys(conf.image_policy.public_keys),
            signed=tuple(conf.image_policy.signed),
            insecure_registries=tuple(name.lower() for name in conf.image_policy.insecure_registries),
        ),
        underlay_address=conf.agent.underlay_address,
        external_bridge=conf.agent.external_bridge,
        known_as=(conf.agent.host_name, conf.agent.address.rpartition(":")[0].strip("[]")),
    )


if __name__ == "__main__":
    sys.exit(main())
