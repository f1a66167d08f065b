# SPDX-License-Identifier: Apache-2.0
"""A hello-world Falcon application under the very server settings of zun_lite's API: what reads are compared with.

python -m tests.bench.hello STATE_DIR PORT
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import falcon

from zun_lite.cmd.api import Server
from zun_lite.common import config


class Hello:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"message": "hello"}


class HelloServer(Server):
    def load(self) -> Callable[..., Any]:
        app = falcon.App()
        app.add_route("/", Hello())
        return app

    def _post_fork(self, server: Any, worker: Any) -> None:
        return


def main(state_dir: str, port: str) -> None:
    conf = config.load(state_dir=state_dir)
    conf.set_override("port", int(port), group="api")
    HelloServer(conf, None, None).run()  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:3])
