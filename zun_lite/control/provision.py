# SPDX-License-Identifier: Apache-2.0
"""Provide a placed workload with its ports and volumes, then let its host begin.

Each provider call is idempotent by the workload's uuid, so that a controller that died anywhere
in between starts over and finds what it made. A refusal is final and told to the user; a
provider that does not answer is asked again in the next pass.
"""

from __future__ import annotations

from dataclasses import replace

import sqlalchemy as sa

from zun_lite.common import crash
from zun_lite.control.means import Means
from zun_lite.db import actions, workloads
from zun_lite.db.workloads import Workload
from zun_lite.domain import errors
from zun_lite.domain.wiring import Wiring


def provision(means: Means, workload: Workload) -> str:
    """One workload; answers the sentence for the log."""
    crash.point("controller.provision.begin")
    try:
        wiring = _wire(means, workload)
    except (errors.Unavailable, errors.Busy) as error:
        return f"{workload.uuid}: waits for its provider: {error.message}"
    except errors.ZunError as error:
        reason = error.message
        means.db.transact(lambda tx: _give_up(tx, workload, reason))
        return f"{workload.uuid}: cannot be provided for: {reason}"
    if not means.db.transact(lambda tx: workloads.provide(tx, workload, wiring)):
        return _unwanted(means, workload)
    crash.point("controller.provision.ready")
    return f"{workload.uuid}: has {len(wiring.endpoints)} ports and {len(wiring.attachments)} volumes"


def _wire(means: Means, workload: Workload) -> Wiring:
    assert workload.host is not None
    endpoints = []
    for network in workload.spec.networks:
        endpoints.append(
            means.networks.provide(workload.uuid, workload.project_id, workload.host, network.position, network)
        )
        crash.point("controller.provision.port")
    if workload.generation > 1:
        # Networks may have been left since the ports were made.
        kept = frozenset(network.position for network in workload.spec.networks)
        means.networks.release(workload.uuid, keep=kept)
    attachments = []
    for position, mount in enumerate(workload.spec.mounts):
        attachments.append(means.volumes.provide(workload.uuid, workload.project_id, workload.host, position, mount))
        crash.point("controller.provision.volume")
    first = (replace(endpoint, default_route=number == 0) for number, endpoint in enumerate(endpoints))
    return Wiring(tuple(first), tuple(attachments))


def _unwanted(means: Means, workload: Workload) -> str:
    """It was changed while we worked. If its record is gone, what we made for it must go as well."""
    with means.db.read() as tx:
        still_there = workloads.get(tx, workload.uuid)
    if still_there is None:
        means.networks.release(workload.uuid)
        means.volumes.release(workload.uuid)
    return f"{workload.uuid}: was changed while it was provided for"


def _give_up(tx: sa.Connection, workload: Workload, reason: str) -> None:
    workloads.fail(tx, workload, reason)
    actions.finish(tx, workload.uuid, workload.generation, failure=reason)
