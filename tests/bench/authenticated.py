# SPDX-License-Identifier: Apache-2.0
"""What it costs to know who asks: a GET with a token against the same GET without authentication (unlocked.py).

Both are the product's API, on one database, under the same server settings. Tokens of a real Keystone are looked up
there once, by the request that warms the cache up.
"""

from __future__ import annotations

from tests.bench import measure
from tests.bench.alone import AloneApi
from tests.bench.measure import Row
from tests.bench.reads import rate
from tests.real_keystone import RealKeystone

ROUNDS = 9


def run() -> list[Row]:
    with AloneApi() as api:
        rows = [compared(api, "a token of ours", 0.8)]
    with RealKeystone() as keystone, AloneApi(keystone) as api:
        return [*rows, compared(api, "a token of Keystone's", 0.6)]


def compared(api: AloneApi, whose: str, aim: float) -> Row:
    path = f"v1/containers/{api.seed(1)[0]}"
    locked, unlocked = f"{api.url}/{path}", f"{api.unlocked()}{path}"
    for url in (locked, unlocked):
        rate(url, api.token)
    background = measure.background()
    known, anybody = measure.in_turns(ROUNDS, lambda: rate(locked, api.token), lambda: rate(unlocked, api.token))
    return Row(
        f"GET of one container with {whose}",
        "requests/s",
        known,
        anybody,
        "without authentication",
        f"at least {aim}",
        measure.ratio_at_least(aim),
        background,
    )
