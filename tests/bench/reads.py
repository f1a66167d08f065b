# SPDX-License-Identifier: Apache-2.0
"""What an authenticated read and an accepted create cost, against a hello-world under the same server settings."""

from __future__ import annotations

import re
import sqlite3
import subprocess
from pathlib import Path

from tests.bench import measure
from tests.bench.alone import AloneApi, take_token
from tests.bench.measure import Row

ROUNDS = 7
LOAD_SECONDS = 2
CONNECTIONS = 8
LISTED = 100
POSTS = 400
WARM_UP = 20


def run() -> list[Row]:
    with AloneApi() as api:
        # Reads come first: the list that they are for is of containers that run.
        return [*reads(api), *accepts(api)]


def reads(api: AloneApi) -> list[Row]:
    """GET of one and a list of 100, in requests a second."""
    one = api.seed(LISTED)[0]
    listed = f"/v1/containers?limit={LISTED}"
    found = api.ask("GET", listed)["containers"]
    if len(found) != LISTED or not found[0]["addresses"] or found[0]["status"] != "Running":
        raise AssertionError(f"the list is not what is to be measured: {len(found)} containers, first {found[:1]}")
    hello = api.hello()
    admin, _ = take_token(api.connection(), api.folder / "clouds.yaml", "admin")
    sides = (
        (hello, api.token),
        (f"{api.url}/v1/containers/{one}", api.token),
        (f"{api.url}{listed}", api.token),
        (f"{api.url}{listed}&all_projects=true", admin),
    )
    for side in sides:
        rate(*side)
    background = measure.background()
    greeted, shown, lists, anew = measure.in_turns(ROUNDS, *(lambda side=side: rate(*side) for side in sides))
    aim = "at least 1/3", measure.ratio_at_least(1 / 3)
    return [
        Row("GET of one container", "requests/s", shown, greeted, "hello", background=background),
        # A project's own list is remembered until something of the project changes; an admin's over all is not.
        Row(f"list of {LISTED} containers, unchanged", "requests/s", lists, greeted, "hello", *aim, background),
        Row(f"list of {LISTED} containers, read anew", "requests/s", anew, greeted, "hello", *aim, background),
    ]


def rate(url: str, token: str) -> float:
    """Requests a second that wrk gets answered; one that was not answered well is an error."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{LOAD_SECONDS}s", "-H", f"X-Auth-Token: {token}"]
    done = subprocess.run(
        [*command, "-H", "OpenStack-API-Version: container 1.40", url], capture_output=True, text=True, check=True
    )
    found = re.search(r"Requests/sec: +([0-9.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise AssertionError(f"{url} was not answered well:\n{done.stdout}")
    return float(found[1])


def accepts(api: AloneApi) -> list[Row]:
    """POST until the answer, one at a time, in turns with a bare commit of the same durability."""
    connection = api.connection()
    numbers = iter(range(10_000))

    def post() -> float:
        body = {
            "name": f"accept-{next(numbers)}",
            "image": "demo:latest",
            "command": ["sh", "-c", "exec sleep 86400"],
            "cpu": 0.1,
            "memory": "16",
            "nets": [{"network": network}],
        }
        return measure.timed(lambda: api.ask("POST", "/v1/containers?run=true", body, connection))

    network = api.ask("POST", "/network/v2.0/networks", {"network": {"name": "bench"}}, connection)["network"]["id"]
    subnet = {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}
    api.ask("POST", "/network/v2.0/subnets", {"subnet": subnet}, connection)
    bare = BareCommit(api.folder / "bare.sqlite")
    for _ in range(WARM_UP):
        post()
        bare.commit()
    background = measure.background()
    path = f"/v1/containers/{api.ask('POST', '/v1/containers', {'image': 'demo:latest'}, connection)['uuid']}"

    def get() -> float:
        return measure.timed(lambda: api.ask("GET", path, None, connection))

    answered, committed, shown = measure.in_turns(POSTS, post, bare.commit, get)
    bare.close()
    late = [measure.percentile(answered, 99)]
    return [
        Row(
            "POST of a container until 202, p50",
            "ms",
            answered,
            committed,
            "bare SQLite commit",
            "below 50 ms",
            measure.median_below(50),
            background,
        ),
        Row(
            "POST of a container until 202, p99",
            "ms",
            late,
            [measure.percentile(committed, 99)],
            "bare SQLite commit",
            background=background,
        ),
        Row(
            "POST of a container until 202, p99",
            "ms",
            late,
            [measure.percentile(shown, 99)],
            "GET of one, p99",
            "below 5 times",
            measure.ratio_at_most(5),
            background,
        ),
        Row("POST of a container until 202, p50", "ms", answered, shown, "GET of one", background=background),
    ]


class BareCommit:
    """One row a transaction, as durable as the product's."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT)")

    def commit(self) -> float:
        """Milliseconds."""

        def work() -> None:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("INSERT INTO notes (note) VALUES (?)", ("x" * 1000,))
            self._connection.execute("COMMIT")

        return measure.timed(work)

    def close(self) -> None:
        self._connection.close()
