# SPDX-License-Identifier: Apache-2.0
"""What tests of the embedded Neutron share."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.case import ApiTestCase

V2 = "/network/v2.0"


class NetworkApiTestCase(ApiTestCase):
    def make(self, kind: str, user: str = "demo", **fields: Any) -> dict[str, Any]:
        """Create one network, subnet or port; the object answered."""
        answer = self.call("POST", f"{V2}/{kind}s", {kind: fields}, user=user)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.json[kind]

    def a_network(self, cidr: str = "10.0.0.0/24", user: str = "demo", **fields: Any) -> tuple[str, str]:
        """(network id, subnet id)."""
        network = self.make("network", user, **fields)["id"]
        return network, self.make("subnet", user, network_id=network, cidr=cidr, ip_version=4)["id"]

    def items(self, kind: str, query: str = "", **more: Any) -> list[dict[str, Any]]:
        return self.get(f"{V2}/{kind}{'?' if query else ''}{query}", **more)[kind.replace("-", "_")]

    def ids(self, kind: str, query: str = "", **more: Any) -> list[str]:
        return [item["id"] for item in self.items(kind, query, **more)]

    def denied(self, status: int, kind: str, answer: testing.Result, *words: str) -> None:
        self.assertEqual(status, answer.status_code, answer.text)
        error = answer.json["NeutronError"]
        self.assertEqual((kind, ""), (error["type"], error["detail"]))
        for word in words:
            self.assertIn(word, error["message"])

    def post(self, kind: str, user: str = "demo", **fields: Any) -> testing.Result:
        return self.call("POST", f"{V2}/{kind}s", {kind: fields}, user=user)
