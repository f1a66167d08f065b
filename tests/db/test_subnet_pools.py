# SPDX-License-Identifier: Apache-2.0
"""What is taken of a subnet pool: never the same twice, within its bounds, and free again when it is given back."""

from __future__ import annotations

import ipaddress
import random
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from tests.databases import on_every_database
from tests.db.network_case import OTHER, PROJECT, NetworkTestCase
from zun_lite.db import subnets
from zun_lite.db.subnet_pools import SubnetPool
from zun_lite.domain import errors
from zun_lite.network import cidr, prefixes, subnet_pools
from zun_lite.network.topology import create_subnet, delete_subnet


@on_every_database
class SubnetPoolTest(NetworkTestCase):
    def pool(self, *blocks: str, **values: Any) -> SubnetPool:
        return self.db.transact(lambda tx: subnet_pools.create_pool(tx, PROJECT, prefixes=blocks, **values))

    def take(self, pool: SubnetPool, project_id: str = PROJECT, **wish: Any) -> subnets.Subnet:
        """A subnet of the pool on a network of its own."""
        network = self.network(project_id)

        def work(tx) -> subnets.Subnet:
            block = subnet_pools.take(tx, pool, project_id, **wish)
            return create_subnet(tx, network, project_id, block, subnet_pool=pool.uuid)

        return self.db.transact(work)

    def not_taken(self, kind: str, pool: SubnetPool, project_id: str = PROJECT, **wish: Any) -> str:
        return self.refused(kind, lambda: self.take(pool, project_id, **wish))

    def test_blocks_follow_each_other_and_a_free_one_is_taken_again(self) -> None:
        pool = self.pool("10.0.0.0/24", default_prefixlen=26)
        made = [self.take(pool) for _ in range(4)]
        self.assertEqual([f"10.0.0.{first}/26" for first in (0, 64, 128, 192)], [subnet.cidr for subnet in made])
        self.assertIn("Insufficient prefix space", self.not_taken("SubnetAllocationError", pool))
        self.db.transact(lambda tx: delete_subnet(tx, made[2]))
        self.assertEqual("10.0.0.128/26", self.take(pool).cidr)

    def test_a_block_may_be_named_if_it_is_the_pools_and_free(self) -> None:
        pool = self.pool("10.0.0.0/24", "10.0.2.0/24", min_prefixlen=24)
        block = ipaddress.ip_network("10.0.2.64/26")
        self.assertEqual("10.0.2.64/26", self.take(pool, block=block).cidr)
        for wrong in ("10.0.2.0/25", "10.0.1.0/26", "10.1.0.0/26", "10.0.2.64/26"):
            said = self.not_taken("SubnetAllocationError", pool, block=ipaddress.ip_network(wrong))
            self.assertIn("Cannot allocate requested subnet", said)
        self.assertEqual("10.0.2.0/26", self.take(pool, prefixlen=26).cidr)

    def test_lengths_are_held_to_the_pools_bounds(self) -> None:
        pool = self.pool("10.0.0.0/16", min_prefixlen=20, default_prefixlen=24, max_prefixlen=28)
        self.not_taken("MinPrefixSubnetAllocationError", pool, prefixlen=19)
        self.not_taken("MaxPrefixSubnetAllocationError", pool, prefixlen=29)
        self.assertEqual(["10.0.0.0/24", "10.0.16.0/20"], [self.take(pool).cidr, self.take(pool, prefixlen=20).cidr])

    def test_each_project_has_its_quota_of_a_pool(self) -> None:
        pool = self.pool("10.0.0.0/16", default_prefixlen=26, default_quota=128)
        self.take(pool)
        self.take(pool)
        self.not_taken("SubnetPoolQuotaExceeded", pool)
        self.take(pool, OTHER)
        wide = self.pool("fd00::/48", default_quota=2)
        self.take(wide)
        self.take(wide, prefixlen=65)
        self.not_taken("SubnetPoolQuotaExceeded", wide)

    def test_a_network_has_subnets_of_one_pool_only(self) -> None:
        network = self.network()
        self.subnet(network, "192.168.0.0/24")
        pool = self.pool("10.0.0.0/16", default_prefixlen=26)

        def work(tx) -> subnets.Subnet:
            block = subnet_pools.take(tx, pool, PROJECT)
            return create_subnet(tx, network, PROJECT, block, subnet_pool=pool.uuid)

        self.refused("NetworkSubnetPoolAffinityError", lambda: self.db.transact(work))
        # and what was refused is not taken of the pool
        self.assertEqual("10.0.0.0/26", self.take(pool).cidr)

    def test_bad_pools_are_refused(self) -> None:
        for kind, blocks, values in (
            ("EmptySubnetPoolPrefixList", (), {}),
            ("PrefixVersionMismatch", ("10.0.0.0/8", "fd00::/48"), {}),
            ("InvalidInput", ("10.0.0.1/8",), {}),
            ("IllegalSubnetPoolPrefixBounds", ("10.0.0.0/8",), {"default_prefixlen": 33}),
            ("IllegalSubnetPoolPrefixBounds", ("10.0.0.0/8",), {"max_prefixlen": 33}),
            ("IllegalSubnetPoolPrefixBounds", ("10.0.0.0/8",), {"min_prefixlen": 26, "max_prefixlen": 24}),
            ("IllegalSubnetPoolPrefixBounds", ("10.0.0.0/8",), {"min_prefixlen": 26, "default_prefixlen": 24}),
            ("UnsupportedMinSubnetPoolPrefix", ("10.0.0.0/8",), {"min_prefixlen": 0}),
        ):
            self.refused(kind, lambda blocks=blocks, values=values: self.pool(*blocks, **values))

    def test_a_pool_grows_but_does_not_shrink(self) -> None:
        pool = self.pool("10.0.1.0/24", "10.0.0.0/24", default_prefixlen=24)
        self.assertEqual(("10.0.0.0/23",), pool.prefixes)

        def change(**changes: Any) -> SubnetPool:
            return self.db.transact(lambda tx: subnet_pools.change_pool(tx, pool, changes))

        self.refused("IllegalSubnetPoolPrefixUpdate", lambda: change(prefixes=["10.0.0.0/24"]))
        self.refused("PrefixVersionMismatch", lambda: change(prefixes=["fd00::/48"]))
        self.refused("IllegalSubnetPoolPrefixBounds", lambda: change(min_prefixlen=25))
        self.assertEqual(("10.0.0.0/22",), change(prefixes=["10.0.0.0/23", "10.0.2.0/23"]).prefixes)

    def test_a_pool_with_subnets_stays(self) -> None:
        pool = self.pool("10.0.0.0/24")
        subnet = self.take(pool, prefixlen=26)
        delete = lambda: self.db.transact(lambda tx: subnet_pools.delete_pool(tx, pool))  # noqa: E731
        self.assertIn("existing allocations", self.refused("SubnetPoolDeleteError", delete))
        self.db.transact(lambda tx: delete_subnet(tx, subnet))
        delete()
        self.not_taken("SubnetPoolNotFound", pool)

    def test_there_is_one_default_of_each_ip_version(self) -> None:
        first = self.pool("10.0.0.0/8", is_default=True)
        self.refused("InvalidInput", lambda: self.pool("172.16.0.0/12", is_default=True))
        self.pool("fd00::/48", is_default=True)
        with self.db.read() as tx:
            found = subnet_pools.default_pool(tx, 4)
        self.assertEqual(first.uuid, found and found.uuid)
        self.db.transact(lambda tx: subnet_pools.change_pool(tx, first, {"is_default": False}))
        self.pool("172.16.0.0/12", is_default=True)

    def race(self, pool: SubnetPool, wishes: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
        """(CIDRs taken, kinds of errors) of all wishes at once, each from a network of its own."""
        networks = [self.network() for _ in wishes]
        together = threading.Barrier(len(wishes))

        def one(number: int) -> tuple[str, str]:
            def work(tx) -> str:
                block = subnet_pools.take(tx, pool, PROJECT, **wishes[number])
                return create_subnet(tx, networks[number], PROJECT, block, subnet_pool=pool.uuid).cidr

            together.wait()
            try:
                return self.db.transact(work), ""
            except errors.ZunError as error:
                return "", error.kind

        with ThreadPoolExecutor(len(wishes)) as threads:
            found = list(threads.map(one, range(len(wishes))))
        return [block for block, _ in found if block], [kind for _, kind in found if kind]

    def test_whoever_asks_at_once_gets_blocks_that_do_not_overlap(self) -> None:
        pool = self.pool("10.0.0.0/26", min_prefixlen=26)
        lengths = [29, 30, 29, 28, 30, 29, 30, 29, 28, 29, 30, 29]
        taken, refused = self.race(pool, [{"prefixlen": length} for length in lengths])
        self.assert_apart(taken)
        self.assertEqual(12, len(taken) + len(refused))
        self.assertLessEqual(set(refused), {"SubnetAllocationError"})
        self.assertGreaterEqual(sum(cidr.parse_cidr(block).num_addresses for block in taken), 48)

    def test_one_of_all_who_want_the_same_block_at_once_gets_it(self) -> None:
        pool = self.pool("10.0.0.0/24")
        wish = {"block": ipaddress.ip_network("10.0.0.64/26")}
        self.assertEqual((["10.0.0.64/26"], ["SubnetAllocationError"] * 5), self.race(pool, [wish] * 6))

    def assert_apart(self, blocks: list[str]) -> None:
        self.assertEqual([], overlapping(blocks))


class WithoutTheHoldTest(NetworkTestCase):
    """The control of the races: what they would end in if nothing held the pool. SQLite's file holds itself."""

    database_kind = "postgresql"

    def test_two_at_once_would_take_the_same_block(self) -> None:
        pool = self.db.transact(lambda tx: subnet_pools.create_pool(tx, PROJECT, prefixes=["10.0.0.0/24"]))
        network, other = self.network(), self.network(OTHER)
        with mock.patch.object(subnet_pools, "_hold", lambda tx, held: held), self.db.transaction() as first:
            with self.db.transaction() as second:
                taken = [subnet_pools.take(tx, pool, PROJECT, prefixlen=26) for tx in (first, second)]
                create_subnet(first, network, PROJECT, taken[0], subnet_pool=pool.uuid)
                create_subnet(second, other, OTHER, taken[1], subnet_pool=pool.uuid)
        with self.db.read() as tx:
            self.assertEqual(["10.0.0.0/26"] * 2, [subnet.cidr for subnet in subnets.page(tx)])


class WithoutTheHoldTestOnMariadb(WithoutTheHoldTest):
    database_kind = "mariadb"


class PrefixesTest(unittest.TestCase):
    def test_any_mix_of_taking_and_giving_back_never_overlaps_and_fills_the_pool(self) -> None:
        chance = random.Random(11)
        for whole in ("10.0.0.0/24", "fd00::/120"):
            pool = [ipaddress.ip_network(whole)]
            held: list[cidr.Network] = []
            for _ in range(400):
                if held and chance.random() < 0.45:
                    held.remove(chance.choice(held))
                    continue
                length = pool[0].max_prefixlen - chance.randrange(0, 6)
                found = prefixes.first_free(pool, held, length)
                if found is None:
                    free = pool[0].num_addresses - sum(each.num_addresses for each in held)
                    self.assertFalse(holds(pool[0], held, length), f"{free} are free")
                    continue
                self.assertEqual(length, found.prefixlen)
                self.assertTrue(prefixes.cover(pool, found))
                self.assertEqual([], [each for each in held if each.overlaps(found)])
                held.append(found)

    def test_the_smallest_gap_that_fits_is_taken_first(self) -> None:
        pool = [ipaddress.ip_network("10.0.0.0/24")]
        held = [ipaddress.ip_network("10.0.0.128/26")]
        self.assertEqual("10.0.0.192/27", str(prefixes.first_free(pool, held, 27)))
        self.assertEqual("10.0.0.0/25", str(prefixes.first_free(pool, held, 25)))


def holds(pool: cidr.Network, held: list[cidr.Network], length: int) -> bool:
    """Whether any block of that length is free, found by looking at each."""
    blocks = pool.subnets(new_prefix=length)
    return any(not any(block.overlaps(each) for each in held) for block in blocks)


def overlapping(blocks: list[str]) -> list[tuple[str, str]]:
    parsed = sorted((ipaddress.ip_network(block) for block in blocks), key=lambda each: int(each.network_address))
    return [(str(one), str(other)) for one, other in zip(parsed, parsed[1:], strict=False) if one.overlaps(other)]
