# SPDX-License-Identifier: Apache-2.0
"""A hundred losses of containers, programs, engines and hosts under volumes with data, of a host and of a cloud."""

from __future__ import annotations

from tests.system import test_volume_faults
from tests.system.netd import test_volume_cycles


class HundredCyclesTests(test_volume_cycles.VolumeCycleTests):
    cycles = 100


class EveryPointAndHundredLossesTest(test_volume_faults.VolumeFaultTest):
    points = ()
    cycles = 100
