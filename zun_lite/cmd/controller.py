# SPDX-License-Identifier: Apache-2.0
"""zun-lite-controller: the slow work outside of requests."""

from __future__ import annotations

import signal
import sys

from zun_lite.cmd.means import build_means
from zun_lite.common import config, crash, log
from zun_lite.common.wake import Sleeper, Waker
from zun_lite.control.loop import Controller


def main() -> int:
    conf = config.load(sys.argv[1:], prog="zun-lite-controller")
    log.set_up("zun-lite-controller", debug=conf.debug)
    crash.arm(conf.state_dir)
    stopping: list[bool] = []
    sleeper = Sleeper(conf.controller.wake_socket)

    def stop(*_: object) -> None:
        stopping.append(True)
        Waker(conf.controller.wake_socket).wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    Controller(build_means(conf)).run(sleeper, conf.controller.interval_seconds, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
