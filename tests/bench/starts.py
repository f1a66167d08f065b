# SPDX-License-Identifier: Apache-2.0
"""From POST to Running, against `docker run -d` of the same image and command on the same engine.

Docker's own side is measured three ways: the bare command, on the engine's own bridge as everywhere; the
command without a network; and create and start by Docker's API, without a network. Ours has a network always.
What a sample made is gone before the next begins.
"""

from __future__ import annotations

import http.client
import time
from typing import Any

from tests.bench import measure
from tests.bench.alone import call
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.functional.case import PATIENT

ROUNDS = 15
LIMIT_RATIO = 1.3
LOOK_SECONDS = 0.01
LIMIT_SECONDS = 60.0


def run(cloud: Cloud) -> list[Row]:
    starts = Starts(cloud)
    for side in starts.sides():
        side()
    starts.posts.clear()
    background = measure.background()
    plain, with_volume, bare, unconnected, raw = measure.in_turns(ROUNDS, *starts.sides())

    def row(what: str, ours: list[float], other: list[float], other_is: str) -> Row:
        return Row(what, "ms", ours, other, other_is, background=background)

    def aimed(what: str, ours: list[float]) -> Row:
        aim = f"at most {LIMIT_RATIO}"
        return Row(what, "ms", ours, bare, "docker run -d", aim, measure.ratio_at_most(LIMIT_RATIO), background)

    return [
        aimed("POST to Running, on a network", plain),
        row("POST to Running, on a network", plain, unconnected, "docker run -d --network none"),
        row("POST to Running, on a network", plain, raw, "create and start by API, network none"),
        aimed("POST to Running, with a volume", with_volume),
        Row("POST answered, on a cloud that is up", "ms", starts.posts, background=background),
    ]


class Starts:
    """Each side makes one container, answers how many milliseconds it took to run, and takes it away."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.posts: list[float] = []
        self.network = cloud.make_network("10.90.0.0/24", name="bench")
        self.volume = cloud.make_volume(name="bench")
        self.connection = http.client.HTTPConnection("127.0.0.1", cloud.port, timeout=LIMIT_SECONDS)
        self.connection.connect()

    def sides(self) -> tuple[Any, ...]:
        return self.plain, self.with_volume, self.bare, self.unconnected, self.raw

    def plain(self) -> float:
        return self._ours()

    def with_volume(self) -> float:
        return self._ours(mounts=[{"source": self.volume, "destination": "/data"}])

    def bare(self) -> float:
        return self._docker_run()

    def unconnected(self) -> float:
        return self._docker_run("--network", "none")

    def raw(self) -> float:
        api = self.cloud.engine.api
        began = time.perf_counter()
        made = api.create_container("demo:latest", PATIENT, host_config=api.create_host_config(network_mode="none"))
        api.start(made["Id"])
        took = (time.perf_counter() - began) * 1000
        api.remove_container(made["Id"], force=True)
        return took

    def _docker_run(self, *options: str) -> float:
        began = time.perf_counter()
        container_id = self.cloud.engine.docker("run", "-d", *options, "demo:latest", *PATIENT).stdout.strip()
        took = (time.perf_counter() - began) * 1000
        self._check(container_id, options)
        self.cloud.engine.api.remove_container(container_id, force=True)
        return took

    def _check(self, container_id: str, options: tuple[str, ...]) -> None:
        """That Docker's side is what it is said to be."""
        networks = self.cloud.engine.api.inspect_container(container_id)["NetworkSettings"]["Networks"]
        if options != ("--network", "none") and not networks["bridge"]["IPAddress"]:
            raise AssertionError(f"docker run gave no address: {networks}")

    def _ours(self, **fields: Any) -> float:
        body = self.cloud.container_body("bench", command=PATIENT, nets=[{"network": self.network}], **fields)
        began = time.perf_counter()
        uuid = self._ask("POST", "/v1/containers?run=true", body)["uuid"]
        answered = (time.perf_counter() - began) * 1000
        while (record := self._ask("GET", f"/v1/containers/{uuid}"))["status"] != "Running":
            if record["status"] == "Error" or time.perf_counter() - began > LIMIT_SECONDS:
                raise AssertionError(f"{record}\n{self.cloud.logs()}")
            time.sleep(LOOK_SECONDS)
        took = (time.perf_counter() - began) * 1000
        self.posts.append(answered)
        self.cloud.wait_status(uuid, "Running")
        self._ask("DELETE", f"/v1/containers/{uuid}?stop=true")
        self.cloud.wait_gone(uuid)
        return took

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return call(self.connection, self.cloud.token(), method, path, body)[1]
