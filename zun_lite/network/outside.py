# SPDX-License-Identifier: Apache-2.0
"""The first network outside: what routers lead out by, and where floating IPs come from."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from zun_lite.db import networks, revisions
from zun_lite.network import cidr
from zun_lite.network.subnet_pools import create_pool
from zun_lite.network.topology import create_network, create_subnet

NAME, SUBNET_NAME, SUBNET_NAME6 = "external", "external-subnet", "external-subnet-ipv6"
POOL_NAME6 = "tenants-ipv6"
MTU_BYTES = 1500
# Raised when it is made, so that one which an operator took away is not made again.
_SCOPE = "external-network"


def make_once(
    tx: sa.Connection, project_id: str, blocks: Sequence[str], tenants_block6: str | None = None
) -> str | None:
    """Make it for a project, and say its uuid; None: it was made before, or there is another.

    blocks: its subnets' CIDRs, one of each IP version at most. tenants_block6: of what tenants' IPv6 subnets are
    taken that are led to from outside.
    """
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
    for block in map(cidr.parse_cidr, blocks):
        name = SUBNET_NAME if block.version == 4 else SUBNET_NAME6
        create_subnet(tx, made, project_id, block, name=name, enable_dhcp=False)
    if tenants_block6 is not None:
        create_pool(tx, project_id, name=POOL_NAME6, prefixes=[tenants_block6], shared=True, is_default=True)
    return made.uuid
