# SPDX-License-Identifier: Apache-2.0
"""The page of metrics with 10,000 containers, when it counts anew, against the same with 10. No HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from tests.bench import measure
from tests.bench.alone import running_container
from tests.bench.lists import a_database
from tests.bench.measure import Row
from tests.builders import copy_workload
from zun_lite.api.cloud_metrics import COUNT_EVERY_SECONDS, Cloud
from zun_lite.api.metrics import Counts
from zun_lite.common.clock import StoppedClock
from zun_lite.db.engine import Database

MANY, FEW = 10_000, 10
ROUNDS = 25
STATUSES = ("Running", "Running", "Running", "Stopped", "Created", "Error")


def run() -> list[Row]:
    return [on(kind) for kind in ("sqlite", "postgresql", "mariadb")]


def on(kind: str) -> Row:
    with a_database(kind) as crowded, a_database(kind) as quiet:
        sides = [page_of(crowded, MANY), page_of(quiet, FEW)]
        for side in sides:
            side()
        background = measure.background()
        many, few = measure.in_turns(ROUNDS, *sides)
    what, below = f"the page of metrics with {MANY:,} containers on {kind}", measure.median_below(50)
    return Row(what, "ms", many, few, f"with {FEW}", "below 50 ms", below, background)


def page_of(db: Database, containers: int) -> Callable[[], float]:
    """What makes the page, counting anew each time; answers the milliseconds."""
    running_container(db, "p0", 0)
    copy_workload(db, ({"status": STATUSES[number % len(STATUSES)]} for number in range(1, containers)))
    clock, registry = StoppedClock(), CollectorRegistry(auto_describe=False)
    for collector in (Counts(), Cloud(db, clock, {}, 30.0)):
        registry.register(collector)  # type: ignore[arg-type]

    def page() -> float:
        clock.advance(COUNT_EVERY_SECONDS)
        return measure.timed(lambda: generate_latest(registry))

    shown = generate_latest(registry).decode()
    total = sum(float(number) for number in re.findall(r"^zun_lite_workloads\{.*\} (.*)$", shown, re.M))
    if total != containers:
        raise AssertionError(f"the page is not what is to be measured: {total} containers of {containers}")
    return page
