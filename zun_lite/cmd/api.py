# SPDX-License-Identifier: Apache-2.0
"""zun-lite-api: every API under gunicorn, on one port.

The application is built once and workers are forked from it, so that they share its memory; nothing
is connected before the fork. What clients say of themselves in forwarding headers is not believed.
"""

from __future__ import annotations

import ctypes
import gc
import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from typing import Any

from gunicorn.app.base import BaseApplication
from oslo_config import cfg

from zun_lite.api import audit
from zun_lite.api.app import create_app
from zun_lite.api.services import Services
from zun_lite.cmd import begin
from zun_lite.cmd.means import build_means, check_schema
from zun_lite.common import crash, grants, log, tls
from zun_lite.control.means import Means
from zun_lite.domain import errors
from zun_lite.identity.embedded import EmbeddedIdentity
from zun_lite.identity.guesses import Bounds
from zun_lite.identity.keys import TokenKeys
from zun_lite.identity.keystone import KeystoneIdentity

GRACEFUL_TIMEOUT_SECONDS = 10
KEEPALIVE_SECONDS = 65
LONGEST_REQUEST_LINE = 8190
# glibc's mallopt(3): few arenas; large blocks are mapped, so that they go back when freed; but the
# top of the heap is kept, as giving it back after each answer costs more than the answer.
_MALLOPT = {"arena_max": (-8, 2), "mmap_threshold": (-3, 1024 * 1024), "trim_threshold": (-1, 8 * 1024 * 1024)}


def main() -> int:
    conf = begin.configured("zun-lite-api", sys.argv[1:])
    crash.arm(conf.state_dir)
    _spare_memory()
    try:
        log.set_up_records(audit.LOGGER, conf.audit.file)
        context = tls.serve("api", conf.api.tls_cert_file, conf.api.tls_key_file)
        services = build_services(conf)
    except errors.ZunError as error:
        begin.refuse("zun-lite-api", error)
    except OSError as error:
        begin.refuse("zun-lite-api", errors.Invalid(f"[audit] file = {conf.audit.file} cannot be written: {error}."))
    check_schema("zun-lite-api", services.means.db)
    Server(conf, services, context).run()
    return 0


def build_services(conf: cfg.ConfigOpts) -> Services:
    means = build_means(conf)
    identity = None if conf.identity.provider == "keystone" else _embedded(conf, means)
    tokens = identity or KeystoneIdentity(conf, means.clock)
    grant_public_key = grants.public_text(grants.make_key(conf.grants.key_file))
    return Services(
        conf,
        means,
        tokens,
        grant_public_key,
        identity=identity,
        gateway_public_key=grants.public_text(grants.make_key(conf.gateway.key_file)),
    )


def _embedded(conf: cfg.ConfigOpts, means: Means) -> EmbeddedIdentity:
    return EmbeddedIdentity(
        means.db,
        TokenKeys(conf.identity.key_dir),
        means.clock,
        ttl_seconds=conf.identity.token_ttl_seconds,
        www_authenticate_uri=f"{conf.api.public_url.rstrip('/')}/identity",
        bounds=Bounds(conf.identity.wrong_of_user, conf.identity.wrong_from_address, conf.identity.wrong_seconds),
    )


class Server(BaseApplication):
    """gunicorn, configured by our options and by nothing else: no file, no environment."""

    def __init__(self, conf: cfg.ConfigOpts, services: Services, context: ssl.SSLContext | None) -> None:
        """context: what TLS is spoken by; made before the fork, so that one worker resumes what another began."""
        self._conf = conf
        self._services = services
        self._tls = tls.impatient(context, conf.api.silent_seconds) if context else None
        super().__init__()

    def load_config(self) -> None:
        address = self._conf.api.bind
        bind = f"[{address}]" if ":" in address else address
        for name, value in {
            "bind": f"{bind}:{self._conf.api.port}",
            "workers": self._conf.api.workers,
            "threads": self._conf.api.threads,
            "worker_class": "gthread",
            "preload_app": True,
            "graceful_timeout": GRACEFUL_TIMEOUT_SECONDS,
            "keepalive": KEEPALIVE_SECONDS,
            "limit_request_line": LONGEST_REQUEST_LINE,
            "accesslog": None,
            "forwarded_allow_ips": "",
            "certfile": self._conf.api.tls_cert_file,
            "keyfile": self._conf.api.tls_key_file,
            "ssl_context": lambda config, make: self._tls or make(),
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,
            "proc_name": "zun-lite-api",
            "control_socket_disable": True,
            "when_ready": self._when_ready,
            "pre_fork": _pre_fork,
            "post_fork": self._post_fork,
        }.items():
            # Older gunicorns have no control socket to disable.
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        return create_app(self._services)

    def _when_ready(self, server: Any) -> None:
        """Each connection inherits how long a silent client may keep one of the few threads.

        With TLS that is what tls.impatient sees to.
        """
        span = struct.pack("@ll", self._conf.api.silent_seconds, 0)
        for listener in server.LISTENERS:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                listener.sock.setsockopt(socket.SOL_SOCKET, option, span)

    def _post_fork(self, server: Any, worker: Any) -> None:
        self._services.means.db.engine.dispose(close=False)
        self._services.counts.claim(worker.age)


def _pre_fork(server: Any, worker: Any) -> None:
    # What building the application left goes first; what exists then is not looked at by later collections, so
    # that its pages stay shared.
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    gc.freeze()


def _spare_memory() -> None:
    # Else each thread has an arena of its own and keeps there the 20 MiB of its last password check.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _MALLOPT.values():
            mallopt(option, value)


if __name__ == "__main__":
    sys.exit(main())
