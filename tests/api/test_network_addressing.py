# SPDX-License-Identifier: Apache-2.0
"""Where ports' addresses come from: automatic subnets, pools and gateways that change, and what a segment may be."""

from __future__ import annotations

import ipaddress
from typing import Any

from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import NetworkRequest
from zun_lite.network.embedded import EmbeddedNetworks

AUTOMATIC = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}


class AutomaticSubnetsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network, self.four = self.a_network()
        self.six = self.a_subnet("fd00:1::/64", **AUTOMATIC)["id"]

    def a_subnet(self, block: str, **fields: Any) -> dict[str, Any]:
        return self.make("subnet", network_id=self.network, cidr=block, ip_version=6, **fields)

    def port(self, **fields: Any) -> dict[str, str]:
        """The addresses of a new port with a known MAC, by subnet."""
        return self.addresses(self.make("port", network_id=self.network, mac_address="fa:16:3e:aa:bb:cc", **fields))

    def addresses(self, port: dict[str, Any]) -> dict[str, str]:
        return {address["subnet_id"]: address["ip_address"] for address in port["fixed_ips"]}

    def test_a_ports_address_follows_from_its_mac_whatever_else_it_asks_for(self) -> None:
        own = "fd00:1::f816:3eff:feaa:bbcc"
        for fields, four in (
            ({}, "10.0.0.2"),
            ({"fixed_ips": [{"subnet_id": self.four}]}, "10.0.0.2"),
            ({"fixed_ips": [{"ip_address": "10.0.0.9"}, {"subnet_id": self.six}]}, "10.0.0.9"),
            ({"fixed_ips": [{"ip_address": own}, {"subnet_id": self.four}]}, "10.0.0.2"),
            ({"fixed_ips": []}, None),
        ):
            with self.subTest(fields):
                given = self.port(**fields)
                self.assertEqual((own, four), (given[self.six], given.get(self.four)))
                (port,) = self.items("ports", "mac_address=fa:16:3e:aa:bb:cc")
                self.call("DELETE", f"{V2}/ports/{port['id']}")

    def test_no_other_address_of_such_a_subnet_can_be_had(self) -> None:
        answer = self.post("port", network_id=self.network, fixed_ips=[{"ip_address": "fd00:1::9"}])
        self.denied(400, "AllocationOnAutoAddressSubnet", answer, "fd00:1::9", self.six, "automatic addresses")
        made = self.make("port", network_id=self.network)
        put = {"port": {"fixed_ips": [{"subnet_id": self.six, "ip_address": "fd00:1::9"}]}}
        answer = self.call("PUT", f"{V2}/ports/{made['id']}", put)
        self.denied(400, "AllocationOnAutoAddressSubnet", answer)
        self.assertEqual(made, self.get(f"{V2}/ports/{made['id']}")["port"])

    def test_a_port_keeps_it_when_its_others_change(self) -> None:
        made = self.make("port", network_id=self.network)
        path = f"{V2}/ports/{made['id']}"
        for wish, four in (([{"ip_address": "10.0.0.9"}], "10.0.0.9"), ([], None)):
            changed = self.call("PUT", path, {"port": {"fixed_ips": wish}}).json["port"]
            self.assertEqual(self.addresses(made)[self.six], self.addresses(changed)[self.six])
            self.assertEqual(four, self.addresses(changed).get(self.four))

    def test_each_automatic_subnet_gives_one_and_stateful_ones_one_together(self) -> None:
        second = self.a_subnet("fd00:2::/64", ipv6_address_mode="dhcpv6-stateless")
        self.assertEqual(("dhcpv6-stateless", None), (second["ipv6_address_mode"], second["ipv6_ra_mode"]))
        stateful = self.a_subnet("fd00:3::/64", ipv6_address_mode="dhcpv6-stateful")["id"]
        self.a_subnet("fd00:4::/64")
        given = self.port()
        self.assertEqual({self.four, self.six, second["id"], stateful}, set(given))
        self.assertEqual(("fd00:2::f816:3eff:feaa:bbcc", "fd00:3::2"), (given[second["id"]], given[stateful]))

    def test_a_containers_port_has_it_too_and_a_routers_leg_the_gateways(self) -> None:
        provider = EmbeddedNetworks(self.db)
        project = self.items("networks")[0]["project_id"]
        for fixed in ((), ("10.0.0.77",)):
            request = NetworkRequest(self.network, fixed_ips=fixed)
            endpoint = provider.provide(new_id(), project, self.host.uuid, 0, request)
            four, six = (ipaddress.ip_address(address.ip) for address in endpoint.addresses)
            self.assertEqual((4, "fd00:1::/64"), (four.version, str(ipaddress.ip_network(f"{six}/64", strict=False))))
            self.assertEqual(fixed or (str(four),), (str(four),))
            self.assertIn("ff:fe", six.exploded)
        router = self.make("router")["id"]
        leg = self.call("PUT", f"{V2}/routers/{router}/add_router_interface", {"subnet_id": self.six}).json
        self.assertEqual({self.six: "fd00:1::1"}, self.addresses(self.get(f"{V2}/ports/{leg['port_id']}")["port"]))

    def test_modes_that_cannot_be_are_refused_with_the_reason(self) -> None:
        def subnet(**fields: Any) -> testing.Result:
            values = {"network_id": self.network, "cidr": "fd00:9::/64", "ip_version": 6, **fields}
            return self.post("subnet", **values)

        for fields, word in (
            ({**AUTOMATIC, "cidr": "fd00:9::/80"}, "requires the prefix to be /64"),
            ({**AUTOMATIC, "enable_dhcp": False}, "enable_dhcp is set to False"),
            ({"ipv6_address_mode": "slaac", "ipv6_ra_mode": "dhcpv6-stateful"}, "must be the same"),
            ({**AUTOMATIC, "cidr": "10.9.0.0/24", "ip_version": 4}, "version 6 only"),
        ):
            self.denied(400, "InvalidInput", subnet(**fields), word)
        self.assertEqual(201, subnet(ipv6_address_mode="dhcpv6-stateful", cidr="fd00:9::/80").status_code)
        put = {"subnet": {"enable_dhcp": False}}
        self.denied(400, "InvalidInput", self.call("PUT", f"{V2}/subnets/{self.six}", put), "enable_dhcp")
        put = {"subnet": {"ipv6_ra_mode": "slaac"}}
        self.denied(400, "HTTPBadRequest", self.call("PUT", f"{V2}/subnets/{self.six}", put), "read-only")


class ChangingSubnetsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network, self.subnet = self.a_network()
        self.path = f"{V2}/subnets/{self.subnet}"

    def change(self, **fields: Any) -> testing.Result:
        return self.call("PUT", self.path, {"subnet": fields})

    def test_new_pools_are_what_addresses_come_from(self) -> None:
        old = self.make("port", network_id=self.network)
        pools = [{"start": "10.0.0.100", "end": "10.0.0.101"}, {"start": "10.0.0.50", "end": "10.0.0.50"}]
        changed = self.change(allocation_pools=pools).json["subnet"]
        self.assertEqual(pools[::-1], changed["allocation_pools"])
        given = [self.make("port", network_id=self.network)["fixed_ips"][0]["ip_address"] for _ in range(3)]
        self.assertEqual(["10.0.0.50", "10.0.0.100", "10.0.0.101"], given)
        self.denied(409, "IpAddressGenerationFailure", self.post("port", network_id=self.network))
        self.assertEqual(old["fixed_ips"], self.get(f"{V2}/ports/{old['id']}")["port"]["fixed_ips"])
        self.change(allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.254"}])
        self.assertEqual("10.0.0.3", self.make("port", network_id=self.network)["fixed_ips"][0]["ip_address"])

    def test_pools_that_cannot_be_are_refused_and_change_nothing(self) -> None:
        before = self.get(self.path)
        for status, kind, fields in (
            (400, "OutOfBoundsAllocationPool", {"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.1.9"}]}),
            (
                409,
                "GatewayConflictWithAllocationPools",
                {"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]},
            ),
            (409, "GatewayConflictWithAllocationPools", {"gateway_ip": "10.0.0.9"}),
            (
                409,
                "OverlappingAllocationPools",
                {"allocation_pools": [{"start": f"10.0.0.{first}", "end": "10.0.0.9"} for first in (2, 5)]},
            ),
        ):
            self.denied(status, kind, self.change(**fields))
        self.assertEqual(before, self.get(self.path))
        both = {"gateway_ip": "10.0.0.254", "allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.253"}]}
        self.assertEqual(both, {key: self.change(**both).json["subnet"][key] for key in both})

    def test_a_gateway_that_a_router_has_stays(self) -> None:
        router = self.make("router")["id"]
        leg = self.call("PUT", f"{V2}/routers/{router}/add_router_interface", {"subnet_id": self.subnet}).json
        self.change(allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.20"}])
        for wished in (None, "10.0.0.2"):
            self.denied(409, "GatewayIpInUse", self.change(gateway_ip=wished), "10.0.0.1", leg["port_id"])
        self.assertEqual(200, self.change(gateway_ip="10.0.0.1", name="same").status_code)
        self.call("PUT", f"{V2}/routers/{router}/remove_router_interface", {"subnet_id": self.subnet})
        self.assertEqual("10.0.0.2", self.change(gateway_ip="10.0.0.2").json["subnet"]["gateway_ip"])


class SegmentsTest(NetworkApiTestCase):
    def test_an_administrator_chooses_a_segment_that_nobody_has(self) -> None:
        chosen = {"provider:network_type": "vxlan", "provider:segmentation_id": "4242"}
        made = self.make("network", "admin", **chosen)
        self.assertEqual((4242, "vxlan"), (made["provider:segmentation_id"], made["provider:network_type"]))
        self.denied(409, "TunnelIdInUse", self.post("network", "admin", **chosen), "4242")
        for field, value in chosen.items():
            self.denied(403, "PolicyNotAuthorized", self.post("network", **{field: value}), field)

    def test_a_segment_that_was_chosen_is_not_given_to_another(self) -> None:
        segment = "provider:segmentation_id"
        last = self.make("network", "admin")[segment]
        self.make("network", "admin", **{segment: last + 1})
        self.assertEqual([last + 2, last + 3], [self.make("network", "admin")[segment] for _ in range(2)])

    def test_networks_are_found_by_what_they_are(self) -> None:
        made = self.make("network")["id"]
        for query, found in (
            ("provider:network_type=vxlan", [made]),
            ("provider:network_type=vlan", []),
            ("provider:network_type=vlan&provider:network_type=vxlan", [made]),
            ("provider:physical_network=wire", []),
            ("status=ACTIVE", [made]),
            ("status=DOWN", []),
        ):
            self.assertEqual(found, self.ids("networks", query, user="admin"), query)

    def test_zones_that_are_there_may_be_wished_for(self) -> None:
        made = self.make("network", availability_zone_hints=["nova"])
        self.assertEqual(["nova"], made["availability_zone_hints"])
        self.assertEqual([], self.make("network")["availability_zone_hints"])
        answer = self.post("network", availability_zone_hints=["nova", "moon"])
        self.denied(404, "AvailabilityZoneNotFound", answer, "moon")
        self.denied(400, "HTTPBadRequest", self.post("network", availability_zone_hints="nova"), "not a list")
