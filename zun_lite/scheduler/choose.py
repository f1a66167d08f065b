# SPDX-License-Identifier: Apache-2.0
"""In which order to try the hosts that may take a workload: the emptiest first, ties at random."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zun_lite.domain.resources import Ratios
from zun_lite.scheduler.filters import Candidate, Request, check


def choose(candidates: Sequence[Candidate], request: Request, ratios: Ratios) -> list[Candidate]:
    """The candidates that pass every filter, best first."""
    fitting = [candidate for candidate in candidates if check(candidate, request, ratios) is None]
    random.shuffle(fitting)
    return sorted(fitting, key=lambda candidate: _fullness(candidate, ratios))


def _fullness(candidate: Candidate, ratios: Ratios) -> float:
    """How full the fullest of its resources is, 0 to 1."""
    promised = ratios.promised(candidate.capacity)
    shares = (
        (candidate.used.cpus, promised.cpus),
        (candidate.used.memory_mib, promised.memory_mib),
        (candidate.used.disk_gib, promised.disk_gib),
    )
    return max((used / total for used, total in shares if total), default=1.0)
