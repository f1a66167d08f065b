# SPDX-License-Identifier: Apache-2.0
"""The stock commands of tenant networks: security groups, routers, floating IPs, and what is around them."""

from __future__ import annotations

from tests.functional.commands import about
from tests.functional.commands_case import V2, CommandsTestCase


class TenantNetworkCommandsTest(CommandsTestCase):
    settings = {"network": {"external_cidr": "172.29.78.0/24"}}

    @about("security group create", "security group set", "security group list", "security group show")
    @about("security group delete")
    def test_makes_changes_lists_and_deletes_groups(self):
        made = self.shown("security", "group", "create", "made", "--description", "by hand")
        self.say("security", "group", "set", "made", "--name", "renamed")
        group = self.got(f"security-groups/{made['id']}")["security_group"]
        self.assertEqual(("renamed", "by hand"), (group["name"], group["description"]))
        listed = [row["Name"] for row in self.shown("security", "group", "list")]
        self.assertIn("renamed", listed)
        self.assertIn("default", listed)
        self.assertEqual(made["id"], self.shown("security", "group", "show", "renamed")["id"])
        self.say("security", "group", "delete", "renamed")
        self.assertEqual(404, self.status_of(f"{V2}/security-groups/{made['id']}"))
        said = self.say("security", "group", "delete", "default", check=False)
        self.assertIn("default security group", said)

    @about("security group rule create", "security group rule list", "security group rule show")
    @about("security group rule delete")
    def test_makes_lists_and_deletes_rules(self):
        group = self.shown("security", "group", "create", "ruled")["id"]
        rule = ("security", "group", "rule")
        made = self.shown(
            *rule, "create", "ruled", "--protocol", "tcp", "--dst-port", "80:90", "--remote-ip", "10.0.0.0/8"
        )
        record = self.got(f"security-group-rules/{made['id']}")["security_group_rule"]
        self.assertEqual(
            ("ingress", "tcp", 80, 90, "10.0.0.0/8"),
            tuple(
                record[key] for key in ("direction", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")
            ),
        )
        said = self.say(
            *rule,
            "create",
            "ruled",
            "--protocol",
            "tcp",
            "--dst-port",
            "80:90",
            "--remote-ip",
            "10.0.0.0/8",
            check=False,
        )
        self.assertIn("already exists", said)
        self.say(*rule, "create", "ruled", "--protocol", "icmp", "--remote-group", "ruled")
        self.say(*rule, "create", "ruled", "--ethertype", "IPv6", "--egress", "--protocol", "udp", "--dst-port", "53")
        self.assertEqual(5, len(self.shown(*rule, "list", "ruled")))
        self.assertEqual(made["id"], self.shown(*rule, "show", made["id"])["id"])
        self.say(*rule, "delete", made["id"])
        self.assertEqual(4, len(self.got(f"security-group-rules?security_group_id={group}")["security_group_rules"]))

    @about("router create", "router set", "router add subnet", "router show", "router add route", "router remove route")
    @about(
        "router unset", "router remove subnet", "router list", "router delete", "router add port", "router remove port"
    )
    def test_a_router_joins_networks_and_leads_out(self):
        self.cloud.make_network("10.64.0.0/24", name="routed")
        (subnet,) = [row["ID"] for row in self.shown("subnet", "list", "--network", "routed")]
        made = self.shown("router", "create", "leader")
        path = f"routers/{made['id']}"
        self.say("router", "set", "leader", "--external-gateway", "external", "--description", "out")
        self.say("router", "add", "subnet", "leader", subnet)
        router = self.got(path)["router"]
        self.assertEqual("out", router["description"])
        (fixed,) = router["external_gateway_info"]["external_fixed_ips"]
        self.assertTrue(fixed["ip_address"].startswith("172.29.78."))
        shown = self.shown("router", "show", "leader")
        self.assertEqual(subnet, shown["interfaces_info"][0]["subnet_id"])
        self.say("router", "add", "route", "leader", "--route", "destination=10.200.0.0/16,gateway=10.64.0.9")
        self.assertEqual([{"destination": "10.200.0.0/16", "nexthop": "10.64.0.9"}], self.got(path)["router"]["routes"])
        self.say("router", "remove", "route", "leader", "--route", "destination=10.200.0.0/16,gateway=10.64.0.9")
        self.assertEqual([], self.got(path)["router"]["routes"])
        self.assertIn("leader", [row["Name"] for row in self.shown("router", "list")])

        self.cloud.make_network("10.65.0.0/24", name="joined")
        port = self.shown("port", "create", "leg", "--network", "joined")["id"]
        self.say("router", "add", "port", "leader", port)
        self.assertEqual(made["id"], self.got(f"ports/{port}")["port"]["device_id"])
        self.say("router", "remove", "port", "leader", port)
        self.assertIn("still has ports", self.say("router", "delete", "leader", check=False))
        self.say("router", "remove", "subnet", "leader", subnet)
        self.say("router", "unset", "leader", "--external-gateway")
        self.assertIsNone(self.got(path)["router"]["external_gateway_info"])
        self.say("router", "delete", "leader")
        self.assertEqual(404, self.status_of(f"{V2}/{path}"))

    @about("floating ip create", "floating ip set", "floating ip show", "floating ip list", "floating ip unset")
    @about("floating ip delete", "appcontainer add floating ip", "appcontainer remove floating ip")
    def test_a_floating_ip_is_taken_given_to_a_container_and_given_back(self):
        self.cloud.make_network("10.66.0.0/24", name="floated")
        (subnet,) = [row["ID"] for row in self.shown("subnet", "list", "--network", "floated")]
        self.say("router", "create", "floating", "--external-gateway", "external")
        self.say("router", "add", "subnet", "floating", subnet)
        uuid = self.running("floated", nets=[{"network": "floated"}])["uuid"]
        (port,) = self.ports_of(uuid)
        made = self.shown("floating", "ip", "create", "external", "--description", "mine")
        address, path = made["floating_ip_address"], f"floatingips/{made['id']}"
        self.say("floating", "ip", "set", address, "--port", port["id"])
        record = self.got(path)["floatingip"]
        self.assertEqual((port["id"], "ACTIVE"), (record["port_id"], record["status"]))
        self.assertEqual(made["id"], self.shown("floating", "ip", "show", address)["id"])
        self.assertIn(address, [row["Floating IP Address"] for row in self.shown("floating", "ip", "list")])
        self.say("floating", "ip", "unset", "--port", address)
        self.assertIsNone(self.got(path)["floatingip"]["port_id"])
        self.say("appcontainer", "add", "floating", "ip", "floated", address)
        self.assertEqual(port["id"], self.got(path)["floatingip"]["port_id"])
        self.say("appcontainer", "remove", "floating", "ip", address)
        self.assertIsNone(self.got(path)["floatingip"]["port_id"])
        self.say("floating", "ip", "delete", address)
        self.assertEqual(404, self.status_of(f"{V2}/{path}"))

    @about("port create", "port set", "port unset", "port delete")
    def test_a_port_has_groups_and_addresses_beside_its_own(self):
        group = self.shown("security", "group", "create", "porty")["id"]
        made = self.shown(
            *("port", "create", "porter", "--network", "home", "--security-group", "porty"),
            *("--allowed-address", "ip-address=10.60.0.200"),
        )
        path = f"ports/{made['id']}"
        record = self.got(path)["port"]
        self.assertEqual([group], record["security_groups"])
        self.assertEqual("10.60.0.200", record["allowed_address_pairs"][0]["ip_address"])
        self.say("port", "set", "porter", "--security-group", "default")
        self.assertEqual(2, len(self.got(path)["port"]["security_groups"]))
        self.say("port", "unset", "porter", "--security-group", "porty")
        self.assertEqual(1, len(self.got(path)["port"]["security_groups"]))
        self.say("port", "set", "porter", "--no-security-group", "--no-allowed-address")
        self.say("port", "set", "porter", "--disable-port-security")
        record = self.got(path)["port"]
        self.assertEqual((False, []), (record["port_security_enabled"], record["security_groups"]))
        self.say("port", "delete", "porter")
        self.assertEqual(404, self.status_of(f"{V2}/{path}"))

    @about("network create", "network set", "network unset", "network delete")
    def test_networks_have_tags(self):
        made = self.shown("network", "create", "tagged", "--tag", "red", "--disable-port-security")
        path = f"networks/{made['id']}"
        record = self.got(path)["network"]
        self.assertEqual((["red"], False), (record["tags"], record["port_security_enabled"]))
        self.say("network", "set", "tagged", "--tag", "blue")
        self.assertEqual(["blue", "red"], self.got(path)["network"]["tags"])
        self.assertEqual(["tagged"], [row["Name"] for row in self.shown("network", "list", "--tags", "blue,red")])
        self.say("network", "unset", "tagged", "--tag", "red")
        self.assertEqual(["blue"], self.got(path)["network"]["tags"])
        self.say("network", "delete", "tagged")
        self.assertEqual(404, self.status_of(f"{V2}/{path}"))

    @about("network agent list", "network agent show", "availability zone list", "extension list")
    def test_hosts_zones_and_extensions_are_listed(self):
        (agent,) = self.shown("network", "agent", "list", cloud="admin")
        self.assertEqual((True, "zun-lite-netd"), (agent["Alive"], agent["Binary"]))
        self.assertEqual(agent["Host"], self.shown("network", "agent", "show", agent["ID"], cloud="admin")["host"])
        zones = self.shown("availability", "zone", "list", "--network")
        self.assertEqual({"nova"}, {zone["Zone Name"] for zone in zones})
        aliases = [row["Alias"] for row in self.shown("extension", "list", "--network")]
        self.assertIn("security-group", aliases)

    @about("quota show", "quota set", "quota delete")
    def test_quotas_of_networks_are_shown_set_and_reset(self):
        project = self.got("networks?name=home")["networks"][0]["project_id"]
        self.say("quota", "set", "--routers", "7", "--floating-ips", "3", project, cloud="admin")
        quota = self.got(f"quotas/{project}")["quota"]
        self.assertEqual((7, 3), (quota["router"], quota["floatingip"]))
        shown = {
            row["Resource"]: row["Limit"] for row in self.shown("quota", "show", "--network", project, cloud="admin")
        }
        self.assertEqual(7, shown["routers"])
        self.say("quota", "delete", "--network", project, cloud="admin")
        self.assertEqual(10, self.got(f"quotas/{project}")["quota"]["router"])

    @about("network qos policy create", "network qos policy set", "network qos policy list", "network qos policy show")
    @about("network qos policy delete", "network qos rule create", "network qos rule list", "network qos rule show")
    @about(
        "network qos rule set", "network qos rule delete", "network qos rule type list", "network qos rule type show"
    )
    def test_policies_limit_ports_and_networks(self):
        policy, rule = ("network", "qos", "policy"), ("network", "qos", "rule")
        made = self.shown(*policy, "create", "slow", "--share", cloud="admin")["id"]
        self.say(*policy, "set", "slow", "--description", "for many", cloud="admin")
        limit = self.shown(
            *(*rule, "create", "slow", "--type", "bandwidth-limit", "--max-kbps", "2000"),
            *("--max-burst-kbits", "100", "--ingress"),
            cloud="admin",
        )["id"]
        self.say(*rule, "set", "slow", limit, "--max-kbps", "3000", cloud="admin")
        (record,) = self.got(f"qos/policies/{made}")["policy"]["rules"]
        self.assertEqual((3000, 100, "ingress"), tuple(record[k] for k in ("max_kbps", "max_burst_kbps", "direction")))
        self.assertEqual(["slow"], [row["Name"] for row in self.shown(*policy, "list")])
        self.assertEqual("for many", self.shown(*policy, "show", "slow")["description"])
        self.assertEqual([limit], [row["ID"] for row in self.shown(*rule, "list", "slow")])
        self.assertEqual(3000, self.shown(*rule, "show", "slow", limit)["max_kbps"])
        self.assertEqual(["bandwidth_limit"], [row["Type"] for row in self.shown(*rule, "type", "list")])
        self.assertIn("zun-lite-netd", self.say(*rule, "type", "show", "bandwidth_limit", cloud="admin"))

        port = self.shown("port", "create", "limited", "--network", "home", "--qos-policy", "slow")["id"]
        self.assertEqual(made, self.got(f"ports/{port}")["port"]["qos_policy_id"])
        self.assertIn("is used by", self.say(*policy, "delete", "slow", cloud="admin", check=False))
        self.say("port", "unset", "limited", "--qos-policy")
        self.say("port", "set", "limited", "--qos-policy", "slow")
        self.assertEqual(made, self.got(f"ports/{port}")["port"]["qos_policy_id"])
        self.say("port", "delete", "limited")
        self.say("network", "set", "home", "--qos-policy", "slow")
        self.assertEqual(made, self.got(f"networks/{self.network}")["network"]["qos_policy_id"])
        self.say("network", "set", "home", "--no-qos-policy")
        self.say(*rule, "delete", "slow", limit, cloud="admin")
        self.say(*policy, "delete", "slow", cloud="admin")
        self.assertEqual(404, self.status_of(f"{V2}/qos/policies/{made}"))

    @about("subnet pool create", "subnet pool set", "subnet pool unset", "subnet pool list", "subnet pool show")
    @about("subnet pool delete", "subnet create", "subnet set", "subnet unset", "subnet show", "subnet list")
    @about("subnet delete")
    def test_subnets_are_taken_of_a_pool(self):
        pool = ("subnet", "pool")
        made = self.shown(*pool, "create", "plenty", "--pool-prefix", "10.70.0.0/16", "--default-prefix-length", "26")
        self.say(*pool, "set", "plenty", "--pool-prefix", "10.71.0.0/16", "--tag", "wide")
        record = self.got(f"subnetpools/{made['id']}")["subnetpool"]
        self.assertEqual((["10.70.0.0/15"], ["wide"]), (record["prefixes"], record["tags"]))
        self.say(*pool, "unset", "plenty", "--tag", "wide")
        self.assertEqual(["plenty"], [row["Name"] for row in self.shown(*pool, "list")])
        self.assertEqual(made["id"], self.shown(*pool, "show", "plenty")["id"])
        network = self.shown("network", "create", "pooled")["id"]
        taken = ("--network", "pooled", "--subnet-pool", "plenty")
        first = self.shown("subnet", "create", "one", *taken)
        second = self.shown("subnet", "create", "two", *taken, "--prefix-length", "28")
        self.assertEqual(["10.70.0.0/26", "10.70.0.64/28"], [first["cidr"], second["cidr"]])
        self.assertIn("existing allocations", self.say(*pool, "delete", "plenty", check=False))
        self.say("subnet", "set", "one", "--dns-nameserver", "10.70.0.53", "--description", "first")
        self.assertEqual(["10.70.0.53"], self.got(f"subnets/{first['id']}")["subnet"]["dns_nameservers"])
        self.say("subnet", "unset", "one", "--dns-nameserver", "10.70.0.53")
        self.assertEqual([], self.shown("subnet", "show", "one")["dns_nameservers"])
        listed = [row["Name"] for row in self.shown("subnet", "list", "--network", "pooled")]
        self.assertEqual(["one", "two"], sorted(listed))
        self.say("subnet", "delete", "one", "two")
        self.say(*pool, "delete", "plenty")
        self.say("network", "delete", "pooled")
        self.assertEqual(404, self.status_of(f"{V2}/networks/{network}"))
