# SPDX-License-Identifier: Apache-2.0
"""Networks, subnets and what is besides in the embedded Neutron, as its clients see them."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from zun_lite.domain.names import new_id


class NetworksTest(NetworkApiTestCase):
    def test_a_network_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.make("network", name="net", description="mine", mtu="1400")
        self.assertEqual(
            ("net", "mine", "ACTIVE", True, False, False, 1400, []),
            tuple(
                made[key]
                for key in (
                    "name", "description", "status", "admin_state_up", "shared", "router:external", "mtu", "subnets",
                )
            ),
        )  # fmt: skip
        self.assertEqual(made["project_id"], made["tenant_id"])
        self.assertRegex(made["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertNotIn("provider:segmentation_id", made)
        path = f"{V2}/networks/{made['id']}"
        self.assertEqual(made, self.get(path)["network"])
        self.assertEqual([made], self.items("networks"))
        changed = self.call("PUT", path, {"network": {"name": "new", "admin_state_up": False}}).json["network"]
        self.assertEqual(("new", False, 2), (changed["name"], changed["admin_state_up"], changed["revision_number"]))
        self.assertEqual(204, self.call("DELETE", path).status_code)
        self.denied(404, "NetworkNotFound", self.call("GET", path), made["id"], "could not be found")

    def test_nulls_mean_left_out(self) -> None:
        made = self.make("network", name=None, description=None, mtu=None, shared=None)
        self.assertEqual(("", "", 1450, False), (made["name"], made["description"], made["mtu"], made["shared"]))

    def test_many_networks_are_made_by_one_request_or_none_is(self) -> None:
        answer = self.call("POST", f"{V2}/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
        self.assertEqual(["a", "b"], [network["name"] for network in answer.json["networks"]])
        self.call("POST", f"{V2}/networks", {"networks": [{"name": "c"}, {"name": 5}]})
        self.assertEqual(2, len(self.items("networks")))
        many = {"networks": [{}] * 101}
        self.denied(400, "HTTPBadRequest", self.call("POST", f"{V2}/networks", many), "At most 100")

    def test_bad_input_is_refused_with_the_field(self) -> None:
        for fields, *words in (
            ({"nam": "x"}, "Unrecognized attribute(s) 'nam'"),
            ({"name": 5}, "Invalid input for name"),
            ({"name": "x" * 256}, "exceeds maximum length of 255"),
            ({"admin_state_up": "perhaps"}, "admin_state_up", "boolean"),
            ({"mtu": 9001}, "mtu", "range"),
            ({"mtu": 20}, "mtu", "68"),
            ({"provider:segmentation_id": 0}, "provider:segmentation_id", "range"),
            ({"provider:physical_network": "wire"}, "provider:physical_network", "not supported"),
            ({"provider:network_type": "vlan"}, "provider:network_type", "'vxlan'"),
            ({"port_security_enabled": "perhaps"}, "port_security_enabled", "boolean"),
        ):
            self.denied(400, "HTTPBadRequest", self.post("network", "admin", **fields), *words)
        for body in (None, [], {"network": []}, {"network": {}, "more": {}}, {"networks": []}):
            self.denied(400, "HTTPBadRequest", self.call("POST", f"{V2}/networks", body), "Resource body required")
        self.denied(400, "HTTPBadRequest", self.call("POST", f"{V2}/networks", raw=b"{"), "JSON")

    def test_what_is_settled_once_is_not_changed(self) -> None:
        path = f"{V2}/networks/{self.make('network')['id']}"
        self.denied(400, "HTTPBadRequest", self.call("PUT", path, {"network": {"mtu": 1400}}), "read-only")

    def test_only_administrators_make_shared_and_external_networks(self) -> None:
        for field in ("shared", "router:external"):
            self.denied(403, "PolicyNotAuthorized", self.post("network", **{field: True}), field)
            self.assertFalse(self.make("network", **{field: False})[field])
            self.assertTrue(self.make("network", "admin", **{field: True})[field])

    def test_only_administrators_make_networks_for_others(self) -> None:
        other = self.make("network", "other")["project_id"]
        self.denied(403, "PolicyNotAuthorized", self.post("network", project_id=other))
        self.assertEqual(other, self.make("network", "admin", tenant_id=other)["project_id"])

    def test_users_see_their_own_the_shared_and_the_external(self) -> None:
        own, foreign = self.make("network")["id"], self.make("network", "other")["id"]
        shared = self.make("network", "admin", shared=True)["id"]
        external = self.make("network", "admin", **{"router:external": True})["id"]
        self.assertEqual([own, shared, external], self.ids("networks"))
        self.assertEqual([own, foreign, shared, external], self.ids("networks", user="admin"))
        self.denied(404, "NetworkNotFound", self.call("GET", f"{V2}/networks/{foreign}"))
        self.denied(404, "NetworkNotFound", self.call("DELETE", f"{V2}/networks/{foreign}"))
        self.denied(403, "PolicyNotAuthorized", self.call("DELETE", f"{V2}/networks/{shared}"))

    def test_administrators_see_the_segment(self) -> None:
        network = self.make("network")
        shown = self.get(f"{V2}/networks/{network['id']}", user="admin")["network"]
        self.assertGreaterEqual(shown["provider:segmentation_id"], 1000)
        query = f"provider:segmentation_id={shown['provider:segmentation_id']}"
        self.assertEqual([network["id"]], self.ids("networks", query, user="admin"))

    def test_a_name_in_the_place_of_an_id_is_not_found(self) -> None:
        self.make("network", name="net")
        for name in ("net", "a%20b", "10.0.0.0%2F24"):
            answer = self.call("GET", f"{V2}/networks/{name}")
            self.assertEqual(404, answer.status_code)
            self.assertIn("NeutronError", answer.json)

    def test_a_shared_network_in_use_by_others_stays_shared(self) -> None:
        network, _ = self.a_network(user="admin", shared=True)
        self.make("port", network_id=network)
        answer = self.call("PUT", f"{V2}/networks/{network}", {"network": {"shared": False}}, user="admin")
        self.denied(409, "InvalidSharedSetting", answer)


class QueryTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.names = {name: self.make("network", name=name)["id"] for name in ("a", "b", "c", "d", "e")}

    def test_values_of_one_key_are_alternatives_and_keys_must_all_hold(self) -> None:
        a, b = self.names["a"], self.names["b"]
        self.assertEqual([a], self.ids("networks", "name=a"))
        self.assertEqual([], self.ids("networks", "name=A"))
        self.assertEqual([a, b], self.ids("networks", "name=a&name=b"))
        self.assertEqual([a, b], self.ids("networks", f"id={a}&id={b}"))
        self.assertEqual([b], self.ids("networks", f"id={a}&id={b}&name=b"))

    def test_booleans_are_python_style_and_a_wrong_one_is_refused(self) -> None:
        self.assertEqual(5, len(self.ids("networks", "shared=False&router%3Aexternal=False&admin_state_up=True")))
        self.assertEqual([], self.ids("networks", "shared=True"))
        self.denied(400, "InvalidInput", self.call("GET", f"{V2}/networks?shared=perhaps"), "shared")

    def test_unknown_filters_are_passed_over(self) -> None:
        self.assertEqual(5, len(self.ids("networks", "colour=red&flavour=sweet")))

    def test_tenant_is_another_word_for_project(self) -> None:
        project = self.items("networks")[0]["project_id"]
        for key in ("tenant_id", "project_id"):
            self.assertEqual(5, len(self.ids("networks", f"{key}={project}")))
            self.assertEqual([], self.ids("networks", f"{key}={'0' * 32}"))

    def test_only_the_fields_asked_for_are_shown(self) -> None:
        self.assertEqual(
            [{"id", "name"}], [set(item) for item in self.items("networks", "name=a&fields=id&fields=name")]
        )
        path = f"{V2}/networks/{self.names['a']}"
        self.assertEqual({"network": {"name": "a"}}, self.get(f"{path}?fields=name"))

    def test_pages_link_to_the_next_until_an_empty_one(self) -> None:
        seen, path = [], f"{V2}/networks?limit=2"
        for _ in range(9):
            body = self.get(path)
            seen += [network["name"] for network in body["networks"]]
            links = {link["rel"]: link["href"] for link in body.get("networks_links", ())}
            if "next" not in links:
                break
            self.assertTrue(links["next"].startswith(self.conf.api.public_url))
            path = links["next"].removeprefix(self.conf.api.public_url)
        self.assertEqual(["a", "b", "c", "d", "e"], seen)
        self.assertEqual([], self.items("networks", f"limit=2&marker={self.names['e']}"))

    def test_pages_go_backwards(self) -> None:
        query = f"limit=2&page_reverse=True&marker={self.names['d']}"
        self.assertEqual(["b", "c"], [network["name"] for network in self.items("networks", query)])

    def test_a_marker_that_the_user_cannot_see_tells_nothing_of_what_it_is(self) -> None:
        """F3."""
        foreign = self.make("network", "other", name="c")["id"]
        subnet = self.make("subnet", "other", network_id=foreign, cidr="10.7.0.0/24", ip_version=4)["id"]
        for path in (f"networks?sort_key=name&marker={foreign}", f"subnets?marker={subnet}"):
            self.assertEqual(400, self.call("GET", f"{V2}/{path}").status_code)
            self.assertEqual(200, self.call("GET", f"{V2}/{path}", user="admin").status_code)

    def test_a_marker_need_not_fulfil_the_filters_any_more(self) -> None:
        query = f"name=c&name=d&marker={self.names['b']}"
        self.assertEqual(["c", "d"], [network["name"] for network in self.items("networks", query)])

    def test_lists_are_sorted_on_demand(self) -> None:
        names = [network["name"] for network in self.items("networks", "sort_key=name&sort_dir=desc")]
        self.assertEqual(["e", "d", "c", "b", "a"], names)
        self.denied(400, "InvalidInput", self.call("GET", f"{V2}/networks?sort_key=colour"))

    def test_bad_pages_are_refused(self) -> None:
        """F3."""
        for query in ("limit=-1", "limit=x", "limit=1e3"):
            self.denied(400, "InvalidInput", self.call("GET", f"{V2}/networks?{query}"), "limit")
        self.assertEqual(400, self.call("GET", f"{V2}/networks?marker=nope").status_code)


class SubnetsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network = self.make("network")["id"]

    def subnet(self, **fields: Any) -> testing.Result:
        return self.post("subnet", **{"network_id": self.network, "cidr": "10.0.0.0/24", "ip_version": 4, **fields})

    def test_a_subnet_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.make(
            "subnet",
            network_id=self.network,
            cidr="10.0.0.0/24",
            name="sub",
            dns_nameservers=["9.9.9.9"],
            host_routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}],
        )
        self.assertEqual(("10.0.0.1", 4, True), (made["gateway_ip"], made["ip_version"], made["enable_dhcp"]))
        self.assertEqual([{"start": "10.0.0.2", "end": "10.0.0.254"}], made["allocation_pools"])
        self.assertEqual((["9.9.9.9"], []), (made["dns_nameservers"], made["service_types"]))
        self.assertEqual([{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}], made["host_routes"])
        path = f"{V2}/subnets/{made['id']}"
        self.assertEqual(made, self.get(path)["subnet"])
        self.assertEqual([made], self.items("subnets", f"network_id={self.network}&cidr=10.0.0.0/24"))
        self.assertEqual([made["id"]], self.get(f"{V2}/networks/{self.network}")["network"]["subnets"])
        changed = self.call("PUT", path, {"subnet": {"name": "new", "gateway_ip": None, "dns_nameservers": []}})
        self.assertEqual(
            ("new", None, []), tuple(changed.json["subnet"][key] for key in ("name", "gateway_ip", "dns_nameservers"))
        )
        self.assertEqual(204, self.call("DELETE", path).status_code)
        self.denied(404, "SubnetNotFound", self.call("GET", path))

    def test_a_null_gateway_is_none(self) -> None:
        made = self.subnet(gateway_ip=None).json["subnet"]
        self.assertEqual((None, "10.0.0.1"), (made["gateway_ip"], made["allocation_pools"][0]["start"]))

    def test_bad_input_is_refused_with_a_sentence(self) -> None:
        for kind, fields, *words in (
            ("InvalidInput", {"cidr": "10.0.0.5/24"}, "did you mean 10.0.0.0/24"),
            ("InvalidInput", {"cidr": "10.0.0.0"}, "not a CIDR"),
            ("InvalidInput", {"cidr": "10.0.0.0/40"}, "not a valid CIDR"),
            ("InvalidInput", {"cidr": "nonsense/8"}, "not a valid CIDR"),
            ("InvalidInput", {"ip_version": 6}, "not of IP version 6"),
            ("HTTPBadRequest", {"ip_version": 5}, "ip_version"),
            ("HTTPBadRequest", {"cidr": 5}, "cidr"),
            ("InvalidInput", {"gateway_ip": "10.0.1.1"}, "not a host address"),
            ("InvalidInput", {"gateway_ip": "10.0.0.255"}, "not a host address"),
            ("InvalidInput", {"gateway_ip": "ten"}, "gateway_ip"),
            ("OutOfBoundsAllocationPool", {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.1.9"}]}),
            ("HTTPBadRequest", {"allocation_pools": [{"start": "10.0.0.2"}]}, "start and end"),
            ("HTTPBadRequest", {"allocation_pools": "all"}, "not a list"),
            ("InvalidInput", {"dns_nameservers": ["dns"]}, "dns_nameservers"),
            ("InvalidInput", {"host_routes": [{"destination": "10.9.0.1/16", "nexthop": "10.0.0.9"}]}),
            ("InvalidInput", {"host_routes": [{"destination": "10.9.0.0/16", "nexthop": "::1"}]}),
            ("HTTPBadRequest", {"network_id": "net"}, "network_id", "UUID"),
            ("HTTPBadRequest", {"network_id": None}, "Required attribute 'network_id'"),
            ("BadRequest", {"cidr": None}, "a subnetpool must be specified in the absence of a cidr"),
            ("InvalidInput", {"ipv6_ra_mode": "slaac"}, "version 6 only"),
        ):
            self.denied(400, kind, self.subnet(**fields), *words)

    def test_overlapping_cidrs_are_refused_within_a_network_only(self) -> None:
        self.subnet()
        self.denied(400, "InvalidInput", self.subnet(cidr="10.0.0.64/26"), "overlaps with another subnet")
        self.a_network(user="other")
        self.a_network()

    def test_subnets_come_in_bulk(self) -> None:
        wanted = [{"network_id": self.network, "cidr": f"10.0.{number}.0/24"} for number in range(2)]
        answer = self.call("POST", f"{V2}/subnets", {"subnets": wanted})
        self.assertEqual(["10.0.0.0/24", "10.0.1.0/24"], [subnet["cidr"] for subnet in answer.json["subnets"]])

    def test_subnets_of_an_ipv6_network(self) -> None:
        made = self.subnet(cidr="2001:db8::/64", ip_version=6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac").json[
            "subnet"
        ]
        self.assertEqual(("2001:db8::1", "slaac"), (made["gateway_ip"], made["ipv6_ra_mode"]))

    def test_a_subnet_needs_a_network_of_ones_own(self) -> None:
        foreign = self.make("network", "other")["id"]
        shared = self.make("network", "admin", shared=True)["id"]
        self.denied(404, "NetworkNotFound", self.subnet(network_id=foreign))
        self.denied(404, "NetworkNotFound", self.subnet(network_id=new_id()))
        self.denied(403, "PolicyNotAuthorized", self.subnet(network_id=shared))

    def test_users_see_their_own_subnets_and_those_of_shared_networks(self) -> None:
        _, foreign = self.a_network(user="other")
        _, shared = self.a_network(user="admin", shared=True)
        own = self.subnet().json["subnet"]["id"]
        self.assertEqual([shared, own], self.ids("subnets"))
        self.denied(404, "SubnetNotFound", self.call("GET", f"{V2}/subnets/{foreign}"))
        self.denied(403, "PolicyNotAuthorized", self.call("DELETE", f"{V2}/subnets/{shared}"))
        self.assertEqual(3, len(self.ids("subnets", user="admin")))

    def test_a_subnet_with_ports_stays(self) -> None:
        subnet = self.subnet().json["subnet"]["id"]
        self.make("port", network_id=self.network)
        self.denied(409, "SubnetInUse", self.call("DELETE", f"{V2}/subnets/{subnet}"))
        self.denied(409, "NetworkInUse", self.call("DELETE", f"{V2}/networks/{self.network}"))


class BesidesTest(NetworkApiTestCase):
    def test_the_version_documents(self) -> None:
        for path in ("/network", "/network/"):
            (version,) = self.client.simulate_get(path).json["versions"]
            self.assertEqual(("v2.0", "CURRENT"), (version["id"], version["status"]))
            self.assertEqual(f"{self.conf.api.public_url}{V2}/", version["links"][0]["href"])
        self.assertIn("networks", [item["collection"] for item in self.get(f"{V2}/")["resources"]])

    def test_only_what_is_served_is_announced(self) -> None:
        aliases = [extension["alias"] for extension in self.get(f"{V2}/extensions")["extensions"]]
        self.assertIn("binding", aliases)
        self.assertIn("router", aliases)
        self.assertNotIn("trunk", aliases)
        shown = self.get(f"{V2}/extensions/net-mtu")["extension"]
        self.assertEqual({"alias", "name", "description", "updated", "links"}, set(shown))
        for alias in ("external-gateway-multihoming", "tag-ports-during-bulk-creation"):
            self.denied(404, "ExtensionNotFound", self.call("GET", f"{V2}/extensions/{alias}"))

    def test_each_project_has_a_default_group_as_soon_as_it_looks(self) -> None:
        (group,) = self.items("security-groups")
        self.assertEqual(("default", group["tenant_id"]), (group["name"], group["project_id"]))
        rules = {
            (rule["direction"], rule["ethertype"], rule["remote_group_id"]) for rule in group["security_group_rules"]
        }
        wanted = {("egress", "IPv4", None), ("ingress", "IPv4", group["id"])}
        wanted |= {("egress", "IPv6", None), ("ingress", "IPv6", group["id"])}
        self.assertEqual((wanted, 4), (rules, len(group["security_group_rules"])))
        self.assertEqual([group], self.items("security-groups", "name=default"))
        self.assertEqual(group, self.get(f"{V2}/security-groups/{group['id']}")["security_group"])
        (foreign,) = self.items("security-groups", user="other")
        self.assertNotEqual(group["id"], foreign["id"])
        self.denied(404, "SecurityGroupNotFound", self.call("GET", f"{V2}/security-groups/{foreign['id']}"))

    def test_rules_are_listed_filtered_and_shown(self) -> None:
        (group,) = self.items("security-groups")
        rules = self.items("security-group-rules", f"security_group_id={group['id']}&direction=egress")
        self.assertEqual(2, len(rules))
        self.assertEqual(rules[0], self.get(f"{V2}/security-group-rules/{rules[0]['id']}")["security_group_rule"])
        self.denied(404, "SecurityGroupRuleNotFound", self.call("GET", f"{V2}/security-group-rules/{new_id()}"))

    def test_collections_that_clients_poll_are_empty(self) -> None:
        for name in ("rbac-policies", "trunks", "address-scopes", "service-providers"):
            self.assertEqual([], self.items(name))

    def test_quotas_are_said_as_they_are(self) -> None:
        network, _ = self.a_network()
        project = self.get(f"{V2}/networks/{network}")["network"]["project_id"]
        for path in (project, f"{project}.json", f"{project}/default"):
            self.assertEqual(-1, self.get(f"{V2}/quotas/{path}")["quota"]["network"])
        details = self.get(f"{V2}/quotas/{project}/details")["quota"]
        self.assertEqual({"limit": -1, "used": 1, "reserved": 0}, details["subnet"])
        self.denied(403, "PolicyNotAuthorized", self.call("GET", f"{V2}/quotas/{'0' * 32}"))

    def test_what_is_not_served_is_404_or_405_in_neutrons_shape(self) -> None:
        for method, path, status in (
            ("GET", "nothing", 404),
            ("POST", "agents", 405),
            ("PUT", "networks", 405),
        ):
            answer = self.call(method, f"{V2}/{path}", {})
            self.assertEqual(status, answer.status_code)
            self.assertIn("message", answer.json["NeutronError"])

    def test_without_a_token_nothing_is_shown(self) -> None:
        answer = self.client.simulate_get(f"{V2}/networks")
        self.assertEqual(401, answer.status_code)
        self.assertIn("Keystone uri=", answer.headers["WWW-Authenticate"])
