# SPDX-License-Identifier: Apache-2.0
"""A supervisor of small programs, for tests: python -m ... FOLDER NAME=SCRIPT... or NAME=@MODULE..."""

from __future__ import annotations

import importlib
import os
import sys

from zun_lite.cmd import lock
from zun_lite.cmd.offspring import Born
from zun_lite.cmd.supervisor import Program, Supervisor


def main(folder: str, *scripts: str) -> int:
    if lock.take(os.path.join(folder, "lock")) is None:
        return 9
    programs = []
    for entry in scripts:
        name, _, script = entry.partition("=")
        module = script.removeprefix("@") if script.startswith("@") else None
        command = ["-m", module] if module else ["-c", script]
        environment = dict(os.environ)
        programs.append(Program(name, [sys.executable, *command], environment, lambda: {"EXTRA": "given"}, module))
    try:
        return Supervisor(programs, folder, os.path.join(folder, "state.json"), grace_seconds=1.0).run()
    except Born as child:
        return importlib.import_module(child.module).main()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
