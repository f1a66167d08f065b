# SPDX-License-Identifier: Apache-2.0
"""QoS policies hold running containers to their limits, on real packets, and let go of them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from tests.functional.case import CloudTestCase
from tests.system.netd.host import Container
from tests.system.netd.test_speed import kbps

V2 = "/network/v2.0"
LIMIT_KBPS = 20_000
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Place:
    """A container of the cloud, as far as sockets in its namespace need it."""

    pid: int
    address: str


class BandwidthTest(CloudTestCase):
    def place(self, name: str, network: str) -> tuple[Place, dict[str, Any], str]:
        """(where it is, its port, its uuid)."""
        record = self.running(name, nets=[{"network": network}])
        (port,) = self.ports_of(record["uuid"])
        pid = self.one_in_docker(record["uuid"])["State"]["Pid"]
        return Place(pid, port["fixed_ips"][0]["ip_address"]), port, record["uuid"]

    def rate(self, sender: Place, receiver: Place) -> float:
        return kbps(cast(Container, sender), cast(Container, receiver), receiver.address)

    def policy(self, **fields: Any) -> str:
        """An administrator's, shared, with one limit; its id."""
        made = self.cloud.ask(
            "POST", f"{V2}/qos/policies", {"policy": {"name": "slow", "shared": True}}, cloud="admin"
        )["policy"]["id"]
        path = f"{V2}/qos/policies/{made}/bandwidth_limit_rules"
        self.cloud.ask("POST", path, {"bandwidth_limit_rule": fields}, cloud="admin")
        return made

    def put(self, path: str, kind: str, **fields: Any) -> None:
        self.cloud.ask("PUT", f"{V2}/{path}", {kind: fields})

    def about(self, limit_kbps: float, sender: Place, receiver: Place) -> None:
        """Wait until it is held to its limit, and no further."""
        self.cloud.wait(
            lambda: 0.6 * limit_kbps < self.rate(sender, receiver) < 1.2 * limit_kbps,
            f"what is sent is held to {limit_kbps} kbit/s",
            PATIENCE_SECONDS,
        )

    def test_a_ports_and_a_networks_policy_limit_what_runs_and_nothing_else(self):
        network = self.cloud.make_network("10.101.0.0/24", name="speed")
        limited, port, uuid = self.place("limited", network)
        free, _, _ = self.place("free", network)
        sink, _, _ = self.place("sink", network)
        self.assertGreater(self.rate(limited, sink), 5 * LIMIT_KBPS)

        policy = self.policy(max_kbps=LIMIT_KBPS)
        self.put(f"ports/{port['id']}", "port", qos_policy_id=policy)
        self.about(LIMIT_KBPS, limited, sink)
        self.assertGreater(self.rate(free, sink), 5 * LIMIT_KBPS, "the control, beside it, is not limited")
        self.assertGreater(self.rate(free, limited), 5 * LIMIT_KBPS, "nor is what comes")

        (rule,) = self.cloud.ask("GET", f"{V2}/qos/policies/{policy}")["policy"]["rules"]
        path = f"{V2}/qos/policies/{policy}/bandwidth_limit_rules/{rule['id']}"
        self.cloud.ask("PUT", path, {"bandwidth_limit_rule": {"max_kbps": LIMIT_KBPS // 4}}, cloud="admin")
        self.about(LIMIT_KBPS / 4, limited, sink)

        self.put(f"networks/{network}", "network", qos_policy_id=policy)
        self.put(f"ports/{port['id']}", "port", qos_policy_id=None)
        self.about(LIMIT_KBPS / 4, free, sink)
        self.put(f"networks/{network}", "network", qos_policy_id=None)
        self.cloud.wait(
            lambda: self.rate(free, sink) > 5 * LIMIT_KBPS, "without a policy there is no limit", PATIENCE_SECONDS
        )
        stats = self.cloud.ask("GET", f"/v1/containers/{uuid}/stats")
        received, sent = (float(part) for part in stats["NET I/O(B)"].split("/"))
        self.assertGreater(sent, 10_000_000, "what the port sent is counted")
        self.assertGreater(received, 10_000_000, "and what it got")
        self.assertEqual(204, self.cloud.call("DELETE", f"{V2}/qos/policies/{policy}", cloud="admin").status_code)
