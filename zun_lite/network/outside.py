# SPDX-License-Identifier: Apache-2.0
"""The first network outside: what routers lead out by, and where floating IPs come from."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.db import networks, revisions
from zun_lite.network import cidr
from zun_lite.network.topology import create_network, create_subnet

NAME, SUBNET_NAME = "external", "external-subnet"
MTU_BYTES = 1500
# Raised when it is made, so that one which an operator took away is not made again.
_SCOPE = "external-network"


def make_once(tx: sa.Connection, project_id: str, block: str) -> str | None:
    """Make it for a project, and say its uuid; None: it was made before, or there is another."""
    if revisions.current(tx, _SCOPE):
        return None
    revisions.raise_one(tx, _SCOPE)
    if networks.page(tx, [networks.networks.c.external]):
        return None
    made = create_network(
        tx,
        project_id,
        name=NAME,
        description="The way out of this installation; made at its first start",
        external=True,
        is_default=True,
        mtu=MTU_BYTES,
    )
    create_subnet(tx, made, project_id, cidr.parse_cidr(block), name=SUBNET_NAME, enable_dhcp=False)
    return made.uuid
