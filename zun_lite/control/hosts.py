# SPDX-License-Identifier: Apache-2.0
"""Hosts as operators see them: what each has and has given away, whether it is up, and its end.

A host runs one service, which goes up and down with it. Nothing here touches what runs on a host.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import sqlalchemy as sa

from zun_lite.control import docker_ports
from zun_lite.control.means import Means
from zun_lite.db import host_images, hosts, revisions, volume_snapshots, volumes, workloads
from zun_lite.db.hosts import Host
from zun_lite.domain import errors, names
from zun_lite.domain.resources import Resources
from zun_lite.volume import volumes as volume_rules

LONGEST_REASON = 255


@dataclass(frozen=True)
class HostReport:
    """A host, whether it is up, and what the workloads placed on it claim."""

    host: Host
    up: bool
    used: Resources
    containers: int


def every(means: Means) -> list[HostReport]:
    """By name."""
    with means.db.read() as tx:
        return _report(tx, means, hosts.every(tx))


def find(means: Means, ident: str) -> HostReport:
    """By uuid or name. NotFound."""
    with means.db.read() as tx:
        return _report(tx, means, [_find(tx, ident)])[0]


def zones(means: Means) -> list[str]:
    """The availability zones that have a host."""
    with means.db.read() as tx:
        return sorted({host.availability_zone for host in hosts.every(tx)})


def enable(means: Means, name: str) -> None:
    """The host gets new work again."""
    means.db.transact(lambda tx: hosts.set_disabled(tx, _held(tx, name).uuid, False))


def disable(means: Means, name: str, reason: str | None) -> None:
    """The host gets no new work; what it has goes on. Invalid: the reason is too long."""
    if reason and len(reason) > LONGEST_REASON:
        raise errors.Invalid(f"A reason has at most {LONGEST_REASON} characters; this one has {len(reason)}.")
    means.db.transact(lambda tx: hosts.set_disabled(tx, _held(tx, name).uuid, True, reason))


def force_down(means: Means, name: str, down: bool) -> None:
    """An operator knows that the host is down, or takes that back: it gets no new work and is shown as down."""
    means.db.transact(lambda tx: hosts.set_forced_down(tx, _held(tx, name).uuid, down))


def set_zone(means: Means, name: str, zone: str) -> None:
    """Put the host into an availability zone; what runs there stays. Invalid: no name for a zone."""
    if not 1 <= len(zone) <= 255:
        raise errors.Invalid("The name of an availability zone has 1 to 255 characters.")
    means.db.transact(lambda tx: hosts.set_availability_zone(tx, _held(tx, name).uuid, zone))


def remove(means: Means, name: str) -> None:
    """Forget the host, so that it must join anew. InUse: containers are placed on it, or volumes lie there.

    What lies in a pool that others share is theirs from then on.
    """

    def work(tx: sa.Connection) -> None:
        host = _held(tx, name)
        placed = workloads.containers_on_hosts(tx, [host.uuid]).get(host.uuid, 0)
        if not placed:
            volume_rules.hand_over(tx, host.uuid)
        kept = volumes.count_on_host(tx, host.uuid) + volume_snapshots.count_on_host(tx, host.uuid)
        if placed or kept:
            raise errors.InUse(
                f"Host {name} cannot be forgotten: {placed} containers are placed on it and {kept} volumes or "
                "snapshots lie there; delete them first."
            )
        host_images.forget_host(tx, host.uuid)
        docker_ports.forget_host(tx, host.uuid)
        hosts.remove(tx, host.uuid)

    means.db.transact(work)


def _held(tx: sa.Connection, name: str) -> Host:
    """The host of this name, held until the transaction ends, so that nothing is placed on it meanwhile."""
    found = hosts.by_name(tx, name)
    if found is not None:
        revisions.raise_one(tx, revisions.host(found.uuid))
        found = hosts.get(tx, found.uuid)
    if found is None:
        raise errors.NotFound(f"There is no host named {name}.", kind="ZunServiceNotFound")
    return found


def _find(tx: sa.Connection, ident: str) -> Host:
    uuid = names.as_id(ident)
    found = (hosts.get(tx, uuid) if uuid else None) or hosts.by_name(tx, ident)
    if found is None:
        raise errors.NotFound(f"Host {ident} could not be found.", kind="ComputeNodeNotFound")
    return found


def _report(tx: sa.Connection, means: Means, found: list[Host]) -> list[HostReport]:
    edge = means.db.now(tx) - datetime.timedelta(seconds=means.host_timeout_seconds)
    uuids = [host.uuid for host in found]
    used, placed = workloads.usage_of_hosts(tx, uuids), workloads.containers_on_hosts(tx, uuids)
    return [
        HostReport(host, _is_up(host, edge), used.get(host.uuid, Resources()), placed.get(host.uuid, 0))
        for host in found
    ]


def _is_up(host: Host, edge: datetime.datetime) -> bool:
    """Judged now, so that an operator need not wait for the controller to notice."""
    heard = host.seen_at is not None and host.seen_at >= edge
    return heard and not host.forced_down and host.state != hosts.UNKNOWN
