# SPDX-License-Identifier: Apache-2.0
"""A hundred thousand requests that Schemathesis makes of the API's description, and a quarter as many for the rest."""

from __future__ import annotations

from tests.api import test_schemathesis
from tests.fuzz.fuzzer import Tally

# chance decides what of what is there is named, at which microversion
MOST_NEVER_GRANTED = 3


class HundredThousandRequestsTest(test_schemathesis.SampleTest):
    of_container_api, of_services, number, at_a_time = 100_000, 25_000, 2, 10

    def report(self, tally: Tally, memory: list[float]) -> None:
        print(f"{tally}\nMiB of memory, after each tenth: {[round(found) for found in memory]}", flush=True)
        never = tally.operations - tally.granted
        print(f"never granted: {sorted(never)}", flush=True)
        # the embedded services have too many operations for each to be asked for what is there
        if tally.count >= self.of_container_api:
            self.assertLessEqual(len(never), MOST_NEVER_GRANTED)
