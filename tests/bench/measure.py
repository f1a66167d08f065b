# SPDX-License-Identifier: Apache-2.0
"""Samples, and the rows of the table that they become. Knows nothing of what is measured.

A row compares two sides that were measured in turns in one run, so that what else the machine does
meets both alike; the figure of a side is its median, with the range beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

QUIET_SHARE = 0.15


@dataclass(frozen=True)
class Row:
    """ours, other: samples. ratio: of the medians, ours to the other's.

    aim says in words what reached tests. background: the cores that others used just before.
    """

    what: str
    unit: str
    ours: Sequence[float]
    other: Sequence[float] = ()
    other_is: str = ""
    aim: str = ""
    reached: Callable[[Row], bool] | None = None
    background: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.ours)

    @property
    def ratio(self) -> float | None:
        return self.median / self.other_median if self.other else None

    @property
    def other_median(self) -> float:
        return statistics.median(self.other)

    @property
    def verdict(self) -> str:
        return "" if self.reached is None else "reached" if self.reached(self) else "missed"


def ratio_at_most(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.ratio is not None and row.ratio <= limit


def ratio_at_least(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.ratio is not None and row.ratio >= limit


def median_below(limit: float) -> Callable[[Row], bool]:
    return lambda row: row.median < limit


def percentile(samples: Sequence[float], percent: float) -> float:
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def timed(work: Callable[[], object]) -> float:
    """How long it took, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    """A sample of each side a round; every other round in the opposite order."""
    found: list[list[float]] = [[] for _ in sides]
    order = list(range(len(sides)))
    for number in range(rounds):
        for side in order if number % 2 == 0 else reversed(order):
            found[side].append(sides[side]())
    return found


def background(seconds: float = 1.0) -> float:
    """The share of one core that others use while this process waits."""
    before, began = _busy_seconds(), time.monotonic()
    time.sleep(seconds)
    return (_busy_seconds() - before) / (time.monotonic() - began)


def markdown(rows: Sequence[Row]) -> str:
    """The table, as it is printed and as the README holds it."""
    titles = ["what", "unit", "ours", "the other side", "ratio", "aim", "", "CPU before"]
    cells = [
        [
            row.what,
            row.unit,
            spread(row.ours),
            f"{row.other_is} {spread(row.other)}".strip(),
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.aim,
            row.verdict,
            "" if row.background is None else f"{row.background:.2f}",
        ]
        for row in rows
    ]
    widths = [max(len(line[column]) for line in [titles, *cells]) for column in range(len(titles))]
    lines = [titles, ["-" * width for width in widths], *cells]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def spread(samples: Sequence[float]) -> str:
    """median (least-most), with the number of samples."""
    if not samples:
        return ""
    if len(samples) == 1:
        return number(samples[0])
    least, most = number(min(samples)), number(max(samples))
    return f"{number(statistics.median(samples))} ({least}-{most}, n={len(samples)})"


def number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _busy_seconds() -> float:
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / 100
