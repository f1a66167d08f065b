# SPDX-License-Identifier: Apache-2.0
"""What a cloud costs that does nothing, how soon it is there, and what the runtime wrapper adds to Docker's calls."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import requests

from tests.bench import measure, verbs
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.functional.case import PATIENT
from zun_lite.client.netd import NetdClient
from zun_lite.cmd import processes, supervisor
from zun_lite.domain.wiring import Address, Endpoint

SETTLE_SECONDS = 5.0
MEMORY_SAMPLES = 5
SECOND_STARTS = 5
FIRST_STARTS = 3
CONTAINERS = 15
LIMIT_SECONDS = 60.0


def memory(cloud: Cloud) -> list[Row]:
    """Proportional memory of every process, and the idle CPU time."""
    time.sleep(SETTLE_SECONDS)
    state = supervisor.read_state(str(cloud.state_dir / "run" / "supervisor.json")) or {}
    roots = {"supervisor": state["pid"], **{name: child["pid"] for name, child in state["children"].items()}}
    trees = {name: [pid] if name == "supervisor" else processes.tree(pid) for name, pid in roots.items()}
    everyone = [pid for tree in trees.values() for pid in tree]
    before = cpu_seconds(everyone)
    totals = []
    for _ in range(MEMORY_SAMPLES):
        totals.append(sum(map(processes.memory_kib, everyone)) / 1024)
        time.sleep(1)
    used = cpu_seconds(everyone) - before
    rows = [
        Row("memory of all processes, idle", "MiB PSS", totals, aim="below 250 MiB", reached=measure.median_below(250)),
        Row("CPU of all processes, idle", "% of a core", [100 * used / MEMORY_SAMPLES]),
    ]
    for name, tree in trees.items():
        rows.append(Row(f"memory of {name} ({len(tree)})", "MiB PSS", [sum(map(processes.memory_kib, tree)) / 1024]))
    return rows


def cpu_seconds(pids: list[int]) -> float:
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / 100


def starts(cloud: Cloud) -> list[Row]:
    """`zun-lite up` until the first request with a token is answered well; the last start leaves the cloud up."""
    background = measure.background()
    second, imports = measure.in_turns(SECOND_STARTS, lambda: _start_again(cloud), _import_api)
    first = [_start_from_nothing(cloud) for _ in range(FIRST_STARTS)]
    aim = ("below 5 s", measure.median_below(5))
    return [
        Row("zun-lite up to first request", "s", second, imports, "importing the API", *aim, background),
        Row("the same, with nothing there yet", "s", first, (), "", *aim, background),
    ]


def _start_again(cloud: Cloud) -> float:
    cloud.down()
    return _start(cloud)


def _start_from_nothing(cloud: Cloud) -> float:
    cloud.command("clean", "--yes")
    shutil.rmtree(cloud.state_dir, ignore_errors=True)
    cloud.state_dir.mkdir(mode=0o700)
    (cloud.state_dir / ".zun_lite").touch()
    return _start(cloud)


def _start(cloud: Cloud) -> float:
    """Seconds until a token is taken and a list is answered; waits then until the host is ready, too."""
    cloud.forget_tokens()
    began = time.perf_counter()
    command = cloud.start_up()
    while True:
        with contextlib.suppress(requests.RequestException, OSError, ValueError, StopIteration):
            if cloud.call("GET", "/v1/containers").status_code == 200:
                break
        if time.perf_counter() - began > LIMIT_SECONDS or command.poll():
            raise AssertionError(f"not up\n{cloud.logs()}")
        time.sleep(0.02)
    took = time.perf_counter() - began
    if command.wait(LIMIT_SECONDS):
        raise AssertionError(f"zun-lite up failed\n{cloud.logs()}")
    return took


def _import_api() -> float:
    command = [sys.executable, "-c", "import zun_lite.cmd.api"]
    return measure.timed(lambda: subprocess.run(command, check=True)) / 1000


def wrapper(cloud: Cloud) -> list[Row]:
    """The OCI runtime wrapper against runc itself: each verb, and a whole create and start by Docker."""
    background = measure.background()
    netd = NetdClient(str(cloud.state_dir / "run" / "netd.sock"))
    network = str(uuid.uuid4())
    wired, plain = measure.in_turns(
        CONTAINERS, lambda: _started(cloud, netd, network), lambda: _started(cloud, None, network)
    )
    whole = Row(
        "create and start under the wrapper, wired", "ms", wired, plain, "runc, no network", background=background
    )
    return [*verbs.run(cloud), whole]


def _started(cloud: Cloud, netd: NetdClient | None, network: str) -> float:
    """Create and start by Docker's API as the agent has it: wired under the wrapper, or bare under runc."""
    api = cloud.engine.api
    host_config = api.create_host_config(network_mode="none")
    host_config["Runtime"] = "zun-lite" if netd else "runc"
    began = time.perf_counter()
    made = api.create_container("demo:latest", PATIENT, network_disabled=True, host_config=host_config)["Id"]
    if netd:
        address = Address("10.91.0.9", 24, network, "10.91.0.1")
        endpoint = Endpoint(str(uuid.uuid4()), network, 999_001, "fa:16:3e:00:90:01", 1450, (address,), True)
        netd.plug(made, str(uuid.uuid4()), 1, [endpoint], [])
    api.start(made)
    took = (time.perf_counter() - began) * 1000
    api.remove_container(made, force=True)
    if netd:
        netd.unplug(made)
    return took
