# SPDX-License-Identifier: Apache-2.0
"""The router whose host dies, with the times that an installation has by default: within a minute it is elsewhere."""

from __future__ import annotations

from tests.system import test_fleet_routers


class RouterMovesInAMinuteTests(test_fleet_routers.RouterMovesTests):
    settings: dict[str, dict[str, str]] = {}
    moves_within_seconds = 60.0
