# SPDX-License-Identifier: Apache-2.0
"""How many networking objects a project may have: its own limits, else the installation's.

hold() is called in the transaction that makes an object, before it is made; it keeps the project until
the transaction ends, so that no two pass a limit together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from zun_lite.db import (
    floating_ips,
    network_quotas,
    networks,
    ports,
    revisions,
    routers,
    security_group_rules,
    security_groups,
    subnet_pools,
    subnets,
)
from zun_lite.domain import errors

UNLIMITED = -1
MOST = 2**31 - 1
_COUNTS: dict[str, Callable[[sa.Connection, str], int]] = {
    "network": networks.count,
    "subnet": subnets.count,
    "port": ports.count,
    "router": routers.count,
    "floatingip": floating_ips.count,
    "security_group": security_groups.count,
    "security_group_rule": security_group_rules.count,
    "subnetpool": subnet_pools.count,
}
COUNTED = tuple(_COUNTS)
# What clients show and this server does not have; they cannot be used up.
UNCOUNTED = ("rbac_policy",)
RESOURCES = (*COUNTED, *UNCOUNTED)


class NetworkQuotas:
    """limits: of a project for which none is set, by resource; -1 or none is no limit."""

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self.limits = {name: (limits or {}).get(name, UNLIMITED) for name in RESOURCES}

    def of_project(self, tx: sa.Connection, project_id: str) -> dict[str, int]:
        return {**self.limits, **network_quotas.of_project(tx, project_id)}

    def hold(self, tx: sa.Connection, project_id: str, resource: str, more: int = 1) -> None:
        """Conflict (OverQuota): the project has too many already to get that many more."""
        revisions.raise_one(tx, scope(project_id))
        most = self.of_project(tx, project_id)[resource]
        if most != UNLIMITED and _COUNTS[resource](tx, project_id) + more > most:
            raise errors.Conflict(f"Quota exceeded for resources: ['{resource}'].", kind="OverQuota")


def used(tx: sa.Connection, project_id: str) -> dict[str, int]:
    """How many a project has of everything."""
    return {name: _COUNTS[name](tx, project_id) if name in _COUNTS else 0 for name in RESOURCES}


def scope(project_id: str) -> str:
    """The revision that is raised before a project gets more."""
    return f"networking:{project_id}"
