# SPDX-License-Identifier: Apache-2.0
"""Security groups and their rules in the embedded Neutron, as its clients see them."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from zun_lite.domain.names import new_id

GROUPS, RULES = f"{V2}/security-groups", f"{V2}/security-group-rules"


class SecurityGroupsTest(NetworkApiTestCase):
    def group(self, user: str = "demo", **fields: Any) -> dict[str, Any]:
        return self.made("security_group", GROUPS, user, **{"name": "web", **fields})

    def made(self, kind: str, path: str, user: str = "demo", **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", path, {kind: fields}, user=user)
        self.assertEqual(201, answer.status_code, answer.text)
        return answer.json[kind]

    def rule(self, group: str, user: str = "demo", **fields: Any) -> testing.Result:
        body = {"security_group_id": group, "direction": "ingress", **fields}
        return self.call("POST", RULES, {"security_group_rule": body}, user=user)

    def test_a_new_group_lets_all_out_and_nothing_in(self) -> None:
        made = self.group(description="mine")
        self.assertEqual(("web", "mine", True), (made["name"], made["description"], made["stateful"]))
        rules = [(rule["direction"], rule["ethertype"], rule["protocol"]) for rule in made["security_group_rules"]]
        self.assertEqual([("egress", "IPv4", None), ("egress", "IPv6", None)], rules)
        changed = self.call("PUT", f"{GROUPS}/{made['id']}", {"security_group": {"name": "new"}}).json["security_group"]
        self.assertEqual(("new", 2), (changed["name"], changed["revision_number"]))
        self.assertEqual(204, self.call("DELETE", f"{GROUPS}/{made['id']}").status_code)
        self.denied(404, "SecurityGroupNotFound", self.call("GET", f"{GROUPS}/{made['id']}"))

    def test_the_default_group_stays_what_it_is(self) -> None:
        (default,) = self.items("security-groups", "name=default")
        path = f"{GROUPS}/{default['id']}"
        self.denied(409, "SecurityGroupCannotRemoveDefault", self.call("DELETE", path))
        answer = self.call("PUT", path, {"security_group": {"name": "x"}})
        self.denied(409, "SecurityGroupCannotUpdateDefault", answer)
        answer = self.call("POST", GROUPS, {"security_group": {"name": "default"}})
        self.denied(409, "SecurityGroupDefaultAlreadyExists", answer)

    def test_a_rule_is_made_shown_listed_and_deleted(self) -> None:
        group = self.group()["id"]
        made = self.rule(group, protocol="tcp", port_range_min="80", port_range_max=90, remote_ip_prefix="10.0.0.7/8")
        rule = made.json["security_group_rule"]
        self.assertEqual(
            ("tcp", 80, 90, "IPv4", "10.0.0.7/8", "10.0.0.0/8", None),
            tuple(
                rule[key]
                for key in (
                    "protocol", "port_range_min", "port_range_max", "ethertype", "remote_ip_prefix", "normalized_cidr",
                    "remote_group_id",
                )
            ),
        )  # fmt: skip
        self.assertEqual(rule, self.get(f"{RULES}/{rule['id']}")["security_group_rule"])
        self.assertEqual([rule["id"]], self.ids("security-group-rules", f"security_group_id={group}&protocol=tcp"))
        self.assertEqual(3, len(self.get(f"{GROUPS}/{group}")["security_group"]["security_group_rules"]))
        self.assertEqual(204, self.call("DELETE", f"{RULES}/{rule['id']}").status_code)
        self.denied(404, "SecurityGroupRuleNotFound", self.call("DELETE", f"{RULES}/{rule['id']}"))

    def test_the_same_rule_in_other_words_is_there_already(self) -> None:
        group = self.group()["id"]
        first = self.rule(group, protocol="tcp", port_range_min=80, port_range_max=80).json["security_group_rule"]["id"]
        for fields in (
            {"protocol": "TCP", "port_range_min": 80, "port_range_max": 80},
            {"protocol": 6, "port_range_min": "80", "port_range_max": "80", "remote_ip_prefix": "0.0.0.0/0"},
        ):
            self.denied(409, "SecurityGroupRuleExists", self.rule(group, **fields), first)
        self.assertEqual(201, self.rule(group, ethertype="IPv6", protocol="icmp").status_code)
        self.denied(409, "SecurityGroupRuleExists", self.rule(group, ethertype="IPv6", protocol="ipv6-icmp"))
        self.denied(409, "SecurityGroupRuleExists", self.rule(group, direction="egress", protocol="any"))

    def test_rules_that_cannot_be_are_refused_as_neutron_does(self) -> None:
        group = self.group()["id"]
        tcp = {"protocol": "tcp"}
        for kind, fields in (
            ("HTTPBadRequest", {"direction": "sideways"}),
            ("HTTPBadRequest", {"protocol": "tcp", "port_range_min": "http", "port_range_max": 80}),
            ("SecurityGroupRuleInvalidEtherType", {"ethertype": "IPX"}),
            ("SecurityGroupRuleInvalidProtocol", {"protocol": "tpc"}),
            ("SecurityGroupRuleInvalidProtocol", {"protocol": 256}),
            # longer than the column that would keep it
            ("SecurityGroupRuleInvalidProtocol", {"protocol": "0" * 20 + "6"}),
            ("SecurityGroupProtocolRequiredWithPorts", {"port_range_min": 1, "port_range_max": 2}),
            ("SecurityGroupInvalidPortRange", {**tcp, "port_range_min": 90, "port_range_max": 80}),
            ("SecurityGroupInvalidPortRange", {**tcp, "port_range_min": 90}),
            ("SecurityGroupInvalidPortValue", {**tcp, "port_range_min": 0, "port_range_max": 80}),
            ("SecurityGroupInvalidPortValue", {**tcp, "port_range_min": 1, "port_range_max": 65536}),
            ("SecurityGroupInvalidIcmpValue", {"protocol": "icmp", "port_range_min": 256}),
            ("SecurityGroupMissingIcmpType", {"protocol": "icmp", "port_range_max": 1}),
            ("SecurityGroupInvalidProtocolForPort", {"protocol": "gre", "port_range_min": 1, "port_range_max": 2}),
            ("SecurityGroupEthertypeConflictWithProtocol", {"protocol": "ipv6-icmp"}),
            ("SecurityGroupRuleParameterConflict", {"remote_ip_prefix": "fd00::/8"}),
            ("SecurityGroupRemoteGroupAndRemoteIpPrefix", {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group}),
            ("InvalidInput", {"remote_ip_prefix": "10.0.0/8"}),
        ):
            with self.subTest(kind, **fields):
                self.denied(400, kind, self.rule(group, **fields))
        self.denied(404, "SecurityGroupNotFound", self.rule(group, remote_group_id=new_id()))
        self.denied(404, "SecurityGroupNotFound", self.rule(new_id()))
        self.assertEqual(2, len(self.items("security-group-rules", f"security_group_id={group}")))

    def test_other_projects_groups_are_not_there(self) -> None:
        foreign = self.group("other")["id"]
        mine = self.group()["id"]
        self.denied(404, "SecurityGroupNotFound", self.call("DELETE", f"{GROUPS}/{foreign}"))
        self.denied(404, "SecurityGroupNotFound", self.rule(foreign))
        self.denied(404, "SecurityGroupNotFound", self.rule(mine, remote_group_id=foreign))
        network, _ = self.a_network()
        self.denied(404, "SecurityGroupNotFound", self.post("port", network_id=network, security_groups=[foreign]))

    def test_a_group_with_a_port_stays_and_takes_rules_that_name_it_along(self) -> None:
        group, naming = self.group()["id"], self.group(name="naming")["id"]
        self.assertEqual(201, self.rule(naming, remote_group_id=group).status_code)
        network, _ = self.a_network()
        port = self.make("port", network_id=network, security_groups=[group])
        self.denied(409, "SecurityGroupInUse", self.call("DELETE", f"{GROUPS}/{group}"), group)
        self.call("PUT", f"{V2}/ports/{port['id']}", {"port": {"security_groups": []}})
        self.assertEqual(204, self.call("DELETE", f"{GROUPS}/{group}").status_code)
        self.assertEqual(2, len(self.items("security-group-rules", f"security_group_id={naming}")))

    def test_without_port_security_a_port_has_no_groups(self) -> None:
        network, _ = self.a_network()
        port = self.make("port", network_id=network, port_security_enabled=False)
        self.assertEqual((False, []), (port["port_security_enabled"], port["security_groups"]))
        (default,) = self.items("security-groups", "name=default")
        path = f"{V2}/ports/{port['id']}"
        answer = self.call("PUT", path, {"port": {"security_groups": [default["id"]]}})
        self.denied(400, "PortSecurityAndIPRequiredForSecurityGroups", answer)
        pairs = [{"ip_address": "10.0.0.9"}]
        answer = self.call("PUT", path, {"port": {"allowed_address_pairs": pairs}})
        self.denied(409, "AddressPairAndPortSecurityRequired", answer)
        shared, _ = self.a_network(user="admin", cidr="10.7.0.0/24", shared=True)
        for fields in ({"port_security_enabled": False}, {"allowed_address_pairs": pairs}):
            self.denied(403, "PolicyNotAuthorized", self.post("port", network_id=shared, **fields))

    def test_address_pairs_are_kept_as_given(self) -> None:
        network, _ = self.a_network()
        pairs = [{"ip_address": "10.0.0.9"}, {"ip_address": "10.1.0.0/16", "mac_address": "FA:16:3E:00:00:01"}]
        port = self.make("port", network_id=network, allowed_address_pairs=pairs)
        self.assertEqual(
            [("10.0.0.9", port["mac_address"]), ("10.1.0.0/16", "fa:16:3e:00:00:01")],
            [(pair["ip_address"], pair["mac_address"]) for pair in port["allowed_address_pairs"]],
        )
