# SPDX-License-Identifier: Apache-2.0
"""QoS policies and subnet pools by Neutron's API."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from zun_lite.domain.names import new_id

POLICIES = f"{V2}/qos/policies"


class QosTest(NetworkApiTestCase):
    def policy(self, user: str = "admin", **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", POLICIES, {"policy": {"name": "slow", **fields}}, user=user)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.json["policy"]

    def limit(self, policy: str, user: str = "admin", **fields: Any) -> testing.Result:
        path = f"{POLICIES}/{policy}/bandwidth_limit_rules"
        return self.call("POST", path, {"bandwidth_limit_rule": {"max_kbps": 1000, **fields}}, user=user)

    def project(self, user: str = "demo") -> str:
        return self.items("security-groups", user=user)[0]["project_id"]

    def put(self, path: str, user: str = "demo", **body: Any) -> testing.Result:
        return self.call("PUT", f"{V2}/{path}", body, user=user)

    def test_a_policy_and_its_limit_are_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.policy(description="for many", shared=True)
        path = f"{POLICIES}/{made['id']}"
        self.assertEqual(([], True, False), (made["rules"], made["shared"], made["is_default"]))
        limit = self.limit(made["id"], max_burst_kbps=100).json["bandwidth_limit_rule"]
        self.assertEqual({"max_kbps": 1000, "max_burst_kbps": 100, "direction": "egress", "id": limit["id"]}, limit)
        shown = self.get(path)["policy"]
        self.assertEqual([{**limit, "type": "bandwidth_limit", "qos_policy_id": made["id"]}], shown["rules"])
        self.assertEqual([made["id"]], [item["id"] for item in self.get(f"{POLICIES}?name=slow")["policies"]])
        self.assertEqual([limit], self.get(f"{path}/bandwidth_limit_rules")["bandwidth_limit_rules"])
        one = f"{path}/bandwidth_limit_rules/{limit['id']}"
        changed = self.call("PUT", one, {"bandwidth_limit_rule": {"max_kbps": 5, "direction": "ingress"}}, user="admin")
        self.assertEqual(
            (5, "ingress"), tuple(changed.json["bandwidth_limit_rule"][k] for k in ("max_kbps", "direction"))
        )
        self.assertEqual(changed.json, self.get(one))
        renamed = self.call("PUT", path, {"policy": {"name": "slower"}}, user="admin").json["policy"]
        self.assertEqual("slower", renamed["name"])
        self.assertGreater(renamed["revision_number"], made["revision_number"])
        self.assertEqual(204, self.call("DELETE", one, user="admin").status_code)
        self.denied(404, "QosRuleNotFound", self.call("GET", one))
        self.assertEqual(204, self.call("DELETE", path, user="admin").status_code)
        self.denied(404, "QosPolicyNotFound", self.call("GET", path, user="admin"))

    def test_policies_are_for_administrators_to_make_and_for_projects_to_use(self) -> None:
        mine, shared, foreign = self.policy(project_id=self.project()), self.policy(shared=True), self.policy()
        seen = {item["id"] for item in self.get(POLICIES)["policies"]}
        self.assertEqual({mine["id"], shared["id"]}, seen)
        word = "PolicyNotAuthorized"
        self.denied(403, word, self.call("POST", POLICIES, {"policy": {"name": "mine"}}))
        for policy in (mine, shared):
            path = f"{POLICIES}/{policy['id']}"
            self.denied(403, word, self.call("PUT", path, {"policy": {"name": "x"}}))
            self.denied(403, word, self.call("DELETE", path))
            self.denied(403, word, self.limit(policy["id"], "demo"))
        self.denied(404, "QosPolicyNotFound", self.limit(foreign["id"], "demo"))
        network, _ = self.a_network()
        for policy in (mine, shared):
            self.assertEqual(200, self.put(f"networks/{network}", network={"qos_policy_id": policy["id"]}).status_code)
        answer = self.put(f"networks/{network}", network={"qos_policy_id": foreign["id"]})
        self.denied(404, "QosPolicyNotFound", answer, foreign["id"])
        self.assertEqual(shared["id"], self.get(f"{V2}/networks/{network}")["network"]["qos_policy_id"])

    def test_ports_show_their_own_policy_and_their_networks(self) -> None:
        mine, other = self.policy(shared=True)["id"], self.policy(shared=True)["id"]
        network, _ = self.a_network(qos_policy_id=other)
        port = self.make("port", network_id=network, qos_policy_id=mine)
        self.assertEqual((mine, other), (port["qos_policy_id"], port["qos_network_policy_id"]))
        self.assertEqual([port["id"]], self.ids("ports", f"qos_policy_id={mine}"))
        self.denied(409, "QosPolicyInUse", self.call("DELETE", f"{POLICIES}/{mine}", user="admin"), port["id"])
        self.denied(409, "QosPolicyInUse", self.call("DELETE", f"{POLICIES}/{other}", user="admin"), network)
        cleared = self.put(f"ports/{port['id']}", port={"qos_policy_id": None}).json["port"]
        self.assertIsNone(cleared["qos_policy_id"])
        self.assertEqual(204, self.call("DELETE", f"{POLICIES}/{mine}", user="admin").status_code)

    def test_what_an_administrator_limited_with_a_policy_of_another_project_stays_limited(self) -> None:
        foreign, shared = self.policy()["id"], self.policy(shared=True)["id"]
        network, _ = self.a_network()
        port = self.make("port", network_id=network)["id"]
        self.assertEqual(200, self.put(f"ports/{port}", "admin", port={"qos_policy_id": foreign}).status_code)
        for wanted in (None, shared):
            answer = self.put(f"ports/{port}", port={"qos_policy_id": wanted})
            self.denied(403, "PolicyRemoveAuthorizationError", answer, foreign)
        self.assertEqual(200, self.put(f"ports/{port}", port={"name": "renamed"}).status_code)
        self.assertEqual(foreign, self.get(f"{V2}/ports/{port}")["port"]["qos_policy_id"])
        self.assertEqual(200, self.put(f"ports/{port}", "admin", port={"qos_policy_id": None}).status_code)

    def test_bad_limits_are_refused(self) -> None:
        policy = self.policy()["id"]
        for fields, word in (
            ({"max_kbps": 0}, "max_kbps"),
            ({"max_kbps": 34_000_001}, "range"),
            ({"max_kbps": None}, "Required attribute 'max_kbps'"),
            ({"max_kbps": "fast"}, "not an integer"),
            ({"max_burst_kbps": -1}, "max_burst_kbps"),
            ({"direction": "sideways"}, "direction"),
            ({"dscp_mark": 1}, "Unrecognized"),
        ):
            self.denied(400, "HTTPBadRequest", self.limit(policy, **fields), word)
        self.assertEqual(201, self.limit(policy).status_code)
        self.denied(409, "QoSRulesConflict", self.limit(policy), "bandwidth_limit", policy)
        self.assertEqual(201, self.limit(policy, direction="ingress").status_code)
        answer = self.call("POST", f"{POLICIES}/{policy}/dscp_marking_rules", {}, user="admin")
        self.assertEqual(404, answer.status_code)

    def test_there_is_one_type_of_rule(self) -> None:
        self.assertEqual([{"type": "bandwidth_limit"}], self.get(f"{V2}/qos/rule-types")["rule_types"])
        shown = self.get(f"{V2}/qos/rule-types/bandwidth_limit", user="admin")["rule_type"]
        self.assertEqual("zun-lite-netd", shown["drivers"][0]["name"])
        self.denied(404, "QosRuleTypeNotFound", self.call("GET", f"{V2}/qos/rule-types/dscp_marking", user="admin"))


class SubnetPoolsTest(NetworkApiTestCase):
    def pool(self, user: str = "demo", **fields: Any) -> dict[str, Any]:
        return self.make("subnetpool", user, **{"name": "pool", "prefixes": ["10.0.0.0/16"], **fields})

    def subnet(self, user: str = "demo", **fields: Any) -> testing.Result:
        network = self.make("network", user)["id"]
        return self.post("subnet", user, network_id=network, ip_version=4, **fields)

    def test_a_pool_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.pool(default_prefixlen="26", prefixes=["10.1.0.0/16", "10.0.0.0/16"])
        self.assertEqual(["10.0.0.0/15"], made["prefixes"])
        self.assertEqual(
            (26, 8, 32, 4), tuple(made[f"{k}_prefixlen"] for k in ("default", "min", "max")) + (made["ip_version"],)
        )
        self.assertEqual(made, self.get(f"{V2}/subnetpools/{made['id']}")["subnetpool"])
        self.assertEqual([made["id"]], self.ids("subnetpools", "name=pool&is_default=False&default_prefixlen=26"))
        answer = self.call("PUT", f"{V2}/subnetpools/{made['id']}", {"subnetpool": {"description": "mine"}})
        self.assertEqual("mine", answer.json["subnetpool"]["description"])
        subnet = self.subnet(subnetpool_id=made["id"]).json["subnet"]
        self.assertEqual(
            ("10.0.0.0/26", "10.0.0.1", made["id"]), tuple(subnet[k] for k in ("cidr", "gateway_ip", "subnetpool_id"))
        )
        self.assertEqual([subnet["id"]], self.ids("subnets", f"subnetpool_id={made['id']}"))
        gone = lambda: self.call("DELETE", f"{V2}/subnetpools/{made['id']}")  # noqa: E731
        self.denied(400, "SubnetPoolDeleteError", gone(), "existing allocations")
        self.assertEqual(204, self.call("DELETE", f"{V2}/subnets/{subnet['id']}").status_code)
        self.assertEqual(204, gone().status_code)
        self.assertEqual([], self.ids("subnetpools"))

    def test_a_subnet_says_how_large_or_which(self) -> None:
        pool = self.pool(default_prefixlen=26)["id"]
        self.assertEqual("10.0.0.0/28", self.subnet(subnetpool_id=pool, prefixlen=28).json["subnet"]["cidr"])
        self.assertEqual("10.0.9.0/24", self.subnet(subnetpool_id=pool, cidr="10.0.9.0/24").json["subnet"]["cidr"])
        for status, kind, fields, word in (
            (409, "SubnetAllocationError", {"cidr": "10.0.9.0/25"}, "available set of prefixes"),
            (400, "BadRequest", {"cidr": "10.0.8.0/24", "prefixlen": 24}, "must not be supplied together"),
            (400, "BadRequest", {"ip_version": 6}, "Cannot allocate IPv6 subnet from IPv4 subnet pool"),
            (400, "MinPrefixSubnetAllocationError", {"prefixlen": 7}, "minimum allowed prefix is 8"),
            (400, "BadRequest", {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.3"}]}, "specific subnet"),
        ):
            network = self.make("network")["id"]
            body = {"network_id": network, "ip_version": 4, "subnetpool_id": pool, **fields}
            self.denied(status, kind, self.post("subnet", **body), word)
        self.denied(400, "BadRequest", self.subnet(cidr="10.9.0.0/24", prefixlen=24), "together")
        self.denied(400, "BadRequest", self.subnet(), "a subnetpool must be specified in the absence of a cidr")

    def test_the_default_pool_is_used_when_asked_for(self) -> None:
        self.denied(400, "BadRequest", self.subnet(use_default_subnetpool=True), "No default subnetpool found for IPv4")
        self.denied(
            403, "PolicyNotAuthorized", self.post("subnetpool", name="p", prefixes=["10.0.0.0/8"], is_default=True)
        )
        self.pool("admin", is_default=True, shared=True, default_prefixlen=26)
        self.assertEqual("10.0.0.0/26", self.subnet(use_default_subnetpool=True).json["subnet"]["cidr"])

    def test_pools_are_ones_own_or_shared(self) -> None:
        mine, foreign, shared = self.pool()["id"], self.pool("other")["id"], self.pool("admin", shared=True)["id"]
        self.assertEqual({mine, shared}, set(self.ids("subnetpools")))
        self.denied(404, "SubnetPoolNotFound", self.subnet(subnetpool_id=foreign, prefixlen=26), foreign)
        self.denied(404, "SubnetPoolNotFound", self.subnet(subnetpool_id=new_id(), prefixlen=26))
        self.assertEqual(201, self.subnet(subnetpool_id=shared, prefixlen=26).status_code)
        body = {"subnetpool": {"name": "x"}}
        self.denied(403, "PolicyNotAuthorized", self.call("PUT", f"{V2}/subnetpools/{shared}", body))
        self.denied(404, "SubnetPoolNotFound", self.call("PUT", f"{V2}/subnetpools/{foreign}", body))
        self.denied(403, "PolicyNotAuthorized", self.call("DELETE", f"{V2}/subnetpools/{shared}"))

    def test_pools_count_in_a_quota_of_their_own(self) -> None:
        project = self.pool()["project_id"]
        self.call("PUT", f"{V2}/quotas/{project}", {"quota": {"subnetpool": 1}}, user="admin")
        self.denied(409, "OverQuota", self.post("subnetpool", name="more", prefixes=["10.2.0.0/16"]), "subnetpool")
        self.assertEqual(1, self.get(f"{V2}/quotas/{project}/details")["quota"]["subnetpool"]["used"])
