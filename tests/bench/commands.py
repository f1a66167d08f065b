# SPDX-License-Identifier: Apache-2.0
"""How soon programs answer --help, against a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys

from tests.bench import measure
from tests.bench.measure import Row

ROUNDS = 15
AIM_MS = 300.0
PROGRAMS = {"zun-lite-manage": "manage", "zun-lite": "up", "zl": "zl"}


def run() -> list[Row]:
    def timed(*words: str) -> float:
        return measure.timed(lambda: subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True))

    def help_of(module: str) -> float:
        return timed("-m", f"zun_lite.cmd.{module}", "--help")

    sides = [lambda module=module: help_of(module) for module in PROGRAMS.values()]
    for side in sides:
        side()
    background = measure.background()
    *helps, nothing = measure.in_turns(ROUNDS, *sides, lambda: timed("-c", "pass"))
    aim = f"less than {AIM_MS:.0f} ms above"
    return [
        Row(f"{program} --help", "ms", found, nothing, "python -c pass", aim, is_soon, background)
        for program, found in zip(PROGRAMS, helps, strict=True)
    ]


def is_soon(row: Row) -> bool:
    return row.median - row.other_median < AIM_MS
