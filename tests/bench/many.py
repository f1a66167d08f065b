# SPDX-License-Identifier: Apache-2.0
"""Two hundred containers asked for at once, against `docker run -d` in a loop with as many of them at a time.

The other side runs as many commands side by side as an agent works on workloads, on the same engine, of the same
image and command, on the engine's own bridge. Each side's containers are gone before the other begins.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench import measure
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.functional.case import PATIENT
from zun_lite.common import config

COUNT = 200
ROUNDS = 2
CLIENTS = 8
LIMIT_RATIO = 0.8
LOOK_SECONDS = 0.2
LIMIT_SECONDS = 300.0


def run(cloud: Cloud) -> list[Row]:
    many = Many(cloud)
    background = measure.background()
    ours, docker = measure.in_turns(ROUNDS, many.ours, many.docker)
    aim = f"at least {LIMIT_RATIO}", measure.ratio_at_least(LIMIT_RATIO)
    what = f"{COUNT} containers at once, until all run"
    other = f"docker run -d, {many.parallel} side by side"
    return [
        Row(what, "containers/s", ours, docker, other, *aim, background),
        Row(f"the same, until all {COUNT} are accepted", "containers/s", many.accepted, background=background),
    ]


class Many:
    """Each side makes COUNT containers, answers how many a second came to run, and takes them away."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.accepted: list[float] = []
        self.parallel = config.load([], state_dir=str(cloud.state_dir)).agent.parallel
        self._network = cloud.make_network("10.92.0.0/16", name="many")
        project = cloud.ask("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
        cloud.ask("PUT", f"/v1/quotas/{project}", {"containers": -1, "cpu": -1, "memory": -1}, cloud="admin")

    def ours(self) -> float:
        began = time.perf_counter()
        uuids = side_by_side(CLIENTS, self._create)
        self.accepted.append(COUNT / (time.perf_counter() - began))
        while (running := self._listed("Running")) < COUNT:
            failed = self._listed("Error")
            if failed or time.perf_counter() - began > LIMIT_SECONDS:
                raise AssertionError(f"{running} run and {failed} failed\n{self.cloud.logs()}")
            time.sleep(LOOK_SECONDS)
        rate = COUNT / (time.perf_counter() - began)
        side_by_side(CLIENTS, lambda number: self.cloud.call("DELETE", f"/v1/containers/{uuids[number]}?stop=true"))
        self.cloud.wait(lambda: not self._page(), "all are gone", LIMIT_SECONDS)
        return rate

    def docker(self) -> float:
        engine = self.cloud.engine
        began = time.perf_counter()
        made = side_by_side(self.parallel, lambda _: engine.docker("run", "-d", "demo:latest", *PATIENT).stdout.strip())
        rate = COUNT / (time.perf_counter() - began)
        side_by_side(self.parallel, lambda number: engine.api.remove_container(made[number], force=True))
        return rate

    def _create(self, number: int) -> str:
        body = self.cloud.container_body(f"many-{number}", command=PATIENT, nets=[{"network": self._network}])
        uuid: str = self.cloud.ask("POST", "/v1/containers?run=true", body)["uuid"]
        return uuid

    def _listed(self, status: str) -> int:
        return len(self._page(f"&status={status}"))

    def _page(self, more: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cloud.ask("GET", f"/v1/containers?limit={COUNT}{more}")["containers"]
        return found


def side_by_side(threads: int, work: Callable[[int], Any]) -> list[Any]:
    """work(0) to work(COUNT - 1), so many at a time; their answers in that order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, range(COUNT)))
