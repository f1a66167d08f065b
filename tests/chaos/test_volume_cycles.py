# SPDX-License-Identifier: Apache-2.0
"""A hundred losses of containers, netd, agents and machines under volumes with data."""

from __future__ import annotations

from tests.system.netd import test_volume_cycles


class HundredCyclesTests(test_volume_cycles.VolumeCycleTests):
    cycles = 100
