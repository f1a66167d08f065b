# SPDX-License-Identifier: Apache-2.0
"""What hosts say and are told: enrolment, heartbeats, their set, and reports.

A host may speak of workloads that are placed on it, in their current epoch; anything else that it
reports is not believed, and an older epoch is ordered away. Silence about a workload means nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import sqlalchemy as sa

from zun_lite.control import commit, host_images, host_keys
from zun_lite.control.means import Means
from zun_lite.db import actions, cinder, hosts, planes, revisions, volumes, workloads
from zun_lite.db.hosts import Host
from zun_lite.db.workloads import Workload
from zun_lite.domain import addresses, errors, names
from zun_lite.domain.desired import Desired, DesiredSet, Inventory, Report
from zun_lite.domain.lifecycle import ABSENT, OFF, PRESENT, Observed, carried_out, failed
from zun_lite.domain.wiring import LOCKED
from zun_lite.volume import orders as volume_orders

LOG = logging.getLogger(__name__)
CHUNK = 50


def enrol(means: Means, join_token: str, name: str, address: str, public_key: str) -> str:
    """Trade a one-time token for an identity; the host's uuid. Forbidden: the token is not good.

    Invalid: no host can be at that address. Conflict: another one is.
    """
    addresses.check_host(address)

    def accept(tx: sa.Connection) -> str:
        hosts.use_join_token(tx, join_token, name)
        if hosts.is_taken(tx, address, name):
            raise errors.Conflict(f"Another host is at {address}; each has an address of its own.")
        return hosts.enrol(tx, names.new_id(), name, address, public_key)

    return means.db.transact(accept)


@dataclass(frozen=True)
class Heard:
    """The answer to a heartbeat: the revisions of what the host should hold, and of what it should do for networks.

    report_wanted: a full report comes before the host may get work. key_wanted: the host should make itself a new key.
    """

    revision: int
    plane_revision: int
    report_wanted: bool
    key_wanted: bool


def heartbeat(means: Means, host: Host, boot_id: str, problem: str | None) -> Heard:
    """The host lives."""
    means.db.transact(lambda tx: hosts.heard_of(tx, host.uuid, boot_id, problem))
    with means.db.read() as tx:
        return Heard(
            revisions.current(tx, revisions.host(host.uuid)),
            planes.revision(tx, host.uuid),
            host.state != hosts.READY,
            host_keys.is_due(means, tx, host),
        )


def revision(means: Means, host: Host) -> int:
    """The revision of what a host should hold."""
    with means.db.read() as tx:
        return revisions.current(tx, revisions.host(host.uuid))


def desired_set(means: Means, host: Host) -> DesiredSet:
    """All that a host should hold, as of one moment."""
    with means.db.read() as tx:
        placed = workloads.on_host(tx, host.uuid)
        return DesiredSet(
            revisions.current(tx, revisions.host(host.uuid)),
            tuple(_opened(means, workload.desired) for workload in placed),
            tuple(volumes.doomed(tx, host.uuid)),
            tuple(host_images.orders(tx, host.uuid)),
            tuple(commit.orders(tx, [workload.uuid for workload in placed])),
            tuple(volume_orders.for_host(tx, host.uuid)),
        )


def _opened(means: Means, desired: Desired) -> Desired:
    """With its volumes' connections as its host is to use them; records have them locked."""
    attachments = tuple(
        replace(item, connection=json.loads(means.secrets.open(item.connection[LOCKED])))
        if item.connection is not None and LOCKED in item.connection
        else item
        for item in desired.wiring.attachments
    )
    return replace(desired, wiring=replace(desired.wiring, attachments=attachments))


def take(means: Means, host: Host, report: Report) -> list[tuple[str, int]]:
    """Take a report in; (uuid, epoch) of what the host must remove.

    Observations come first and readiness last: a host gets work only after all it holds is known.
    """
    orders: list[tuple[str, int]] = []
    pairs = list(report.workloads)
    for start in range(0, len(pairs), CHUNK):
        chunk = pairs[start : start + CHUNK]
        orders += means.db.transact(partial(_take_workloads, host=host, pairs=chunk))
    means.db.transact(lambda tx: _take_host(tx, host, report))
    means.waker.wake()
    return orders


def _take_host(tx: sa.Connection, host: Host, report: Report) -> None:
    if report.removed_volumes:
        volumes.removed(tx, host.uuid, list(report.removed_volumes))
    for news in report.images:
        if not commit.take_news(tx, host, news):
            host_images.take_news(tx, host, news)
    for said in report.volumes:
        volume_orders.take_news(tx, host.uuid, said)
    # As it is now: it may have been lost, or its key revoked, since the report began to be read.
    current = hosts.get(tx, host.uuid, lock=True)
    if current is None or not current.public_key or report.inventory is None or not report.full:
        return
    hosts.took_inventory(tx, host.uuid, report.boot_id, report.inventory)
    before, now = current.inventory, report.inventory
    if before is None or _outside(before) != _outside(now):
        planes.host_changed(tx, host.uuid)
    if current.state != hosts.READY:
        workloads.host_changed(tx, host.uuid, known=True)
        LOG.info("host %s: is ready", host.name)


def _outside(inventory: Inventory) -> tuple[str | None, str | None]:
    return inventory.underlay_address, inventory.external_bridge


def _take_workloads(tx: sa.Connection, host: Host, pairs: Sequence[tuple[str, Observed]]) -> list[tuple[str, int]]:
    orders = []
    for uuid, observed in pairs:
        workload = workloads.get(tx, uuid, lock=True)
        if workload is None:
            continue
        if workload.host != host.uuid or observed.epoch < workload.epoch:
            if observed.state not in ("missing", "absent") and workload.host != host.uuid:
                orders.append((uuid, observed.epoch))
            continue
        _take_observed(tx, host, workload, observed)
    return orders


def _take_observed(tx: sa.Connection, host: Host, workload: Workload, observed: Observed) -> None:
    before = workload.observed
    if observed.epoch > workload.epoch or observed.generation > workload.generation:
        LOG.warning("host %s: speaks of a future of %s; is the database an old copy?", host.name, workload.uuid)
        return
    if before is not None and before.epoch == observed.epoch and observed.generation < before.generation:
        return
    if observed != before:
        workloads.record_observed(tx, workload, observed, host_known=host.state != hosts.UNKNOWN)
        if observed.formatted:
            volumes.note_formatted(tx, host.uuid, list(observed.formatted))
            cinder.note_formatted(tx, host.uuid, list(observed.formatted))
        if before is None or before.state != observed.state or before.error != observed.error:
            LOG.info("%s: is %s on %s%s", workload.uuid, observed.state, host.name, _because(observed))
    if failed(workload.generation, observed):
        actions.finish(tx, workload.uuid, observed.generation, failure=observed.error)
    elif carried_out(workload.goal, workload.generation, observed) and workload.goal.presence == PRESENT:
        actions.finish(tx, workload.uuid, workload.generation)
    if _ended_for_good(workload, observed):
        seen = replace(workload, observed=observed)
        workloads.change(tx, seen, replace(workload.goal, presence=ABSENT, power=OFF))


def _ended_for_good(workload: Workload, observed: Observed) -> bool:
    """Whether a container that its user wanted removed when it ends has ended, or was removed by someone."""
    goal = workload.goal
    if not workload.spec.auto_remove or goal.presence != PRESENT:
        return False
    if observed.state == "missing":
        return observed.build >= goal.build and failed(workload.generation, observed)
    if observed.state != "exited" or observed.error:
        return False
    return observed.generation >= workload.generation if goal.power == OFF else observed.run >= goal.run


def _because(observed: Observed) -> str:
    return f": {observed.error}" if observed.error else ""
