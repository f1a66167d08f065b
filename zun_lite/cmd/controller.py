# SPDX-License-Identifier: Apache-2.0
"""zun-lite-controller: the slow work outside of requests."""

from __future__ import annotations

import signal
import sys

from zun_lite.cmd import begin
from zun_lite.cmd.means import build_means, check_schema
from zun_lite.common import crash
from zun_lite.common.wake import Sleeper, Waker
from zun_lite.control.loop import Controller
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
    Controller(means).run(sleeper, conf.controller.interval_seconds, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
