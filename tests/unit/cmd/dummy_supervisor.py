# SPDX-License-Identifier: Apache-2.0
"""A supervisor of small programs, for tests: python -m ... FOLDER NAME=SCRIPT..."""

from __future__ import annotations

import os
import sys

from zun_lite.cmd import lock
from zun_lite.cmd.supervisor import Program, Supervisor


def main(folder: str, *scripts: str) -> int:
    if lock.take(os.path.join(folder, "lock")) is None:
        return 9
    programs = []
    for entry in scripts:
        name, _, script = entry.partition("=")
        programs.append(Program(name, [sys.executable, "-c", script], dict(os.environ), lambda: {"EXTRA": "given"}))
    return Supervisor(programs, folder, os.path.join(folder, "state.json"), grace_seconds=1.0).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
