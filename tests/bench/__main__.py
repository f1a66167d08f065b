# SPDX-License-Identifier: Apache-2.0
"""The measurements of `make bench`: python -m tests.bench [NAME...] prints one table.

Names: reads, authenticated, lists, metrics, commands, rules, guesses, volumes, overlay, memory, starts, networks,
streams, many, wrapper, up, lines. Needs root, wrk, fio, and what the tests need; authenticated needs the Keystone of
`make test-openstack` besides (KEYSTONE_VENV). A figure taken while others used the machine (last column, in cores)
proves little.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    authenticated,
    commands,
    guesses,
    idle,
    lists,
    many,
    measure,
    metrics,
    networks,
    reads,
    rules,
    starts,
    streams,
    volumes,
)
from tests.bench.measure import Row
from tests.cloud import Cloud
from tests.docker_engine import PrivateDockerEngine

TOP = Path(__file__).resolve().parent.parent.parent
ALONE: dict[str, Callable[[], list[Row]]] = {
    "reads": reads.run,
    "authenticated": authenticated.run,
    "lists": lists.run,
    "metrics": metrics.run,
    "commands": commands.run,
    "rules": rules.run,
    "guesses": guesses.run,
    "volumes": volumes.run,
    "overlay": networks.over_hosts,
}
# Memory comes first: what the programs weigh that have done nothing yet.
ON_A_CLOUD: dict[str, Callable[[Cloud], list[Row]]] = {
    "memory": idle.memory,
    "starts": starts.run,
    "networks": networks.run,
    "streams": streams.run,
    "many": many.run,
    "wrapper": idle.wrapper,
    "up": idle.starts,
}


def main(names: list[str]) -> int:
    known = [*ALONE, *ON_A_CLOUD, "lines"]
    if unknown := set(names) - set(known):
        print(f"no bench {', '.join(sorted(unknown))}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("the bench needs root", file=sys.stderr)
        return 2
    names = names or known
    began = time.monotonic()
    rows: list[Row] = []
    for name in ALONE:
        if name in names:
            rows += noted(name, ALONE[name])
    with contextlib.ExitStack() as stack:
        cloud = None
        for name, bench in ON_A_CLOUD.items():
            if name in names:
                cloud = cloud or stack.enter_context(Cloud(bridge=True))
                rows += noted(name, lambda bench=bench, cloud=cloud: bench(cloud))  # type: ignore[misc]
        engine = (cloud.engine if cloud else stack.enter_context(PrivateDockerEngine())).api.version()
    if "lines" in names:
        rows += lines()
    print(f"\n{machine(engine['Version'])}; {time.monotonic() - began:.0f} s in all\n")
    print(measure.markdown(rows))
    return 0


def noted(name: str, bench: Callable[[], list[Row]]) -> list[Row]:
    """The rows of one bench, shown at once as well: what a later one breaks on must not lose them."""
    print(f"==> bench {name}", file=sys.stderr, flush=True)
    rows = bench()
    print(measure.markdown(rows), file=sys.stderr, flush=True)
    return rows


def machine(docker_version: str) -> str:
    kernel, cores = os.uname().release, os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{cores} cores, {memory_gib:.0f} GiB, Linux {kernel}, Docker {docker_version}, Python {python}"


def lines() -> list[Row]:
    """Lines that are not empty."""

    def count(folder: str, pattern: str = "*.py") -> list[float]:
        files = (TOP / folder).rglob(pattern)
        return [sum(bool(line.strip()) for path in files for line in path.read_text().splitlines())]

    return [
        Row("the product's code", "lines", count("zun_lite")),
        Row("the tests' code", "lines", count("tests")),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
