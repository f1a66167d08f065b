# SPDX-License-Identifier: Apache-2.0
"""Networks, subnets, ports and their addresses in SQL."""

from __future__ import annotations

import ipaddress
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import sqlalchemy as sa

from tests.databases import DatabaseTestCase, on_every_database
from tests.db.network_case import OTHER, PROJECT, NetworkTestCase
from zun_lite.db import listing, networks, ports, subnets
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network import cidr, groups
from zun_lite.network.ports import Wanted, change_port, create_port, delete_port
from zun_lite.network.topology import change_subnet, delete_network, delete_subnet


@on_every_database
class AddressTest(NetworkTestCase):
    def test_ports_get_the_lowest_free_addresses_after_the_gateway(self) -> None:
        network = self.network()
        self.subnet(network)
        made = [self.port(network).addresses[0].ip for _ in range(3)]
        self.assertEqual(["10.0.0.2", "10.0.0.3", "10.0.0.4"], made)

    def test_an_address_given_back_is_the_next_one_given(self) -> None:
        network = self.network()
        self.subnet(network)
        made = [self.port(network) for _ in range(5)]
        self.db.transact(lambda tx: delete_port(tx, made[1]))
        self.db.transact(lambda tx: delete_port(tx, made[3]))
        self.assertEqual(["10.0.0.3", "10.0.0.5", "10.0.0.7"], [self.port(network).addresses[0].ip for _ in range(3)])

    def test_addresses_named_by_users_are_stepped_over(self) -> None:
        network = self.network()
        self.subnet(network)
        for ip in ("10.0.0.2", "10.0.0.3", "10.0.0.5"):
            self.port(network, Wanted(ip_address=ip))
        self.assertEqual(["10.0.0.4", "10.0.0.6"], [self.port(network).addresses[0].ip for _ in range(2)])

    def test_any_mix_of_taking_and_giving_back_finds_the_lowest_free_address(self) -> None:
        network = self.network()
        self.subnet(network, "10.0.0.0/27", pools=[("10.0.0.4", "10.0.0.9"), ("10.0.0.20", "10.0.0.25")])
        pool = [f"10.0.0.{number}" for number in (*range(4, 10), *range(20, 26))]
        held: dict[str, ports.Port] = {}
        chance = random.Random(7)
        for _ in range(80):
            if held and (len(held) == len(pool) or chance.random() < 0.45):
                ip = chance.choice(sorted(held))
                port = held.pop(ip)
                self.db.transact(lambda tx, port=port: delete_port(tx, port))
            else:
                port = self.port(network)
                self.assertEqual(next(ip for ip in pool if ip not in held), port.addresses[0].ip)
                held[port.addresses[0].ip] = port

    def test_64_callers_at_once_share_61_addresses_without_a_double(self) -> None:
        network = self.network()
        self.subnet(network, "10.0.0.0/26")
        starting = threading.Barrier(64)

        def take(number: int) -> str:
            starting.wait(30)
            try:
                return self.port(network).addresses[0].ip
            except errors.Conflict as error:
                return error.kind

        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(take, range(64)))
        given = [answer for answer in answers if answer.startswith("10.")]
        self.assertEqual(3, answers.count("IpAddressGenerationFailure"))
        self.assertEqual(61, len(set(given)))
        self.assertEqual(61, len(given))

    def test_64_callers_some_of_whom_name_addresses_get_no_address_twice(self) -> None:
        network = self.network()
        self.subnet(network, "10.0.0.0/26")
        starting = threading.Barrier(64)

        def take(number: int) -> str:
            wanted = [Wanted(ip_address=f"10.0.0.{2 + number // 2}")] if number % 2 else []
            starting.wait(30)
            try:
                return self.port(network, *wanted).addresses[0].ip
            except errors.Conflict as error:
                return error.kind

        with ThreadPoolExecutor(64) as threads:
            answers = list(threads.map(take, range(64)))
        given = [answer for answer in answers if answer.startswith("10.")]
        self.assertEqual(len(set(given)), len(given))
        self.assertGreaterEqual(len(given), 32)
        self.assertLessEqual(set(answers) - set(given), {"IpAddressInUse", "IpAddressGenerationFailure"})

    def test_callers_that_want_the_same_address_at_once_do_not_both_get_it(self) -> None:
        network = self.network()
        self.subnet(network)
        starting = threading.Barrier(8)

        def take(number: int) -> str:
            starting.wait(30)
            try:
                return self.port(network, Wanted(ip_address="10.0.0.9")).addresses[0].ip
            except errors.Conflict as error:
                return error.kind

        with ThreadPoolExecutor(8) as threads:
            answers = sorted(threads.map(take, range(8)))
        self.assertEqual(["10.0.0.9"] + ["IpAddressInUse"] * 7, answers)

    def test_a_huge_subnet_is_no_harder_than_a_small_one(self) -> None:
        network = self.network()
        self.subnet(network, "10.0.0.0/8")
        self.assertEqual("10.0.0.2", self.port(network).addresses[0].ip)

    def test_subnets_of_two_and_of_one_address_work(self) -> None:
        pair, single = self.network(), self.network()
        self.assertEqual("10.0.0.0", self.subnet(pair, "10.0.0.0/31").gateway_ip)
        self.assertEqual("10.0.0.1", self.port(pair).addresses[0].ip)
        self.refused("IpAddressGenerationFailure", lambda: self.port(pair))
        self.assertIsNone(self.subnet(single, "10.0.0.7/32").gateway_ip)
        self.assertEqual("10.0.0.7", self.port(single).addresses[0].ip)

    def test_a_network_of_both_versions_gives_one_address_of_each(self) -> None:
        network = self.network()
        self.subnet(network)
        self.subnet(network, "2001:db8::/64")
        self.assertEqual(["10.0.0.2", "2001:db8::2"], [address.ip for address in self.port(network).addresses])

    def test_a_second_subnet_serves_when_the_first_is_full(self) -> None:
        network = self.network()
        self.subnet(network, "10.0.0.0/30")
        self.subnet(network, "10.0.1.0/24")
        self.assertEqual(["10.0.0.2", "10.0.1.2"], [self.port(network).addresses[0].ip for _ in range(2)])

    def test_what_cannot_be_had_is_refused_by_name(self) -> None:
        network = self.network()
        subnet = self.subnet(network)
        self.port(network, Wanted(ip_address="10.0.0.9"))
        self.refused("IpAddressInUse", lambda: self.port(network, Wanted(ip_address="10.0.0.9")))
        self.refused("InvalidIpForNetwork", lambda: self.port(network, Wanted(ip_address="10.0.9.1")))
        self.refused("InvalidIpForSubnet", lambda: self.port(network, Wanted(subnet.uuid, "10.0.9.1")))
        self.refused("InvalidIpForSubnet", lambda: self.port(network, Wanted(subnet.uuid, "10.0.0.255")))
        self.refused("InvalidInput", lambda: self.port(network, Wanted(new_id())))
        self.refused("InvalidInput", lambda: self.port(network, Wanted(ip_address="10.0.0")))

    def test_a_mac_is_unique_in_its_network_only(self) -> None:
        first, second = self.network(), self.network()
        port = self.port(first)
        self.assertRegex(port.mac, "^fa:16:3e:[0-9a-f:]{8}$")
        self.refused("MacAddressInUse", lambda: self.port(first, mac=port.mac))
        self.assertEqual(port.mac, self.port(second, mac=port.mac).mac)

    def test_new_addresses_replace_the_old_ones_of_a_free_port(self) -> None:
        network = self.network()
        self.subnet(network)
        port = self.port(network)
        changed = self.db.transact(lambda tx: change_port(tx, port, {}, fixed_ips=[Wanted(ip_address="10.0.0.50")]))
        self.assertEqual(["10.0.0.50"], [address.ip for address in changed.addresses])
        self.assertEqual("10.0.0.2", self.port(network).addresses[0].ip)


class WithoutGuardsTest(NetworkTestCase):
    """The control of the races: without the hold two choose one address, and without the constraint both keep it."""

    database_kind = "postgresql"
    drop = "ALTER TABLE addresses DROP CONSTRAINT uq_addresses_network_uuid_ip"

    def test_two_would_have_the_same_address(self) -> None:
        network = self.network()
        subnet = self.subnet(network)
        one, other = (
            self.db.transact(lambda tx: create_port(tx, network, network.project_id, fixed_ips=[])) for _ in range(2)
        )
        with (
            mock.patch.object(subnets, "set_free_from"),
            self.db.transaction() as first,
            self.db.transaction() as second,
        ):
            chosen = [ports.lowest_free(tx, subnet) for tx in (first, second)]
        self.assertEqual(["10.0.0.2", "10.0.0.2"], chosen)

        def give(port: ports.Port) -> None:
            with self.db.transaction() as tx:
                ports.add_address(tx, port.uuid, network.uuid, subnet.uuid, "10.0.0.2")

        give(one)
        self.assertRaises(sa.exc.IntegrityError, give, other)
        with self.db.transaction() as tx:
            tx.execute(sa.text(self.drop))
        give(other)
        with self.db.read() as tx:
            self.assertEqual(2, len(ports.page(tx, [ports.on_address("10.0.0.2")])))


class WithoutGuardsTestOnMariadb(WithoutGuardsTest):
    database_kind = "mariadb"
    drop = "ALTER TABLE addresses DROP INDEX uq_addresses_network_uuid_ip"


@on_every_database
class TopologyTest(NetworkTestCase):
    def test_networks_have_numbers_of_their_own_that_are_not_used_again(self) -> None:
        first, second = self.network(), self.network()
        self.assertGreaterEqual(first.vni, 1000)
        self.db.transact(lambda tx: delete_network(tx, second))
        self.assertEqual(3, len({first.vni, second.vni, self.network().vni}))

    def test_overlapping_subnets_of_one_network_are_refused(self) -> None:
        network, other = self.network(), self.network(OTHER)
        self.subnet(network)
        message = self.refused("InvalidInput", lambda: self.subnet(network, "10.0.0.128/25"))
        self.assertIn("overlaps with another subnet", message)
        self.assertEqual("10.0.0.0/24", self.subnet(other).cidr)

    def test_two_at_once_cannot_both_make_overlapping_subnets(self) -> None:
        network = self.network()
        starting = threading.Barrier(6)

        def make(number: int) -> bool:
            starting.wait(30)
            try:
                self.subnet(network, f"10.0.{number}.0/24" if number else "10.0.0.0/16")
            except errors.Invalid:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            made = list(threads.map(make, [0, 0, 0, 1, 1, 1]))
        self.assertEqual(1, made.count(True))

    def test_pools_default_to_all_but_network_gateway_and_broadcast(self) -> None:
        network = self.network()
        self.assertEqual((("10.0.0.2", "10.0.0.6"),), self.subnet(network, "10.0.0.0/29").pools)
        middle = self.subnet(network, "10.0.1.0/29", gateway_ip="10.0.1.3")
        self.assertEqual((("10.0.1.1", "10.0.1.2"), ("10.0.1.4", "10.0.1.6")), middle.pools)
        without = self.subnet(network, "10.0.2.0/29", choose_gateway=False)
        self.assertEqual((None, (("10.0.2.1", "10.0.2.6"),)), (without.gateway_ip, without.pools))
        six = self.subnet(network, "2001:db8::/64")
        self.assertEqual(
            ("2001:db8::1", (("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"),)), (six.gateway_ip, six.pools)
        )

    def test_pools_that_cannot_be_are_refused(self) -> None:
        network = self.network()
        for kind, pools in (
            ("OutOfBoundsAllocationPool", [("10.0.0.2", "10.0.1.5")]),
            ("InvalidAllocationPool", [("10.0.0.9", "10.0.0.5")]),
            ("OverlappingAllocationPools", [("10.0.0.2", "10.0.0.9"), ("10.0.0.9", "10.0.0.12")]),
            ("GatewayConflictWithAllocationPools", [("10.0.0.1", "10.0.0.9")]),
        ):
            self.refused(kind, lambda pools=pools: self.subnet(network, pools=pools))
        self.refused("InvalidInput", lambda: self.subnet(network, gateway_ip="10.0.1.1"))

    def test_a_cidr_is_read_strictly(self) -> None:
        for text in ("10.0.0.0", "10.0.0.5/24", "10.0.0.0/33", "10.0.0.0/255.255.255.0", "x/8", "0.0.0.0/0", "::1/128"):
            self.refused("InvalidInput", lambda text=text: cidr.parse_cidr(text))
        self.assertIn("did you mean 10.0.0.0/24", self.refused("InvalidInput", lambda: cidr.parse_cidr("10.0.0.5/24")))

    def test_what_has_ports_is_not_deleted(self) -> None:
        network = self.network()
        subnet = self.subnet(network)
        port = self.port(network)
        self.refused("NetworkInUse", lambda: self.db.transact(lambda tx: delete_network(tx, network)))
        self.refused("SubnetInUse", lambda: self.db.transact(lambda tx: delete_subnet(tx, subnet)))
        self.db.transact(lambda tx: delete_port(tx, port))
        self.db.transact(lambda tx: delete_network(tx, network))
        with self.db.read() as tx:
            self.assertIsNone(subnets.get(tx, subnet.uuid))

    def test_a_changed_gateway_stays_outside_the_pools(self) -> None:
        subnet = self.subnet(self.network())
        change = {"gateway_ip": "10.0.0.9"}
        self.refused(
            "GatewayConflictWithAllocationPools", lambda: self.db.transact(lambda tx: change_subnet(tx, subnet, change))
        )
        changed = self.db.transact(lambda tx: change_subnet(tx, subnet, {"gateway_ip": None, "dns": ["9.9.9.9"]}))
        self.assertEqual((None, ("9.9.9.9",), 2), (changed.gateway_ip, changed.dns, changed.revision))

    def test_pages_follow_a_marker_forwards_and_backwards(self) -> None:
        uuids = [self.network(name=f"n{number % 2}").uuid for number in range(5)]

        def read(**wanted: Any) -> list[str]:
            with self.db.read() as tx:
                return [network.uuid for network in networks.page(tx, wanted=listing.Page(**wanted))]

        self.assertEqual(uuids[:2], read(limit=2))
        self.assertEqual(uuids[2:4], read(limit=2, marker=uuids[1]))
        self.assertEqual(uuids[1:3], read(limit=2, marker=uuids[3], reverse=True))
        by_name = [uuids[1], uuids[3], uuids[0], uuids[2], uuids[4]]
        self.assertEqual(by_name, read(order=(("name", True),)))
        self.assertEqual(by_name[2:], read(order=(("name", True),), marker=uuids[3]))
        self.assertRaises(errors.Invalid, read, marker=new_id())

    def test_names_differ_by_case(self) -> None:
        self.network(name="Net")
        with self.db.read() as tx:
            self.assertEqual([], networks.page(tx, filters={"name": ["net"]}))
            self.assertEqual(1, len(networks.page(tx, filters={"name": ["x", "Net"]})))

    def test_projects_that_ask_at_once_get_one_default_group(self) -> None:
        starting = threading.Barrier(8)

        def ask(number: int) -> str:
            starting.wait(30)
            return self.db.transact(lambda tx: groups.default_group(tx, PROJECT)).uuid

        with ThreadPoolExecutor(8) as threads:
            self.assertEqual(1, len(set(threads.map(ask, range(8)))))


class KeyTest(DatabaseTestCase):
    def test_keys_sort_as_addresses_and_read_back(self) -> None:
        chance = random.Random(1)
        numbers = sorted(chance.getrandbits(128) for _ in range(200))
        keys = [ports.key_of(ipaddress.IPv6Address(number)) for number in numbers]
        self.assertEqual(sorted(keys), keys)
        self.assertEqual([str(ipaddress.IPv6Address(number)) for number in numbers], [ports.ip_of(key) for key in keys])
        self.assertEqual("10.0.1.0", ports.ip_of(ports.key_after(ports.key_of("10.0.0.255"))))
