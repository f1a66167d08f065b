# SPDX-License-Identifier: Apache-2.0
"""Amounts of what hosts have and workloads claim: arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """cpus: cores, fractions allowed. memory_mib, disk_gib: whole units.

    dedicated_cpus: how many cores nobody else who asked for some may have.
    """

    cpus: float = 0.0
    memory_mib: int = 0
    disk_gib: int = 0
    dedicated_cpus: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpus + other.cpus,
            self.memory_mib + other.memory_mib,
            self.disk_gib + other.disk_gib,
            self.dedicated_cpus + other.dedicated_cpus,
        )

    def lacking_for(self, claim: Resources, used: Resources) -> list[str]:
        """The names of what would be over-committed if claim came on top of used; empty when it fits."""
        after = used + claim
        return [
            name
            for name, have, want in (
                ("cpu", self.cpus, after.cpus),
                ("memory", self.memory_mib, after.memory_mib),
                ("disk", self.disk_gib, after.disk_gib),
                ("dedicated CPUs", self.dedicated_cpus, after.dedicated_cpus),
            )
            if want > have + 1e-9
        ]


@dataclass(frozen=True)
class Ratios:
    """How much may be promised for each real unit."""

    cpu: float = 16.0
    memory: float = 1.5
    disk: float = 1.0

    def promised(self, capacity: Resources) -> Resources:
        return Resources(
            capacity.cpus * self.cpu,
            int(capacity.memory_mib * self.memory),
            int(capacity.disk_gib * self.disk),
            int(capacity.cpus),
        )


@dataclass(frozen=True)
class Limits:
    """A project's quota; -1 is no limit."""

    containers: int = 40
    cpu: float = 20
    memory: int = 51200
    disk: int = 100

    def exceeded_by(self, containers: int, total: Resources) -> list[str]:
        """The names of the limits that such a use would pass."""
        return [
            name
            for name, limit, want in (
                ("containers", self.containers, containers),
                ("cpu", self.cpu, total.cpus),
                ("memory", self.memory, total.memory_mib),
                ("disk", self.disk, total.disk_gib),
            )
            if limit >= 0 and want > limit + 1e-9
        ]
