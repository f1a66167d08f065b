# SPDX-License-Identifier: Apache-2.0
"""zun-lite-controller: the slow work outside of requests."""

from __future__ import annotations

import signal
import sys

from oslo_config import cfg

from zun_lite.client.webhook import Webhook
from zun_lite.cmd import begin
from zun_lite.cmd.means import build_means, check_schema
from zun_lite.common import crash, secrets
from zun_lite.common.wake import Sleeper, Waker
from zun_lite.control.loop import Controller
from zun_lite.control.means import Means
from zun_lite.control.notices import Notices
from zun_lite.domain import errors


def main() -> int:
    conf = begin.configured("zun-lite-controller", sys.argv[1:])
    crash.arm(conf.state_dir)
    stopping: list[bool] = []
    sleeper = Sleeper(conf.controller.wake_socket)

    def stop(*_: object) -> None:
        stopping.append(True)
        Waker(conf.controller.wake_socket).wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        means = build_means(conf)
    except errors.ZunError as error:
        begin.refuse("zun-lite-controller", error)
    check_schema("zun-lite-controller", means.db)
    _begin_notices(conf, means)
    Controller(means).run(sleeper, conf.controller.interval_seconds, stopping)
    return 0


def _begin_notices(conf: cfg.ConfigOpts, means: Means) -> None:
    url = conf.notifications.webhook_url
    if url:
        secrets.make_key(conf.notifications.webhook_key_file)
        with open(conf.notifications.webhook_key_file, "rb") as file:
            key = file.read().strip()
        hook = Webhook(url, key, means.clock, conf.notifications.webhook_timeout_seconds)
        Notices(means.db, hook).start()


if __name__ == "__main__":
    sys.exit(main())
