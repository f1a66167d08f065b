# SPDX-License-Identifier: Apache-2.0
"""Another project's ids in every field of every route: refused, as Neutron does, and nothing is touched.

Each refusal stands beside the same request with an id of the caller's own, which is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase

COLLECTIONS = {
    "network": "networks",
    "subnet": "subnets",
    "subnetpool": "subnetpools",
    "port": "ports",
    "router": "routers",
    "floatingip": "floatingips",
    "security_group": "security-groups",
    "security_group_rule": "security-group-rules",
}
NOT_FOUND = {
    "network": "NetworkNotFound",
    "subnet": "SubnetNotFound",
    "subnetpool": "SubnetPoolNotFound",
    "port": "PortNotFound",
    "router": "RouterNotFound",
    "floatingip": "FloatingIPNotFound",
    "security_group": "SecurityGroupNotFound",
    "security_group_rule": "SecurityGroupRuleNotFound",
    "policy": "QosPolicyNotFound",
}


class ForeignIdsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.outside = self.make("network", "admin", name="out", **{"router:external": True})["id"]
        self.make("subnet", "admin", network_id=self.outside, cidr="172.24.4.0/24", ip_version=4)
        self.mine, self.foreign = self.furnish("demo", "10.0"), self.furnish("other", "10.0")

    def furnish(self, user: str, first: str) -> dict[str, str]:
        """One of everything; ids by kind."""
        made: dict[str, str] = {}
        made["network"], made["subnet"] = self.a_network(f"{first}.1.0/24", user)
        made["subnetpool"] = self.make("subnetpool", user, name="p", prefixes=[f"{first}.128.0/17"])["id"]
        made["port"] = self.make("port", user, network_id=made["network"])["id"]
        made["security_group"] = self.make_at(user, "security-groups", security_group={"name": "g"})["id"]
        rule = {"security_group_id": made["security_group"], "direction": "ingress"}
        made["security_group_rule"] = self.make_at(user, "security-group-rules", security_group_rule=rule)["id"]
        made["router"] = self.make("router", user, name="r", external_gateway_info={"network_id": self.outside})["id"]
        answer = self.call(
            "PUT", f"{V2}/routers/{made['router']}/add_router_interface", {"subnet_id": made["subnet"]}, user=user
        )
        self.assertEqual(200, answer.status_code, answer.text)
        made["floatingip"] = self.make("floatingip", user, floating_network_id=self.outside, port_id=made["port"])["id"]
        project = self.get(f"{V2}/networks/{made['network']}", user=user)["network"]["project_id"]
        policy = {"name": "q", "project_id": project}
        answer = self.call("POST", f"{V2}/qos/policies", {"policy": policy}, user="admin")
        made["policy"] = answer.json["policy"]["id"]
        return made

    def make_at(self, user: str, collection: str, **body: Any) -> dict[str, Any]:
        answer = self.call("POST", f"{V2}/{collection}", body, user=user)
        self.assertEqual(201, answer.status_code, answer.text)
        return next(iter(answer.json.values()))

    def state(self, user: str) -> dict[str, Any]:
        """All that a project has, whole."""
        found = {name: self.items(name, user=user) for name in COLLECTIONS.values()}
        return {**found, "policies": self.get(f"{V2}/qos/policies", user=user)["policies"]}

    def paths(self) -> Iterator[tuple[str, str]]:
        """(kind, collection) of all that has an id of its own."""
        yield from COLLECTIONS.items()
        yield "policy", "qos/policies"

    def test_another_projects_object_is_not_there_whatever_is_asked_of_it(self) -> None:
        """A3."""
        before = self.state("other")
        for kind, collection in self.paths():
            path, own = f"{V2}/{collection}/{self.foreign[kind]}", f"{V2}/{collection}/{self.mine[kind]}"
            self.assertEqual(200, self.call("GET", own).status_code, f"the control: {own}")
            self.denied(404, NOT_FOUND[kind], self.call("GET", path), self.foreign[kind])
            self.denied(404, NOT_FOUND[kind], self.call("DELETE", path), self.foreign[kind])
            self.assertEqual([], self.found(collection, self.foreign[kind]))
            if kind != "security_group_rule":
                body = {kind: {"description": "taken"}}
                self.denied(404, NOT_FOUND[kind], self.call("PUT", path, body), self.foreign[kind])
        self.assertEqual(before, self.state("other"))

    def found(self, collection: str, uuid: str) -> list[Any]:
        return next(iter(self.get(f"{V2}/{collection}?id={uuid}").values()))

    def test_what_is_done_to_another_projects_object_is_not_done(self) -> None:
        """A3, E7."""
        before = self.state("other")
        router, policy = f"{V2}/routers/{self.foreign['router']}", f"{V2}/qos/policies/{self.foreign['policy']}"
        routes = {"router": {"routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.1.9"}]}}
        for verb, body in (
            ("add_router_interface", {"subnet_id": self.mine["subnet"]}),
            ("remove_router_interface", {"subnet_id": self.foreign["subnet"]}),
            ("add_extraroutes", routes),
            ("remove_extraroutes", routes),
        ):
            self.denied(404, "RouterNotFound", self.call("PUT", f"{router}/{verb}", body))
        rule = {"bandwidth_limit_rule": {"max_kbps": 1}}
        self.denied(404, "QosPolicyNotFound", self.call("GET", f"{policy}/bandwidth_limit_rules"))
        self.denied(404, "QosPolicyNotFound", self.call("POST", f"{policy}/bandwidth_limit_rules", rule))
        for kind in ("network", "subnet", "subnetpool", "port", "security_group", "router", "floatingip"):
            tags = f"{V2}/{COLLECTIONS[kind]}/{self.foreign[kind]}/tags"
            self.denied(404, NOT_FOUND[kind], self.call("GET", tags))
            self.denied(404, NOT_FOUND[kind], self.call("PUT", tags, {"tags": ["mine"]}))
            self.denied(404, NOT_FOUND[kind], self.call("PUT", f"{tags}/mine"))
            self.denied(404, NOT_FOUND[kind], self.call("DELETE", tags))
        for path in ("", "/default", "/details"):
            project = before["networks"][-1]["project_id"]
            self.denied(403, "PolicyNotAuthorized", self.call("GET", f"{V2}/quotas/{project}{path}"))
        self.assertEqual(before, self.state("other"))

    def test_another_projects_id_in_a_new_object_is_refused(self) -> None:
        mine, before = self.mine, self.state("other")
        for kind, field, fields, status, said in (
            ("subnet", "network_id", {"cidr": "10.0.2.0/24", "ip_version": 4}, 404, "NetworkNotFound"),
            ("subnet", "subnetpool_id", {"network_id": self.bare(), "ip_version": 4, "prefixlen": 26}, 404, ""),
            ("port", "network_id", {}, 404, "NetworkNotFound"),
            ("port", "qos_policy_id", {"network_id": mine["network"]}, 404, ""),
            ("network", "qos_policy_id", {}, 404, ""),
            ("security_group_rule", "security_group_id", {"direction": "egress", "protocol": "udp"}, 404, ""),
            (
                "security_group_rule",
                "remote_group_id",
                {"security_group_id": mine["security_group"], "direction": "ingress", "protocol": "tcp"},
                404,
                "",
            ),
            ("floatingip", "port_id", {"floating_network_id": self.outside}, 404, "PortNotFound"),
        ):
            target = field.removesuffix("_id").removeprefix("qos_").replace("remote_group", "security_group")
            kind_of = NOT_FOUND[target]
            path = f"{V2}/{COLLECTIONS[kind]}"
            answer = self.call("POST", path, {kind: {**fields, field: self.foreign[target]}})
            self.denied(status, said or kind_of, answer, self.foreign[target])
            if (kind, field) != ("floatingip", "port_id"):
                answer = self.call("POST", path, {kind: {**fields, field: mine[target]}})
                self.assertEqual(201, answer.status_code, f"the control, {kind} {field}: {answer.text}")
        for fields, said in (
            ({"fixed_ips": [{"subnet_id": self.foreign["subnet"]}]}, "InvalidInput"),
            ({"security_groups": [self.foreign["security_group"]]}, "SecurityGroupNotFound"),
        ):
            answer = self.post("port", network_id=mine["network"], **fields)
            self.denied(400 if said == "InvalidInput" else 404, said, answer)
        answer = self.post("router", external_gateway_info={"network_id": self.foreign["network"]})
        self.denied(404, "NetworkNotFound", answer, self.foreign["network"])
        self.denied(404, "NetworkNotFound", self.post("floatingip", floating_network_id=self.foreign["network"]))
        self.assertEqual(before, self.state("other"))

    def bare(self) -> str:
        return self.make("network")["id"]

    def test_another_projects_id_in_a_change_is_refused_and_changes_nothing(self) -> None:
        """A3."""
        mine, foreign = self.mine, self.foreign
        before = (self.state("demo"), self.state("other"))

        def put(path: str, **body: Any) -> testing.Result:
            return self.call("PUT", f"{V2}/{path}", body)

        port, router, floating = (
            f"ports/{mine['port']}",
            f"routers/{mine['router']}",
            f"floatingips/{mine['floatingip']}",
        )
        for status, kind, answer in (
            (404, "SecurityGroupNotFound", put(port, port={"security_groups": [foreign["security_group"]]})),
            (404, "QosPolicyNotFound", put(port, port={"qos_policy_id": foreign["policy"]})),
            (
                404,
                "QosPolicyNotFound",
                put(f"networks/{mine['network']}", network={"qos_policy_id": foreign["policy"]}),
            ),
            (404, "PortNotFound", put(floating, floatingip={"port_id": foreign["port"]})),
            (404, "NetworkNotFound", put(router, router={"external_gateway_info": {"network_id": foreign["network"]}})),
            (404, "SubnetNotFound", put(f"{router}/add_router_interface", subnet_id=foreign["subnet"])),
            (404, "PortNotFound", put(f"{router}/add_router_interface", port_id=foreign["port"])),
            (
                404,
                "RouterInterfaceNotFoundForSubnet",
                put(f"{router}/remove_router_interface", subnet_id=foreign["subnet"]),
            ),
            (404, "RouterInterfaceNotFound", put(f"{router}/remove_router_interface", port_id=foreign["port"])),
        ):
            self.denied(status, kind, answer)
        self.assertEqual(before, (self.state("demo"), self.state("other")))

    def test_nobody_but_an_administrator_makes_anything_for_another_project(self) -> None:
        project = self.get(f"{V2}/networks/{self.foreign['network']}", user="other")["network"]["project_id"]
        before = self.state("other")
        for word in ("project_id", "tenant_id"):
            for kind, fields in (
                ("network", {}),
                ("subnet", {"network_id": self.mine["network"], "cidr": "10.0.3.0/24", "ip_version": 4}),
                ("subnetpool", {"name": "p", "prefixes": ["10.3.0.0/16"]}),
                ("port", {"network_id": self.mine["network"]}),
                ("router", {}),
                ("floatingip", {"floating_network_id": self.outside}),
                ("security_group", {"name": "g"}),
                ("security_group_rule", {"security_group_id": self.mine["security_group"], "direction": "egress"}),
            ):
                body = {kind: {**fields, word: project}}
                answer = self.call("POST", f"{V2}/{COLLECTIONS[kind]}", body)
                self.denied(403, "PolicyNotAuthorized", answer, "project_id")
        self.assertEqual(before, self.state("other"))
        made = self.call("POST", f"{V2}/networks", {"network": {"project_id": project}}, user="admin")
        self.assertEqual((201, project), (made.status_code, made.json["network"]["project_id"]))
