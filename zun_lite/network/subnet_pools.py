# SPDX-License-Identifier: Apache-2.0
"""What may be done with subnet pools, whoever asks for it, and how a subnet's CIDR is taken of one.

Every function takes a transaction. A pool is held by its revision before anything is taken of it, so that no
two subnets of a pool overlap. Errors bear Neutron's types.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from zun_lite.db import revisions, subnet_pools, subnets, tags
from zun_lite.db.subnet_pools import SubnetPool
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.network import cidr, prefixes

MOST_PREFIXES = 100
_SHORTEST = {4: 8, 6: 64}
_BITS = {4: 32, 6: 128}
_QUOTA_UNIT = {4: 1, 6: 2**64}
"""Addresses in one unit of a pool's quota."""


def create_pool(
    tx: sa.Connection,
    project_id: str,
    *,
    prefixes: Sequence[str],
    name: str = "",
    description: str = "",
    default_prefixlen: int | None = None,
    min_prefixlen: int | None = None,
    max_prefixlen: int | None = None,
    default_quota: int | None = None,
    shared: bool = False,
    is_default: bool = False,
) -> SubnetPool:
    """prefixes: CIDRs of one IP version.

    Prefix lengths that are left out: 8, or 64 of IPv6, at least, one address at most, usually the least.
    """
    merged = _merged(prefixes)
    version = merged[0].version
    shortest = _SHORTEST[version] if min_prefixlen is None else min_prefixlen
    longest = _BITS[version] if max_prefixlen is None else max_prefixlen
    usual = shortest if default_prefixlen is None else default_prefixlen
    _check_bounds(version, shortest, usual, longest)
    if is_default:
        _check_no_other_default(tx, version)
    return subnet_pools.insert(
        tx,
        uuid=new_id(),
        project_id=project_id,
        name=name,
        description=description,
        ip_version=version,
        prefixes=[str(prefix) for prefix in merged],
        default_prefixlen=usual,
        min_prefixlen=shortest,
        max_prefixlen=longest,
        default_quota=default_quota,
        shared=shared,
        default_for=version if is_default else None,
    )


def change_pool(tx: sa.Connection, pool: SubnetPool, changes: Mapping[str, Any]) -> SubnetPool:
    """changes: by column name, and is_default. Prefixes may be added, none may go."""
    pool = _hold(tx, pool)
    wanted = dict(changes)
    if "prefixes" in wanted:
        wanted["prefixes"] = [str(prefix) for prefix in _more_prefixes(pool, wanted["prefixes"])]
    _check_bounds(
        pool.ip_version,
        *(wanted.get(name, getattr(pool, name)) for name in ("min_prefixlen", "default_prefixlen", "max_prefixlen")),
    )
    is_default = wanted.pop("is_default", pool.default_for is not None)
    if is_default and pool.default_for is None:
        _check_no_other_default(tx, pool.ip_version)
    if is_default != (pool.default_for is not None):
        wanted["default_for"] = pool.ip_version if is_default else None
    if wanted:
        subnet_pools.update(tx, pool.uuid, wanted)
    return subnet_pools.get(tx, pool.uuid) or pool


def delete_pool(tx: sa.Connection, pool: SubnetPool) -> None:
    """SubnetPoolDeleteError while a subnet has its CIDR of it."""
    pool = _hold(tx, pool)
    if subnets.page(tx, [subnets.subnets.c.subnet_pool == pool.uuid]):
        raise errors.Invalid(
            "Unable to delete subnet pool: Subnet pool has existing allocations.", kind="SubnetPoolDeleteError"
        )
    subnet_pools.delete(tx, pool.uuid)
    tags.remove_all(tx, pool.uuid)
    tx.execute(sa.delete(revisions.revisions).where(revisions.revisions.c.scope == subnet_pools.scope(pool.uuid)))


def take(
    tx: sa.Connection,
    pool: SubnetPool,
    project_id: str,
    *,
    block: cidr.Network | None = None,
    prefixlen: int | None = None,
) -> cidr.Network:
    """A CIDR of the pool for a subnet that is made in the same transaction: this block, or a free one.

    Free again when that subnet is deleted. SubnetAllocationError: there is none; Invalid: the pool gives none like it.
    """
    pool = _hold(tx, pool)
    length = block.prefixlen if block is not None else pool.default_prefixlen if prefixlen is None else prefixlen
    _check_length(pool, length)
    held = subnets.page(tx, [subnets.subnets.c.subnet_pool == pool.uuid])
    _check_quota(pool, [subnet for subnet in held if subnet.project_id == project_id], length)
    taken = [subnet.network for subnet in held]
    known = [ipaddress.ip_network(prefix) for prefix in pool.prefixes]
    if block is None:
        block = prefixes.first_free(known, taken, length)
        if block is None:
            raise _cannot_allocate(f"Insufficient prefix space to allocate subnet size /{length}")
    elif not prefixes.cover(known, block) or any(block.overlaps(each) for each in taken):
        raise _cannot_allocate("Cannot allocate requested subnet from the available set of prefixes")
    return block


def default_pool(tx: sa.Connection, version: int) -> SubnetPool | None:
    """The one that an administrator made the default of that IP version."""
    return subnet_pools.default_for(tx, version)


def not_found(ident: str) -> errors.NotFound:
    return errors.NotFound(f"Subnet pool {ident} could not be found.", kind="SubnetPoolNotFound")


def _hold(tx: sa.Connection, pool: SubnetPool) -> SubnetPool:
    revisions.raise_one(tx, subnet_pools.scope(pool.uuid))
    held = subnet_pools.get(tx, pool.uuid)
    if held is None:
        raise not_found(pool.uuid)
    return held


def _merged(texts: Sequence[str]) -> list[cidr.Network]:
    if not texts:
        raise errors.Invalid("Empty subnet pool prefix list.", kind="EmptySubnetPoolPrefixList")
    parsed = [cidr.parse_cidr(text) for text in texts]
    if len({prefix.version for prefix in parsed}) > 1:
        raise errors.Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", kind="PrefixVersionMismatch")
    return prefixes.merged(parsed)


def _more_prefixes(pool: SubnetPool, texts: Sequence[str]) -> list[cidr.Network]:
    merged = _merged(texts)
    if merged[0].version != pool.ip_version:
        raise errors.Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", kind="PrefixVersionMismatch")
    if not all(prefixes.cover(merged, ipaddress.ip_network(known)) for known in pool.prefixes):
        raise errors.Invalid(
            "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.",
            kind="IllegalSubnetPoolPrefixUpdate",
        )
    return merged


def _check_bounds(version: int, shortest: int, usual: int, longest: int) -> None:
    if shortest < 1:
        raise errors.Invalid(
            f"Prefix '{shortest}' not supported in IPv{version} pool.", kind="UnsupportedMinSubnetPoolPrefix"
        )
    for name, value, base_name, base in (
        ("max_prefixlen", longest, "max_prefixlen", _BITS[version]),
        ("min_prefixlen", shortest, "max_prefixlen", longest),
        ("default_prefixlen", usual, "max_prefixlen", longest),
    ):
        if value > base:
            raise _bad_bounds(name, value, base_name, base)
    if usual < shortest:
        raise _bad_bounds("default_prefixlen", usual, "min_prefixlen", shortest)


def _bad_bounds(name: str, value: int, base_name: str, base: int) -> errors.Invalid:
    return errors.Invalid(
        f"Illegal prefix bounds: {name}={value}, {base_name}={base}.", kind="IllegalSubnetPoolPrefixBounds"
    )


def _check_no_other_default(tx: sa.Connection, version: int) -> None:
    if subnet_pools.default_for(tx, version) is not None:
        raise cidr.bad_input(
            "A default subnetpool for this IP family has already been set. Only one default may exist per IP family."
        )


def _check_length(pool: SubnetPool, length: int) -> None:
    if length < pool.min_prefixlen:
        raise errors.Invalid(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is {pool.min_prefixlen}.",
            kind="MinPrefixSubnetAllocationError",
        )
    if length > pool.max_prefixlen:
        raise errors.Invalid(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is {pool.max_prefixlen}.",
            kind="MaxPrefixSubnetAllocationError",
        )


def _check_quota(pool: SubnetPool, own: Sequence[subnets.Subnet], length: int) -> None:
    if pool.default_quota is None:
        return
    used = sum(subnet.network.num_addresses for subnet in own) + 2 ** (_BITS[pool.ip_version] - length)
    if used > pool.default_quota * _QUOTA_UNIT[pool.ip_version]:
        raise errors.Conflict("Per-tenant subnet pool prefix quota exceeded.", kind="SubnetPoolQuotaExceeded")


def _cannot_allocate(reason: str) -> errors.Conflict:
    return errors.Conflict(f"Failed to allocate subnet: {reason}.", kind="SubnetAllocationError")
