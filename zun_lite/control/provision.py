# SPDX-License-Identifier: Apache-2.0
"""Provide a placed workload with its ports and volumes, then let its host begin.

Each provider call is idempotent by the workload's uuid, so that a controller that died anywhere
in between starts over and finds what it made. A refusal is final and told to the user; a
provider that does not answer is asked again in the next pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control.means import Means
from zun_lite.db import actions, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import connections, errors
from zun_lite.domain.capsule import CapsuleSpec
from zun_lite.domain.explanation import NETWORK, VOLUME
from zun_lite.domain.spec import NetworkRequest
from zun_lite.domain.wiring import Endpoint, Wiring
from zun_lite.network.base import GROUP_NOT_FOUND


def provision(means: Means, workload: Workload) -> str:
    """One workload; answers the sentence for the log."""
    crash.point("controller.provision.begin")
    try:
        wiring = _wire(means, workload)
    except _Waits as waits:
        stage, reason = waits.stage, waits.reason
        means.db.transact(lambda tx: actions.wait(tx, workload.uuid, workload.generation, stage, reason))
        return f"{workload.uuid}: waits for its provider: {reason}"
    except _NetworkRefused as refused:
        network, reason = refused.network, refused.reason
        means.db.transact(lambda tx: _leave(tx, workload, network, reason))
        return f"{workload.uuid}: cannot be attached to network {network.network_id}: {reason}"
    except _Refused as refused:
        stage, reason = refused.stage, refused.reason
        means.db.transact(lambda tx: _give_up(tx, workload, stage, reason))
        return f"{workload.uuid}: cannot be provided for: {reason}"
    if not means.db.transact(lambda tx: workloads.provide(tx, workload, wiring)):
        return _unwanted(means, workload)
    crash.point("controller.provision.ready")
    return f"{workload.uuid}: has {len(wiring.endpoints)} ports and {len(wiring.attachments)} volumes"


def trim(means: Means, workload: Workload) -> str | None:
    """Give back the ports of networks that the workload left, once its host has let go of them."""
    if not connections.has_let_go(workload.observed, workload.generation, workload.wiring):
        return None
    positions = connections.left_positions(workload.spec)
    try:
        means.networks.release(workload.uuid, positions=positions)
    except (errors.Unavailable, errors.Busy) as error:
        return f"{workload.uuid}: the release of ports that it left waits: {error.message}"
    means.db.transact(lambda tx: workloads.trimmed(tx, workload))
    return f"{workload.uuid}: has given back the ports that it left"


class _Stopped(Exception):
    """The work did not come to its end in one of its stages."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason


class _Waits(_Stopped):
    """A provider is to be asked again."""


class _Refused(_Stopped):
    """Asking again cannot help."""


@contextlib.contextmanager
def _at(stage: str) -> Iterator[None]:
    try:
        yield
    except (errors.Unavailable, errors.Busy) as error:
        raise _Waits(stage, error.message) from error
    except errors.ZunError as error:
        raise _Refused(stage, error.message) from error


class _NetworkRefused(Exception):
    """A network that a container which is there was to be attached to cannot be had."""

    def __init__(self, network: NetworkRequest, reason: str) -> None:
        super().__init__(reason)
        self.network = network
        self.reason = reason


def _wire(means: Means, workload: Workload) -> Wiring:
    endpoints = []
    with _at(NETWORK):
        groups = _groups(means, workload)
        for network in workload.spec.networks:
            endpoints.append(_port(means, workload, network, groups))
            crash.point("controller.provision.port")
    assert workload.host is not None
    attachments = []
    with _at(VOLUME):
        for position, mount in enumerate(workload.spec.mounts):
            made = means.volumes.provide(workload.uuid, workload.project_id, workload.host, position, mount)
            attachments.append(made)
            crash.point("controller.provision.volume")
    return Wiring(connections.with_ways_out(endpoints), tuple(attachments), groups or ())


def _groups(means: Means, workload: Workload) -> tuple[str, ...] | None:
    """The groups that were named; where none were, one for what is exposed.

    A group that was deleted since is no matter to a container that is there already. Empty: none are left of
    those that were named; None: none ever were.
    """
    spec = workload.spec
    if spec.security_groups and _is_made(workload):
        return means.networks.remaining_groups(workload.project_id, spec.security_groups)
    members = spec.every_member if isinstance(spec, CapsuleSpec) else ()
    exposed = {*spec.exposed_ports, *(port for member in members for port in member.spec.exposed_ports)}
    if spec.security_groups or not exposed or not spec.networks:
        return spec.security_groups or (() if workload.wiring.security_groups else None)
    return (means.networks.open_ports(workload.uuid, workload.project_id, tuple(sorted(exposed))),)


def _port(means: Means, workload: Workload, network: NetworkRequest, groups: tuple[str, ...] | None) -> Endpoint:
    assert workload.host is not None
    try:
        return means.networks.provide(
            workload.uuid,
            workload.project_id,
            workload.host,
            network.position,
            network,
            groups,
        )
    except (errors.Unavailable, errors.Busy):
        raise
    except errors.ZunError as error:
        if not _is_made(workload):
            raise
        if error.kind == GROUP_NOT_FOUND:
            raise errors.Busy(f"{error.message} The others are looked up again.") from error
        raise _NetworkRefused(network, error.message) from error


def _is_made(workload: Workload) -> bool:
    """Whether it was provided for before, so that what is refused now must not end it."""
    return bool(workload.wiring.endpoints) or (workload.observed is not None and workload.observed.build > 0)


def _unwanted(means: Means, workload: Workload) -> str:
    """It was changed while we worked. If it is gone, or is just being released, what we made must go as well."""
    with means.db.read() as tx:
        current = workloads.get(tx, workload.uuid)
    if current is None or workloads.is_to_release(current):
        means.networks.release(workload.uuid)
        means.volumes.release(workload.uuid)
    return f"{workload.uuid}: was changed while it was provided for"


def _leave(tx: sa.Connection, workload: Workload, network: NetworkRequest, reason: str) -> None:
    """The container goes on without that network, and whoever wanted it learns why."""
    current = workloads.get(tx, workload.uuid, lock=True)
    if current is None or current.generation != workload.generation:
        return
    networks = tuple(other for other in current.spec.networks if other.position != network.position)
    workloads.change(tx, current, current.goal, spec=replace(current.spec, networks=networks), ready=False)
    actions.finish(tx, workload.uuid, workload.generation, failure=reason, network_position=network.position)


def _give_up(tx: sa.Connection, workload: Workload, stage: str, reason: str) -> None:
    if workloads.fail(tx, workload, reason):
        actions.finish(tx, workload.uuid, workload.generation, failure=reason, stage=stage)
