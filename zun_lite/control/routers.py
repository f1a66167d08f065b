# SPDX-License-Identifier: Apache-2.0
"""Where routers run: on one ready host each, and on another one once that host is lost."""

from __future__ import annotations

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import hosts, planes, ports, revisions, routers
from zun_lite.db.routers import GATEWAY_OWNER, INTERFACE_OWNER, Router


def place(means: Means) -> list[str]:
    """Give every router a host that lives; answers a sentence for each that got one."""
    with means.db.read() as tx:
        ready = {host.uuid for host in hosts.every(tx) if _can_run(host)}
        homeless = [router for router in routers.page(tx) if router.host not in ready]
    if not ready:
        return []
    sentences = []
    for router in homeless:
        sentence = means.db.transact(lambda tx, uuid=router.uuid: _place(tx, uuid))  # type: ignore[misc]
        sentences += [sentence] if sentence else []
    return sentences


def _place(tx: sa.Connection, uuid: str) -> str | None:
    """On the host that runs the fewest; None: meanwhile it is placed, or gone, or there is no host."""
    if routers.get(tx, uuid) is None:
        return None
    # held, so that no leg is added to it meanwhile on the host that it leaves
    revisions.raise_one(tx, routers.scope(uuid))
    router = routers.get(tx, uuid)
    ready = {host.uuid: host.name for host in hosts.every(tx) if _can_run(host)}
    if router is None or not ready or router.host in ready:
        return None
    load = routers.count_on_hosts(tx)
    chosen = min(sorted(ready), key=lambda host: load.get(host, 0))
    routers.place(tx, uuid, chosen)
    _tell(tx, router)
    return f"router {uuid}: runs on host {ready[chosen]}"


def _can_run(host: hosts.Host) -> bool:
    return host.state == hosts.READY and not host.forced_down


def _tell(tx: sa.Connection, router: Router) -> None:
    planes.changed(tx, router.project_id)
    for leg in ports.of_device(tx, router.uuid, INTERFACE_OWNER, GATEWAY_OWNER):
        planes.network_changed(tx, leg.network_uuid)
