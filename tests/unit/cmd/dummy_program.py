# SPDX-License-Identifier: Apache-2.0
"""A program for the tests of the supervisor: says what it was given, and waits for its end."""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    atexit.register(print, "ended well")
    said = {
        "extra": os.environ.get("EXTRA"),
        "arguments": sys.argv,
        "title": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode(),
        "session": os.getsid(0) == os.getpid(),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "shares": "sqlalchemy" in sys.modules,
        "parent": os.getppid(),
    }
    print(json.dumps(said))
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
