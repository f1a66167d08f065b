# SPDX-License-Identifier: Apache-2.0
"""zun-lite-gateway: terminals, logs, files, ports and events of containers, beside the API.

Its addresses hold secrets, so neither uvicorn nor the websocket library writes down what it serves,
however much else is logged.
"""

from __future__ import annotations

import logging
import socket
import sys

import uvicorn
from oslo_config import cfg

from zun_lite.client.streams import StreamsClient
from zun_lite.cmd import begin
from zun_lite.cmd.processes import raise_open_files
from zun_lite.common import grants, tls
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.origins import Origins
from zun_lite.gateway.app import make_app
from zun_lite.gateway.feed import Feed
from zun_lite.gateway.openings import Openings

LOG = logging.getLogger(__name__)

WS_MESSAGE_BYTES = 1024 * 1024
WS_PING_SECONDS = 30.0
# a client that takes nothing of what waits for it for so long is gone
STALLED_SECONDS = 120
BACKLOG = 1024


def main() -> int:
    conf = begin.configured("zun-lite-gateway", sys.argv[1:])
    raise_open_files()
    # an answer that is broken off on purpose has its own line, see gateway/app.py
    logging.getLogger("uvicorn.error").addFilter(lambda record: "without completing response" not in record.msg)
    try:
        server = build(conf)
        listener = server.config.bind_socket()
    except errors.ZunError as error:
        LOG.error("the gateway cannot begin: %s", error.message)
        return 1
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
    LOG.info("the gateway answers at %s:%s", conf.gateway.bind, conf.gateway.port)
    server.run(sockets=[listener])
    return 0


def build(conf: cfg.ConfigOpts) -> uvicorn.Server:
    """The server, not yet listening. Invalid: an address in the configuration is none."""
    origins = Origins(conf.gateway.public_url, conf.gateway.allowed_origins)
    context = tls.serve("gateway", conf.gateway.tls_cert_file, conf.gateway.tls_key_file)
    api = StreamsClient(
        conf.gateway.api_url,
        grants.make_key(conf.gateway.key_file),
        Clock(),
        ca_file=conf.tls.ca_file,
        agents=tls.trust(conf.tls.ca_file) if conf.tls.agents else None,
    )
    openings = Openings(api, conf.gateway.streams, conf.gateway.check_seconds)
    return uvicorn.Server(
        uvicorn.Config(
            make_app(openings, origins, Feed(api, openings)),
            host=conf.gateway.bind,
            port=conf.gateway.port,
            ssl_context_factory=(lambda *_: context) if context else None,
            loop="asyncio",
            http="h11",
            ws="websockets-sansio",
            ws_max_size=WS_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            # who does not read for a while is held up, not hung up on: see STALLED_SECONDS
            ws_ping_interval=WS_PING_SECONDS,
            ws_ping_timeout=None,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=2,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
