# SPDX-License-Identifier: Apache-2.0
"""zun_lite's API without authentication, under its own server settings: what authentication is compared with.

python -m tests.bench.unlocked STATE_DIR TOKEN PORT: every request is taken for one of the token's owner, who was looked
up once; whatever else a request goes through is the product's own.
"""

from __future__ import annotations

import sys
from typing import Any

import falcon

from zun_lite.api import app, middleware
from zun_lite.api.policy import Policy
from zun_lite.api.token_cache import TokenCache
from zun_lite.cmd.api import Server, build_services
from zun_lite.common import config
from zun_lite.common.request_ids import RequestIds
from zun_lite.identity.base import Token


def main(state_dir: str, token_id: str, port: str) -> None:
    conf = config.load(state_dir=state_dir)
    conf.set_override("port", int(port), group="api")
    services = build_services(conf)
    owner = services.tokens.validate(token_id)
    # Before a fork nothing may be connected.
    services.means.db.close()

    class Admit:
        """Takes the place of Authenticate."""

        def __init__(self, tokens: TokenCache, policy: Policy) -> None:
            self._owner: Token = owner
            self._caller = middleware.make_caller(owner, RequestIds("req-bench"), policy)

        def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
            req.context.token = self._owner
            req.context.caller = self._caller

    placed: Any = app
    placed.Authenticate = Admit
    Server(conf, services, None).run()


if __name__ == "__main__":
    main(*sys.argv[1:4])
