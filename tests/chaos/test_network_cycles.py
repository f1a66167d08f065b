# SPDX-License-Identifier: Apache-2.0
"""A thousand lives of containers on tenants' networks, each with planes that change."""

from __future__ import annotations

from tests.system.netd import test_leaks


class ThousandLivesTests(test_leaks.LeakTests):
    lives = 1000
    grown_kib = 8 * 1024
