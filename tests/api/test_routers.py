# SPDX-License-Identifier: Apache-2.0
"""Routers, floating IPs, quotas, tags and hosts in the embedded Neutron, as its clients see them."""

from __future__ import annotations

from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from tests.builders import a_host
from zun_lite.domain.names import new_id


class RouterApiTestCase(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.external, self.outer = self.a_network("172.24.4.0/24", "admin", **{"router:external": True})
        self.network, self.subnet = self.a_network()

    def router(self, **fields: Any) -> dict[str, Any]:
        return self.make("router", **fields)

    def led_out(self) -> str:
        """A router of the network with a way out; its id."""
        router = self.router(external_gateway_info={"network_id": self.external})["id"]
        self.assertEqual(200, self.leg("add", router, subnet_id=self.subnet).status_code)
        return router

    def leg(self, verb: str, router: str, **body: str) -> testing.Result:
        return self.call("PUT", f"{V2}/routers/{router}/{verb}_router_interface", body)

    def change(self, router: str, **fields: Any) -> testing.Result:
        return self.call("PUT", f"{V2}/routers/{router}", {"router": fields})

    def floating(self, **fields: Any) -> testing.Result:
        return self.call("POST", f"{V2}/floatingips", {"floatingip": {"floating_network_id": self.external, **fields}})


class RoutersTest(RouterApiTestCase):
    def test_a_router_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.router(name="r")
        self.assertEqual(
            ("r", "ACTIVE", None, [], False, False),
            tuple(made[key] for key in ("name", "status", "external_gateway_info", "routes", "distributed", "ha")),
        )
        self.assertEqual([made], self.items("routers"))
        changed = self.change(made["id"], name="new", admin_state_up=False).json["router"]
        self.assertEqual(("new", "DOWN"), (changed["name"], changed["status"]))
        self.assertEqual([], self.items("routers", user="other"))
        self.denied(404, "RouterNotFound", self.call("GET", f"{V2}/routers/{made['id']}", user="other"))
        self.assertEqual(204, self.call("DELETE", f"{V2}/routers/{made['id']}").status_code)
        self.denied(404, "RouterNotFound", self.call("GET", f"{V2}/routers/{made['id']}"))

    def test_a_leg_has_the_subnets_gateway_address_and_holds_the_router(self) -> None:
        router = self.router()["id"]
        answer = self.leg("add", router, subnet_id=self.subnet).json
        self.assertEqual(
            (router, self.subnet, [self.subnet]), tuple(answer[k] for k in ("id", "subnet_id", "subnet_ids"))
        )
        (port,) = self.items("ports", f"device_id={router}")
        self.assertEqual(
            ("network:router_interface", "10.0.0.1", [], answer["port_id"]),
            (port["device_owner"], port["fixed_ips"][0]["ip_address"], port["security_groups"], port["id"]),
        )
        self.denied(409, "RouterInUse", self.call("DELETE", f"{V2}/routers/{router}"))
        self.denied(409, "ServicePortInUse", self.call("DELETE", f"{V2}/ports/{port['id']}"))
        for fields in ({"device_id": ""}, {"fixed_ips": []}, {"port_security_enabled": True}):
            answer = self.call("PUT", f"{V2}/ports/{port['id']}", {"port": fields})
            self.denied(409, "PortInUse", answer)
        self.denied(400, "BadRequest", self.leg("add", router, subnet_id=self.subnet), "already has a port on subnet")
        self.assertEqual(200, self.leg("remove", router, subnet_id=self.subnet).status_code)
        self.denied(404, "RouterInterfaceNotFoundForSubnet", self.leg("remove", router, subnet_id=self.subnet))
        self.denied(404, "RouterInterfaceNotFound", self.leg("remove", router, port_id=port["id"]))
        self.assertEqual(204, self.call("DELETE", f"{V2}/routers/{router}").status_code)

    def test_a_port_of_ones_own_becomes_a_leg(self) -> None:
        router = self.router()["id"]
        port = self.make("port", network_id=self.network, fixed_ips=[{"ip_address": "10.0.0.77"}])["id"]
        self.assertEqual(self.subnet, self.leg("add", router, port_id=port).json["subnet_id"])
        self.denied(409, "PortInUse", self.leg("add", self.router()["id"], port_id=port))
        self.assertEqual(200, self.leg("remove", router, port_id=port).status_code)
        self.denied(404, "PortNotFound", self.call("GET", f"{V2}/ports/{port}"))

    def test_overlapping_networks_and_loops_are_refused(self) -> None:
        router = self.led_out()
        _, twin = self.a_network()
        self.denied(400, "BadRequest", self.leg("add", router, subnet_id=twin), "overlaps with cidr 10.0.0.0/24")
        _, same = self.a_network("172.24.4.0/25")
        self.denied(400, "BadRequest", self.leg("add", router, subnet_id=same), "overlaps")
        network = self.make("network")["id"]
        bare = self.make("subnet", network_id=network, cidr="10.5.0.0/24", ip_version=4, gateway_ip=None)["id"]
        self.denied(400, "BadRequest", self.leg("add", router, subnet_id=bare), "must have a gateway IP")
        self.denied(400, "HTTPBadRequest", self.leg("add", router))
        self.denied(409, "IpAddressInUse", self.leg("add", self.router()["id"], subnet_id=self.subnet))

    def test_a_way_out_gets_no_address_of_a_subnet_that_overlaps_with_a_leg(self) -> None:
        router, block = self.led_out(), "2001:db8:5::/64"
        inner = self.make("subnet", network_id=self.make("network")["id"], cidr=block, ip_version=6)["id"]
        self.assertEqual(200, self.leg("add", router, subnet_id=inner).status_code)
        self.make("subnet", "admin", network_id=self.external, cidr=block, ip_version=6)
        again = {"network_id": self.external}
        self.denied(400, "BadRequest", self.change(router, external_gateway_info=again), f"overlaps with cidr {block}")
        self.assertEqual(200, self.leg("remove", router, subnet_id=inner).status_code)
        answer = self.change(router, external_gateway_info=again)
        self.assertEqual(2, len(answer.json["router"]["external_gateway_info"]["external_fixed_ips"]))

    def test_the_way_out_is_given_and_taken(self) -> None:
        router = self.led_out()
        shown = self.get(f"{V2}/routers/{router}")["router"]["external_gateway_info"]
        self.assertEqual((self.external, True), (shown["network_id"], shown["enable_snat"]))
        self.assertEqual([{"subnet_id": self.outer, "ip_address": "172.24.4.2"}], shown["external_fixed_ips"])
        self.assertEqual([], self.items("ports", "device_owner=network:router_gateway"))
        self.assertEqual(1, len(self.items("ports", "device_owner=network:router_gateway", user="admin")))
        self.denied(400, "BadRequest", self.change(router, external_gateway_info={"network_id": self.network}))
        self.assertIsNone(self.change(router, external_gateway_info={}).json["router"]["external_gateway_info"])
        self.assertEqual([], self.items("ports", "device_owner=network:router_gateway", user="admin"))
        off = {"network_id": self.external, "enable_snat": False}
        self.denied(403, "PolicyNotAuthorized", self.change(router, external_gateway_info=off))
        answer = self.call("PUT", f"{V2}/routers/{router}", {"router": {"external_gateway_info": off}}, user="admin")
        self.assertFalse(answer.json["router"]["external_gateway_info"]["enable_snat"])

    def test_routes_lead_to_neighbours_only(self) -> None:
        router = self.led_out()
        route = {"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}
        self.assertEqual([route], self.change(router, routes=[route]).json["router"]["routes"])
        for kind, bad in (
            ("InvalidRoutes", {"destination": "10.8.0.0/16", "nexthop": "10.9.0.9"}),
            ("InvalidRoutes", {"destination": "10.8.0.0/16", "nexthop": "10.0.0.1"}),
            ("InvalidRoutes", {"destination": "fd00::/8", "nexthop": "10.0.0.9"}),
            ("InvalidInput", {"destination": "10.8.0.1/16", "nexthop": "10.0.0.9"}),
        ):
            self.denied(400, kind, self.change(router, routes=[bad]))
        self.denied(400, "InvalidRoutes", self.change(router, routes=[route, route]), "twice")
        self.denied(409, "RouterInterfaceInUseByRoute", self.leg("remove", router, subnet_id=self.subnet))
        more = {"destination": "10.7.0.0/16", "nexthop": "10.0.0.9"}
        path = f"{V2}/routers/{router}"
        answer = self.call("PUT", f"{path}/add_extraroutes", {"router": {"routes": [more, route]}})
        self.assertEqual([route, more], answer.json["router"]["routes"])
        answer = self.call("PUT", f"{path}/remove_extraroutes", {"router": {"routes": [route, more]}})
        self.assertEqual([], answer.json["router"]["routes"])


class FloatingIpsTest(RouterApiTestCase):
    def test_one_is_taken_led_to_a_port_and_given_back(self) -> None:
        router = self.led_out()
        port = self.make("port", network_id=self.network)
        floating = self.floating(description="mine").json["floatingip"]
        self.assertEqual(("DOWN", None, "mine"), (floating["status"], floating["port_id"], floating["description"]))
        path = f"{V2}/floatingips/{floating['id']}"
        led = self.call("PUT", path, {"floatingip": {"port_id": port["id"]}}).json["floatingip"]
        self.assertEqual(
            ("ACTIVE", port["fixed_ips"][0]["ip_address"], router),
            (led["status"], led["fixed_ip_address"], led["router_id"]),
        )
        self.assertEqual([led], self.items("floatingips", f"port_id={port['id']}&status=ACTIVE"))
        self.denied(409, "FloatingIPPortAlreadyAssociated", self.floating(port_id=port["id"]))
        self.denied(409, "RouterInterfaceInUseByFloatingIP", self.leg("remove", router, subnet_id=self.subnet))
        answer = self.change(router, external_gateway_info={})
        self.denied(409, "RouterExternalGatewayInUseByFloatingIp", answer)
        self.assertEqual(204, self.call("DELETE", f"{V2}/ports/{port['id']}").status_code)
        self.assertEqual(("DOWN", None), tuple(self.get(path)["floatingip"][key] for key in ("status", "router_id")))
        self.assertEqual(204, self.call("DELETE", path).status_code)
        self.denied(404, "FloatingIPNotFound", self.call("GET", path))
        self.assertEqual([], self.items("ports", "device_owner=network:floatingip", user="admin"))

    def test_what_leads_nowhere_is_refused(self) -> None:
        port = self.make("port", network_id=self.network)["id"]
        self.denied(404, "ExternalGatewayForFloatingIPNotFound", self.floating(port_id=port), "not reachable")
        self.assertEqual([], self.items("floatingips"))
        self.led_out()
        self.denied(400, "BadRequest", self.floating(floating_network_id=self.network), "not a valid external network")
        self.denied(400, "BadRequest", self.floating(port_id=port, fixed_ip_address="10.0.0.99"), "fixed ip")
        self.denied(404, "PortNotFound", self.floating(port_id=new_id()))
        self.denied(403, "PolicyNotAuthorized", self.floating(floating_ip_address="172.24.4.50"))
        bare = self.make("port", network_id=self.network, fixed_ips=[])["id"]
        self.denied(400, "BadRequest", self.floating(port_id=bare), "no fixed IPv4")
        two = self.make("port", network_id=self.network, fixed_ips=[{"subnet_id": self.subnet}] * 2)["id"]
        self.denied(400, "BadRequest", self.floating(port_id=two), "multiple fixed IPv4")

    def test_other_projects_have_no_part_in_them(self) -> None:
        floating = self.floating().json["floatingip"]["id"]
        for method in ("GET", "DELETE"):
            answer = self.call(method, f"{V2}/floatingips/{floating}", user="other")
            self.denied(404, "FloatingIPNotFound", answer)
        self.assertEqual([], self.items("floatingips", user="other"))


class BesidesTest(RouterApiTestCase):
    def test_quotas_are_set_held_and_reset(self) -> None:
        project = self.items("networks", f"id={self.network}")[0]["project_id"]
        path = f"{V2}/quotas/{project}"
        body = {"quota": {"network": 1, "router": 0, "floatingip": "1", "security_group": 1, "check_limit": True}}
        self.denied(403, "PolicyNotAuthorized", self.call("PUT", path, body))
        self.assertEqual(1, self.call("PUT", path, body, user="admin").json["quota"]["network"])
        long = self.call("PUT", f"{V2}/quotas/{'p' * 65}", body, user="admin")
        self.denied(400, "HTTPBadRequest", long, "more than 64")
        for kind, fields in (("network", {}), ("router", {})):
            self.denied(409, "OverQuota", self.post(kind, **fields), f"Quota exceeded for resources: ['{kind}']")
        self.assertEqual(201, self.floating().status_code)
        self.denied(409, "OverQuota", self.floating())
        details = self.get(f"{path}/details")["quota"]
        self.assertEqual({"limit": 1, "used": 1, "reserved": 0}, details["network"])
        self.assertEqual({"limit": 1, "used": 1, "reserved": 0}, details["floatingip"])
        low = {"quota": {"subnet": 0, "check_limit": True}}
        self.denied(400, "InvalidQuotaValue", self.call("PUT", path, low, user="admin"), "subnet")
        self.assertEqual([project], [row["project_id"] for row in self.get(f"{V2}/quotas", user="admin")["quotas"]])
        self.assertEqual(204, self.call("DELETE", path, user="admin").status_code)
        self.denied(404, "TenantQuotaNotFound", self.call("DELETE", path, user="admin"))
        self.assertEqual(-1, self.get(path)["quota"]["network"])

    def test_tags_are_hung_on_and_found(self) -> None:
        path = f"{V2}/networks/{self.network}/tags"
        self.assertEqual(["a", "b:c"], self.call("PUT", path, {"tags": ["b:c", "a", "a"]}).json["tags"])
        self.assertEqual(["a", "b:c"], self.get(f"{V2}/networks/{self.network}")["network"]["tags"])
        other = self.make("network")["id"]
        for query, found in (
            ("tags=a,b:c", [self.network]),
            ("tags=a,x", []),
            ("tags-any=x,a", [self.network]),
            ("not-tags=a&router:external=False", [other]),
            ("not-tags-any=a,x&router:external=False", [other]),
        ):
            self.assertEqual(found, self.ids("networks", query), query)
        self.assertEqual(201, self.call("PUT", f"{path}/x").status_code)
        self.assertEqual(204, self.call("GET", f"{path}/x").status_code)
        self.assertEqual(204, self.call("DELETE", f"{path}/x").status_code)
        self.denied(404, "TagNotFound", self.call("DELETE", f"{path}/x"))
        self.denied(404, "NetworkNotFound", self.call("PUT", path, {"tags": []}, user="other"))
        self.denied(400, "HTTPBadRequest", self.call("PUT", path, {"tags": ["a,b"]}))

    def test_administrators_see_hosts_as_agents(self) -> None:
        self.denied(403, "PolicyNotAuthorized", self.call("GET", f"{V2}/agents"))
        (agent,) = self.items("agents", user="admin")
        self.assertEqual(("host1", True), (agent["host"], agent["alive"]))
        self.assertEqual([], self.items("agents", "host=nowhere", user="admin"))
        self.assertEqual(agent, self.get(f"{V2}/agents/{agent['id']}", user="admin")["agent"])
        self.denied(404, "AgentNotFound", self.call("GET", f"{V2}/agents/{new_id()}", user="admin"))

    def test_agents_come_in_pages_and_in_order(self) -> None:
        for name in ("host2", "host3"):
            a_host(self.means, name)
        found: list[str] = []
        query = "sort_key=host&sort_dir=desc&limit=1"
        while page := self.items("agents", query, user="admin"):
            found.append(page[0]["host"])
            self.assertEqual((1, True), (len(page), len(found) <= 3))
            query = f"sort_key=host&sort_dir=desc&limit=1&marker={page[0]['id']}"
        self.assertEqual(["host3", "host2", "host1"], found)
        self.assertEqual([{"host": "host2"}], self.items("agents", "host=host2&fields=host", user="admin"))
        for query in ("marker=x", "limit=x", "sort_key=x"):
            self.assertEqual(400, self.call("GET", f"{V2}/agents?{query}", user="admin").status_code, query)

    def test_zones_are_listed_for_networks_and_routers(self) -> None:
        found = [(zone["name"], zone["resource"]) for zone in self.items("availability_zones")]
        self.assertEqual([("nova", "network"), ("nova", "router")], found)
