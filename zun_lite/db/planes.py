# SPDX-License-Identifier: Apache-2.0
"""Whether what a host should do for networks has changed: a revision for each project, and one for each host.

A change of a port raises its own project's and its network's; one of groups, routers and floating IPs
their project's. What a host is told depends on the projects that have a part in its networks, so its
revision is a digest of theirs. Raised last in a transaction, for many raise the same ones.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from zun_lite.db import revisions
from zun_lite.db.networks import networks
from zun_lite.db.ports import ports


def changed(tx: sa.Connection, *project_ids: str) -> None:
    """Something of these projects that hosts are told of."""
    for project_id in sorted(set(project_ids)):
        revisions.raise_one(tx, _scope(project_id))


def network_changed(tx: sa.Connection, network_uuid: str, *project_ids: str) -> None:
    """A network, or a port on it of one of these projects."""
    owner = tx.execute(sa.select(networks.c.project_id).where(networks.c.uuid == network_uuid)).scalar()
    changed(tx, *project_ids, *([owner] if owner is not None else []))


def policy_changed(tx: sa.Connection, policy_uuid: str) -> None:
    """A QoS policy that ports or networks may have."""
    with_ports = sa.select(ports.c.network_uuid).where(ports.c.qos_policy == policy_uuid)
    concerned = sa.or_(networks.c.qos_policy == policy_uuid, networks.c.uuid.in_(with_ports))
    changed(tx, *tx.execute(sa.select(networks.c.project_id).where(concerned).distinct()).scalars())


def host_changed(tx: sa.Connection, host_uuid: str) -> None:
    """How a host is reached by others, or how it reaches networks outside."""
    revisions.raise_one(tx, _host_scope(host_uuid))
    here = sa.select(networks.c.project_id).join(ports, ports.c.network_uuid == networks.c.uuid)
    changed(tx, *tx.execute(here.where(ports.c.host == host_uuid).distinct()).scalars())


def networks_of(host_uuid: str) -> sa.Select[tuple[str]]:
    """The uuids of the networks that a host has a part in."""
    return sa.select(ports.c.network_uuid).where(ports.c.host == host_uuid).distinct()


def revision(tx: sa.Connection, host_uuid: str) -> int:
    """Another number whenever the host's plane may be another."""
    here = networks_of(host_uuid).subquery()
    owners = sa.select(networks.c.project_id).where(networks.c.uuid.in_(sa.select(here.c.network_uuid)))
    members = sa.select(ports.c.project_id).where(ports.c.network_uuid.in_(sa.select(here.c.network_uuid)))
    scopes = [_host_scope(host_uuid), *map(_scope, tx.execute(sa.union(owners, members)).scalars())]
    table = revisions.revisions
    rows = tx.execute(sa.select(table.c.scope, table.c.revision).where(table.c.scope.in_(scopes)))
    known = {scope: number for scope, number in rows}
    text = "".join(f"{scope}={known.get(scope, 0)};" for scope in sorted(scopes))
    # as many bits as a JSON number carries everywhere
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def mark(tx: sa.Connection) -> tuple[int, int]:
    """Another value whenever any host's plane may be another."""
    table = revisions.revisions
    query = sa.select(sa.func.count(), sa.func.sum(table.c.revision)).where(table.c.scope.like("plane%"))
    count, total = tx.execute(query).one()
    return int(count), int(total or 0)


def _scope(project_id: str) -> str:
    return f"plane:{project_id}"


def _host_scope(host_uuid: str) -> str:
    return f"plane-host:{host_uuid}"
