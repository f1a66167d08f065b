# SPDX-License-Identifier: Apache-2.0
"""What tests of networks in SQL share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.databases import DatabaseTestCase
from zun_lite.db import networks, ports, subnets
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.network import cidr
from zun_lite.network.embedded import EmbeddedNetworks
from zun_lite.network.ports import Wanted, create_port
from zun_lite.network.topology import create_network, create_subnet

PROJECT, OTHER = "p" * 32, "q" * 32
HOST = "11111111-1111-4111-8111-111111111111"


def caller(project_id: str = PROJECT, *roles: str) -> Caller:
    return Caller(user_id="u" * 32, project_id=project_id, roles=frozenset(roles), request_id="req-1")


class NetworkTestCase(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.provider = EmbeddedNetworks(self.db)

    def network(self, project_id: str = PROJECT, **values: Any) -> networks.Network:
        return self.db.transact(lambda tx: create_network(tx, project_id, mtu=1450, **values))

    def subnet(self, network: networks.Network, block: str = "10.0.0.0/24", **values: Any) -> subnets.Subnet:
        return self.db.transact(
            lambda tx: create_subnet(tx, network, network.project_id, cidr.parse_cidr(block), **values)
        )

    def port(self, network: networks.Network, *fixed_ips: Wanted, **values: Any) -> ports.Port:
        wanted = fixed_ips or None
        return self.db.transact(lambda tx: create_port(tx, network, network.project_id, fixed_ips=wanted, **values))

    def refused(self, kind: str, work: Callable[[], Any]) -> str:
        error = self.assertRaises(errors.ZunError, work)
        self.assertEqual(kind, error.kind)
        return error.message
