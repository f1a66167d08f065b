# SPDX-License-Identifier: Apache-2.0
"""The stock commands for networks with their options, on the record that is read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase
from zun_lite.domain.names import new_id

# Options of a list, and whether it then shows what is looked for.
Find = tuple[tuple[str, ...], bool]


class NetworkOptionsTest(CommandsTestCase):
    settings = {"network": {"external_cidr": "172.29.79.0/24"}}

    def record(self, kind: str, path: str, *fields: str) -> Any:
        """One field of an object, or a tuple of several."""
        found = self.got(path, cloud="admin")[kind]
        return found[fields[0]] if len(fields) == 1 else tuple(found[field] for field in fields)

    def names(self, *words: str, cloud: str = "demo", column: str = "Name") -> list[str]:
        return sorted(row[column] for row in self.shown(*words, cloud=cloud))

    def check_finds(
        self, name: str, listing: tuple[str, ...], finds: Sequence[Find], *, cloud: str = "demo", column: str = "Name"
    ) -> None:
        """Whether a list shows this one, by the list's options."""
        typed = [[*listing, *options, "-f", "json"] for options, _ in finds]
        for (options, found), done in zip(finds, self.clients.several(typed, cloud=cloud), strict=True):
            with self.subTest(options):
                self.assertEqual(found, name in [row[column] for row in done.json()], done)

    def fails(self, sentence: str, *words: str, cloud: str = "demo") -> None:
        self.fail_all((sentence, words), cloud=cloud)

    def fail_all(self, *refusals: tuple[str, tuple[str, ...]], cloud: str = "demo") -> None:
        """Each command ends with an error that says this."""
        typed = [list(words) for _, words in refusals]
        for (sentence, _), done in zip(refusals, self.clients.several(typed, cloud=cloud), strict=True):
            self.assertIn(sentence, done.stderr)
            self.assertNotEqual(0, done.code, done)

    def subnet(self) -> str:
        return self.got(f"networks/{self.network}")["network"]["subnets"][0]

    @about("network create", "network set", "network show")
    def test_a_network_has_what_its_options_say(self):
        network = ("network", "create")
        made = self.shown(
            *(*network, "full", "--description", "all of it", "--mtu", "1400", "--disable", "--internal", "--no-share"),
            *("--no-default", "--availability-zone-hint", "nova", "--enable-port-security"),
        )
        path = f"networks/{made['id']}"
        fields = ("description", "mtu", "admin_state_up", "availability_zone_hints", "port_security_enabled")
        self.assertEqual(("all of it", 1400, False, ["nova"], True), self.record("network", path, *fields))
        self.say("network", "set", "full", "--name", "fuller", "--description", "more", "--enable")
        self.say("network", "set", "fuller", "--disable-port-security")
        fields = ("name", "description", "admin_state_up", "port_security_enabled")
        self.assertEqual(("fuller", "more", True, False), self.record("network", path, *fields))
        shown = self.shown("network", "show", "fuller")
        self.assertEqual((made["id"], 1400, "ACTIVE"), (shown["id"], shown["mtu"], shown["status"]))
        change = ("network", "set", "fuller")
        self.fail_all(
            ("read-only attribute mtu", (*change, "--mtu", "1300")),
            ("administrator", (*network, "refused", "--share")),
            ("administrator", (*network, "refused", "--external")),
            ("administrator", (*change, "--share")),
            ("administrator", (*change, "--external")),
            ("AvailabilityZone moon", (*network, "refused", "--availability-zone-hint", "moon")),
            ("No Network found for nope", ("network", "show", "nope")),
        )
        self.say("network", "delete", "fuller")

    @about("network create", "network set", "network list")
    def test_administrators_make_networks_of_every_kind_and_all_are_found(self):
        made = self.shown(
            *("network", "create", "chosen", "--share", "--external", "--default", "--project", self.project()),
            *("--provider-network-type", "vxlan", "--provider-segment", "777", "--tag", "red", "--tag", "blue"),
            cloud="admin",
        )
        path = f"networks/{made['id']}"
        fields = ("shared", "router:external", "is_default", "project_id", "provider:segmentation_id")
        self.assertEqual((True, True, True, self.project(), 777), self.record("network", path, *fields))
        self.fails("not supported", "network", "create", "no", "--provider-physical-network", "wire", cloud="admin")
        finds = (
            (("--name", "chosen"), True),
            (("--external",), True),
            (("--internal",), False),
            (("--share",), True),
            (("--no-share",), False),
            (("--enable",), True),
            (("--disable",), False),
            (("--status", "ACTIVE"), True),
            (("--status", "DOWN"), False),
            (("--project", self.project()), True),
            (("--provider-network-type", "vxlan", "--provider-segment", "777"), True),
            (("--provider-network-type", "vlan"), False),
            (("--provider-physical-network", "wire"), False),
            (("--tags", "red,blue"), True),
            (("--any-tags", "red,green"), True),
            (("--not-tags", "red,blue"), False),
            (("--not-any-tags", "green"), True),
        )
        self.check_finds("chosen", ("network", "list"), finds, cloud="admin")
        self.say("network", "set", "chosen", "--no-share", "--internal", "--no-default", cloud="admin")
        self.assertEqual((False, False, False), self.record("network", path, *fields[:3]))
        self.fails("No Agent found", "network", "list", "--agent", new_id(), cloud="admin")
        self.say("network", "delete", "chosen", cloud="admin")

    @about("subnet create", "subnet set", "subnet unset", "subnet list", "subnet show")
    def test_a_subnet_has_what_its_options_say(self):
        network = self.shown("network", "create", "subnetted")["id"]
        route = "destination=10.9.0.0/16,gateway=10.81.0.9"
        made = self.shown(
            *("subnet", "create", "full", "--network", "subnetted", "--subnet-range", "10.81.0.0/24"),
            *("--gateway", "10.81.0.254", "--no-dhcp", "--description", "all of it", "--tag", "red"),
            *("--allocation-pool", "start=10.81.0.10,end=10.81.0.20", "--dns-nameserver", "9.9.9.9"),
            *("--host-route", route, "--ip-version", "4"),
        )
        path = f"subnets/{made['id']}"
        fields = ("gateway_ip", "enable_dhcp", "description", "dns_nameservers", "tags")
        self.assertEqual(
            ("10.81.0.254", False, "all of it", ["9.9.9.9"], ["red"]), self.record("subnet", path, *fields)
        )
        pool, second = ({"start": f"10.81.0.{n}0", "end": f"10.81.0.{n + 1}0"} for n in (1, 3))
        hop = {"destination": "10.9.0.0/16", "nexthop": "10.81.0.9"}
        self.assertEqual(([pool], [hop]), self.record("subnet", path, "allocation_pools", "host_routes"))
        self.say("subnet", "set", "full", "--name", "fuller", "--dhcp", "--gateway", "none", "--description", "more")
        more = ("--allocation-pool", "start=10.81.0.30,end=10.81.0.40")
        self.say("subnet", "set", "fuller", *more, "--dns-nameserver", "9.9.9.10", "--no-host-route")
        fields = ("name", "enable_dhcp", "gateway_ip", "description", "allocation_pools", "host_routes")
        self.assertEqual(("fuller", True, None, "more", [pool, second], []), self.record("subnet", path, *fields))
        self.say("subnet", "unset", "fuller", *more, "--dns-nameserver", "9.9.9.9", "--tag", "red")
        fields = ("allocation_pools", "dns_nameservers", "tags")
        self.assertEqual(([pool], ["9.9.9.10"], []), self.record("subnet", path, *fields))
        self.say("subnet", "set", "fuller", "--no-allocation-pool", *more, "--gateway", "10.81.0.1")
        self.assertEqual(([second], "10.81.0.1"), self.record("subnet", path, "allocation_pools", "gateway_ip"))
        self.assertEqual("10.81.0.0/24", self.shown("subnet", "show", "fuller")["cidr"])
        create = ("subnet", "create", "no", "--network", network, "--subnet-range", "10.82.0.0/24")
        self.fails("service_types", *create, "--service-type", "compute:nova")
        self.fails("overlaps with another subnet", *create[:-1], "10.81.0.128/25")
        finds = (
            (("--network", "subnetted"), True),
            (("--network", "home"), False),
            (("--ip-version", "6"), False),
            (("--dhcp",), True),
            (("--no-dhcp",), False),
            (("--gateway", "10.81.0.1"), True),
            (("--name", "full"), False),
            (("--subnet-range", "10.81.0.0/24"), True),
            (("--project", self.project()), True),
        )
        self.check_finds("fuller", ("subnet", "list"), finds)
        self.say("network", "delete", "subnetted")

    @about("subnet create", "subnet pool create", "subnet pool set", "subnet pool list")
    def test_subnets_of_ipv6_have_modes_and_come_of_the_default_pool(self):
        pool = self.shown(
            *("subnet", "pool", "create", "six", "--pool-prefix", "2001:db8:100::/40", "--share", "--default"),
            *("--min-prefix-length", "48", "--default-prefix-length", "64", "--max-prefix-length", "64"),
            *("--default-quota", "8", "--description", "for all", "--tag", "red"),
            cloud="admin",
        )
        path = f"subnetpools/{pool['id']}"
        fields = ("min_prefixlen", "default_prefixlen", "max_prefixlen", "default_quota", "shared", "is_default")
        self.assertEqual((48, 64, 64, 8, True, True), self.record("subnetpool", path, *fields))
        network = self.shown("network", "create", "sixth")["id"]
        mode = ("--ipv6-address-mode", "slaac", "--ipv6-ra-mode", "slaac")
        of_pool = ("subnet", "create", "six", "--network", "sixth", "--ip-version", "6", "--use-default-subnet-pool")
        made = self.shown(*of_pool, *mode)
        fields = ("subnetpool_id", "ipv6_address_mode", "ipv6_ra_mode", "cidr")
        self.assertEqual(
            (pool["id"], "slaac", "slaac", "2001:db8:100::/64"), self.record("subnet", f"subnets/{made['id']}", *fields)
        )
        self.fails("minimum allowed prefix is 48", *of_pool, "--prefix-length", "44")
        port = self.shown("port", "create", "sixer", "--network", "sixth", "--mac-address", "fa:16:3e:00:00:09")
        self.assertEqual(
            [{"subnet_id": made["id"], "ip_address": "2001:db8:100:0:f816:3eff:fe00:9"}],
            self.record("port", f"ports/{port['id']}", "fixed_ips"),
        )
        wish = ("port", "create", "no", "--network", "sixth", "--fixed-ip", "ip-address=2001:db8:100::9")
        self.fails("automatic addresses", *wish)
        for options, found in (
            (("--default",), ["six"]),
            (("--share", "--name", "six"), ["six"]),
            (("--no-share",), []),
        ):
            self.assertEqual(found, self.names("subnet", "pool", "list", *options))
        self.say("port", "delete", "sixer")
        self.say("network", "delete", network)
        change = ("--name", "sixty", "--no-default", "--max-prefix-length", "80", "--default-quota", "9")
        self.say("subnet", "pool", "set", "six", *change, cloud="admin")
        fields = ("name", "is_default", "max_prefixlen", "default_quota")
        self.assertEqual(("sixty", False, 80, 9), self.record("subnetpool", path, *fields))
        self.say("subnet", "pool", "delete", "sixty", cloud="admin")

    @about("port create", "port set", "port unset", "port show", "port list")
    def test_a_port_has_what_its_options_say(self):
        made = self.shown(
            *("port", "create", "full", "--network", "home", "--description", "all of it", "--disable"),
            *("--fixed-ip", f"subnet={self.subnet()},ip-address=10.60.0.90", "--mac-address", "fa:16:3e:00:00:90"),
            *("--device", "box", "--device-owner", "compute:box", "--vnic-type", "normal", "--no-security-group"),
            *("--tag", "red", "--allowed-address", "ip-address=10.60.0.91,mac-address=fa:16:3e:00:00:91"),
        )
        path = f"ports/{made['id']}"
        fields = (
            "description",
            "admin_state_up",
            "mac_address",
            "device_id",
            "device_owner",
            "security_groups",
            "tags",
        )
        self.assertEqual(
            ("all of it", False, "fa:16:3e:00:00:90", "box", "compute:box", [], ["red"]),
            self.record("port", path, *fields),
        )
        self.assertEqual("10.60.0.90", self.record("port", path, "fixed_ips")[0]["ip_address"])
        self.assertEqual("ACTIVE" if made["binding_host_id"] else "DOWN", self.shown("port", "show", "full")["status"])
        finds = (
            (("--network", "home", "--name", "full"), True),
            (("--device-owner", "compute:box"), True),
            (("--device-id", "crate"), False),
            (("--mac-address", "FA:16:3E:00:00:90"), True),
            (("--fixed-ip", f"subnet={self.subnet()},ip-address=10.60.0.90"), True),
            (("--fixed-ip", "ip-address=10.60.0.91"), False),
            (("--fixed-ip", "ip-substring=60.0.9"), True),
            (("--fixed-ip", "ip-substring=61.0.9"), False),
            (("--security-group", "default"), False),
            (("--status", "DOWN"), True),
            (("--status", "ACTIVE"), False),
            (("--project", self.project()), True),
            (("--tags", "red"), True),
        )
        self.check_finds("full", ("port", "list"), finds)
        self.say("port", "set", "full", "--name", "fuller", "--enable", "--device", "crate")
        self.assertEqual("crate", self.record("port", path, "device_id"))
        self.say("port", "unset", "fuller", "--device", "--device-owner")
        self.say("port", "set", "fuller", "--no-fixed-ip", "--fixed-ip", "ip-address=10.60.0.92", "--description", "")
        fields = ("name", "admin_state_up", "device_id", "device_owner", "description")
        self.assertEqual(("fuller", True, "", "", ""), self.record("port", path, *fields))
        self.assertEqual(["10.60.0.92"], [item["ip_address"] for item in self.record("port", path, "fixed_ips")])
        host = self.shown("network", "agent", "list", cloud="admin")[0]["Host"]
        self.say("port", "set", "fuller", "--host", host, cloud="admin")
        self.assertIn("fuller", self.names("port", "list", "--host", host, cloud="admin"))
        self.say("port", "unset", "fuller", "--host", cloud="admin")
        self.assertEqual("", self.record("port", path, "binding:host_id"))
        change, extension = ("port", "set", "fuller"), "No Extension found for"
        self.fail_all(
            ("read-only attribute mac_address", (*change, "--mac-address", "fa:16:3e:00:00:99")),
            ("binding:vnic_type", (*change, "--vnic-type", "direct")),
            (f"{extension} dns-integration", (*change, "--dns-name", "box")),
            (f"{extension} extra_dhcp_opt", (*change, "--extra-dhcp-option", "name=router,value=1")),
            ("not a valid IP", (*change, "--fixed-ip", "ip-address=10.9.0.9")),
            ("No Network found for nope", ("port", "create", "no", "--network", "nope")),
            ("compute", ("port", "list", "--server", "box")),
        )
        self.fails("binding:profile", *change, "--binding-profile", "key=value", cloud="admin")
        self.say("port", "delete", "fuller")

    @about("router create", "router set", "router unset", "router list")
    def test_a_router_has_what_its_options_say(self):
        made = self.shown(
            *("router", "create", "full", "--disable", "--description", "all of it", "--centralized", "--no-ha"),
            *(
                "--external-gateway",
                "external",
                "--fixed-ip",
                "ip-address=172.29.79.99",
                "--disable-snat",
                "--tag",
                "red",
            ),
            *("--project", self.project()),
            cloud="admin",
        )
        path = f"routers/{made['id']}"
        fields = ("admin_state_up", "description", "tags", "project_id")
        self.assertEqual((False, "all of it", ["red"], self.project()), self.record("router", path, *fields))
        gateway = self.record("router", path, "external_gateway_info")
        self.assertEqual(
            (False, "172.29.79.99"), (gateway["enable_snat"], gateway["external_fixed_ips"][0]["ip_address"])
        )
        route = "destination=10.9.0.0/16,gateway=172.29.79.98"
        self.say("router", "set", "full", "--name", "fuller", "--enable", "--description", "", "--route", route)
        hops = [{"destination": "10.9.0.0/16", "nexthop": "172.29.79.98"}]
        fields = ("name", "admin_state_up", "description", "routes")
        self.assertEqual(("fuller", True, "", hops), self.record("router", path, *fields))
        self.say("router", "unset", "fuller", "--route", route, "--tag", "red")
        self.assertEqual(([], []), self.record("router", path, "routes", "tags"))
        self.say("router", "set", "fuller", "--route", route)
        self.say("router", "set", "fuller", "--no-route")
        self.assertEqual([], self.record("router", path, "routes"))
        finds = (
            (("--name", "fuller"), True),
            (("--disable",), False),
            (("--enable",), True),
            (("--project", self.project()), True),
            (("--not-tags", "red"), True),
        )
        self.check_finds("fuller", ("router", "list"), finds)
        create, outward = ("router", "create", "no"), ("--external-gateway", "external")
        self.fail_all(
            ("distributed", (*create, "--distributed")),
            ("ha", (*create, "--ha")),
            ("administrator", (*create, *outward, "--fixed-ip", "ip-address=172.29.79.9")),
            ("administrator", ("router", "set", "fuller", *outward, "--disable-snat")),
        )
        self.say("router", "delete", "fuller")

    @about("floating ip create", "floating ip set", "floating ip unset", "floating ip list")
    def test_a_floating_ip_has_what_its_options_say(self):
        port = self.shown("port", "create", "float", "--network", "home", "--fixed-ip", "ip-address=10.60.0.80")["id"]
        create = ("floating", "ip", "create", "external")
        self.fails("is not reachable from subnet", *create, "--port", port)
        self.say("router", "create", "floating", "--external-gateway", "external")
        self.say("router", "add", "subnet", "floating", self.subnet())
        router = self.got("routers?name=floating")["routers"][0]["id"]
        made = self.shown(
            *(*create, "--port", "float", "--fixed-ip-address", "10.60.0.80", "--floating-ip-address", "172.29.79.80"),
            *("--description", "all of it", "--tag", "red", "--project", self.project()),
            cloud="admin",
        )
        path, address = f"floatingips/{made['id']}", "172.29.79.80"
        fields = ("port_id", "fixed_ip_address", "floating_ip_address", "description", "tags", "router_id")
        self.assertEqual(
            (port, "10.60.0.80", address, "all of it", ["red"], router), self.record("floatingip", path, *fields)
        )
        finds = (
            (("--network", "external"), True),
            (("--port", "float", "--fixed-ip-address", "10.60.0.80"), True),
            (("--floating-ip-address", address, "--status", "ACTIVE"), True),
            (("--status", "DOWN"), False),
            (("--router", "floating"), True),
            (("--tags", "green"), False),
        )
        self.check_finds(address, ("floating", "ip", "list"), finds, column="Floating IP Address")
        self.say("floating", "ip", "set", address, "--description", "less", "--tag", "blue")
        self.assertEqual(("less", ["blue", "red"]), self.record("floatingip", path, "description", "tags"))
        self.say("floating", "ip", "unset", address, "--port", "--all-tag")
        self.assertEqual((None, "DOWN", []), self.record("floatingip", path, "port_id", "status", "tags"))
        self.say("network", "qos", "policy", "create", "slow", "--share", cloud="admin")
        self.fails("qos_policy_id", *create, "--qos-policy", "slow")
        self.say("network", "qos", "policy", "delete", "slow", cloud="admin")
        self.fails("administrator", *create, "--floating-ip-address", "172.29.79.81")
        self.fails("No Extension found for dns-integration", *create, "--dns-name", "box")
        self.say("floating", "ip", "delete", address)
        self.say("router", "remove", "subnet", "floating", self.subnet())
        self.say("router", "delete", "floating")

    @about("security group create", "security group set", "security group unset", "security group list")
    @about("security group rule create", "security group rule list")
    def test_a_security_group_has_what_its_options_say(self):
        made = self.shown("security", "group", "create", "full", "--stateful", "--tag", "red", "--description", "all")
        path = f"security-groups/{made['id']}"
        self.assertEqual((True, ["red"], "all"), self.record("security_group", path, "stateful", "tags", "description"))
        self.fails("stateful", "security", "group", "create", "no", "--stateless")
        self.say("security", "group", "set", "full", "--description", "less", "--tag", "blue")
        self.say("security", "group", "unset", "full", "--tag", "red")
        self.assertEqual((["blue"], "less"), self.record("security_group", path, "tags", "description"))
        for options, found in ((("--tags", "blue"), ["full"]), (("--tags", "red"), [])):
            self.assertEqual(found, self.names("security", "group", "list", *options))
        rule = ("security", "group", "rule")
        fields = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "description")
        for options, wanted in (
            (
                ("--protocol", "icmp", "--icmp-type", "8", "--icmp-code", "0", "--description", "ping"),
                ("ingress", "IPv4", "icmp", 8, 0, "ping"),
            ),
            (
                ("--egress", "--ethertype", "IPv6", "--protocol", "udp", "--dst-port", "5000:5010"),
                ("egress", "IPv6", "udp", 5000, 5010, ""),
            ),
            (("--ingress", "--protocol", "any", "--remote-group", "full"), ("ingress", "IPv4", None, None, None, "")),
        ):
            made = self.shown(*rule, "create", "full", *options)
            self.assertEqual(wanted, self.record("security_group_rule", f"security-group-rules/{made['id']}", *fields))
        for options, count in ((("--ingress",), 2), (("--egress",), 3), (("--protocol", "udp"), 1)):
            self.assertEqual(count, len(self.shown(*rule, "list", "full", *options)), options)
        self.fails("There is nothing at", *rule, "create", "full", "--remote-address-group", "some")
        self.say("security", "group", "delete", "full")

    @about("security group rule list", fault="`--ethertype` is not sent")
    def test_rules_of_an_ip_version_are_found_by_those_who_ask(self):
        made = self.shown("security", "group", "create", "versioned")["id"]
        listed = self.shown("security", "group", "rule", "list", "versioned", "--ethertype", "IPv6")
        self.assertEqual(2, len(listed))
        found = self.got(f"security-group-rules?security_group_id={made}&ethertype=IPv6")["security_group_rules"]
        self.assertEqual(["IPv6"], [rule["ethertype"] for rule in found])
        self.say("security", "group", "delete", "versioned")

    @about("quota set", "quota show", "quota list", "extension show")
    def test_every_quota_is_set_and_shown(self):
        wanted = {
            "networks": 11, "subnets": 12, "ports": 13, "routers": 14, "floating-ips": 15, "secgroups": 16,
            "secgroup-rules": 17, "subnetpools": 18, "rbac-policies": 19,
        }  # fmt: skip
        options = [word for name, most in wanted.items() for word in (f"--{name}", str(most))]
        self.say("quota", "set", "--no-force", *options, self.project(), cloud="admin")
        quota = self.got(f"quotas/{self.project()}", cloud="admin")["quota"]
        self.assertEqual(sorted(wanted.values()), sorted(most for most in quota.values() if 10 < most < 20))
        shown = {row["Resource"]: row["Limit"] for row in self.shown("quota", "show", "--network")}
        self.assertEqual((11, 17), (shown["networks"], shown["security_group_rules"]))
        (listed,) = self.shown("quota", "list", "--network", cloud="admin")
        self.assertEqual((self.project(), 15), (listed["Project ID"], listed["Floating IPs"]))
        self.say("quota", "delete", "--network", self.project(), cloud="admin")
        self.assertEqual("router", self.shown("extension", "show", "router")["alias"])
        self.fails("No Extension found for nope", "extension", "show", "nope")
