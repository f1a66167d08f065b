# SPDX-License-Identifier: Apache-2.0
"""What a project left behind, found and removed by positive orders, as its owner would have done it.

Containers and capsules are ordered to go, and their hosts carry that out; what they hold (ports,
volumes) becomes free only then. So one pass orders what can be ordered now and says what has to wait;
passes may be repeated, and one that finds nothing is the proof that nothing is left.

Actions stay for the audit; action rows of workloads that are gone are forgotten by age (forget_actions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from zun_lite.control import commit
from zun_lite.control.means import Means
from zun_lite.db import (
    actions,
    floating_ips,
    host_images,
    idempotency,
    identity,
    images,
    network_quotas,
    networks,
    ports,
    qos,
    quotas,
    registered_networks,
    registries,
    routers,
    security_groups,
    subnet_pools,
    subnets,
    volume_attachments,
    volume_quotas,
    volume_types,
    volumes,
    workloads,
)
from zun_lite.db.listing import WHOLE
from zun_lite.domain import errors, names
from zun_lite.domain.lifecycle import ABSENT, OFF
from zun_lite.network import floating, groups, topology
from zun_lite.network import ports as port_rules
from zun_lite.network import qos as qos_rules
from zun_lite.network import routers as router_rules
from zun_lite.network import subnet_pools as pool_rules
from zun_lite.volume import volumes as volume_rules

WHO = "zun-lite-manage"
Record = TypeVar("Record")


@dataclass(frozen=True)
class Leftover:
    """One thing of the project's. remove() orders or does its end, and says what it did; ZunError: not now."""

    kind: str
    ident: str
    remove: Callable[[], str]

    def __str__(self) -> str:
        return f"{self.kind} {self.ident}"


def exists(means: Means, project_id: str) -> bool:
    """Whether identity still knows the project."""
    with means.db.read() as tx:
        return identity.project(tx, project_id) is not None


def leftovers(means: Means, project_id: str) -> list[Leftover]:
    """All that the project has, in the order in which it can go."""
    return [
        *_workloads(means, project_id),
        *_volumes(means, project_id),
        *_networking(means, project_id),
        *_images(means, project_id),
        *_settings(means, project_id),
    ]


def purge(means: Means, project_id: str) -> Iterator[str]:
    """One pass; a sentence for each thing that it found."""
    for leftover in leftovers(means, project_id):
        try:
            done = leftover.remove()
        except errors.ZunError as error:
            done = f"has to wait: {error.message}"
        yield f"{leftover}: {done}"
    means.waker.wake()


def forget_actions(means: Means, days: float) -> int:
    """Forget actions that ended so long ago and whose workload is gone; how many."""

    def work(tx: sa.Connection) -> int:
        return actions.forget_old(tx, means.db, days)

    return means.db.transact(work)


def _workloads(means: Means, project_id: str) -> Iterator[Leftover]:
    with means.db.read() as tx:
        found = workloads.of_project(tx, project_id)
    for workload in found:
        yield Leftover(workload.kind, workload.uuid, partial(_order_away, means, workload.uuid))


def _order_away(means: Means, uuid: str) -> str:
    def work(tx: sa.Connection) -> str:
        workload = workloads.get(tx, uuid, lock=True)
        if workload is None:
            return "is gone"
        if workload.goal.presence == ABSENT:
            return "is on its way out"
        goal = replace(workload.goal, presence=ABSENT, power=OFF, stop_timeout_seconds=0)
        changed = workloads.change(tx, workload, goal)
        if changed is None:
            raise errors.Busy("It is being changed by a request.")
        actions.begin(
            tx,
            request_id=f"req-{names.new_id()}",
            workload_uuid=uuid,
            project_id=changed.project_id,
            user_id=WHO,
            action="delete",
            generation=changed.generation,
        )
        return "is ordered away"

    return means.db.transact(work)


def _volumes(means: Means, project_id: str) -> Iterator[Leftover]:
    with means.db.read() as tx:
        found = volumes.page(tx, [volumes.belonging_to(project_id)])
    for volume in found:
        yield Leftover("volume", volume.uuid, partial(_drop_volume, means, volume.uuid))


def _drop_volume(means: Means, uuid: str) -> str:
    def work(tx: sa.Connection) -> str:
        volume = volumes.get(tx, uuid)
        if volume is None:
            return "is gone"
        if volume.status == volumes.DELETING:
            return "is on its way out"
        for attachment in volume.attachments:
            if attachment.workload_uuid is not None:
                raise errors.InUse("A container has it.")
            volume_attachments.remove(tx, attachment.uuid)
        volume_rules.delete(tx, volume, cascade=True, force=True)
        return "is deleted" if volume.host is None else "is ordered away from its host"

    return means.db.transact(work)


def _networking(means: Means, project_id: str) -> Iterator[Leftover]:
    with means.db.read() as tx:
        own_ports = [
            port
            for port in ports.page(tx, [ports.ports.c.project_id == project_id])
            # The others go with their workload, or their router.
            if (port.workload_uuid is None and not port_rules.is_of_service(port))
            or port.device_owner == ports.DOCKER_OWNER
        ]
        own_networks = networks.page(tx, [networks.networks.c.project_id == project_id])
        elsewhere = [
            subnet
            for subnet in subnets.page(tx, [subnets.subnets.c.project_id == project_id])
            if subnet.network_uuid not in {network.uuid for network in own_networks}
        ]
        own_groups = security_groups.page(tx, [security_groups.belonging_to(project_id)])
        own_pools = subnet_pools.page(tx, [subnet_pools.subnet_pools.c.project_id == project_id])
        own_policies = qos.page(tx, [qos.qos_policies.c.project_id == project_id])
        own_floating = floating_ips.page(tx, [floating_ips.floating_ips.c.project_id == project_id])
        own_routers = routers.page(tx, [routers.routers.c.project_id == project_id])
    for floating_ip in own_floating:
        yield _row(means, "floating IP", floating_ip.uuid, floating_ips.get, floating.delete_floating_ip)
    for router in own_routers:
        yield _row(means, "router", router.uuid, routers.get, router_rules.tear_down)
    for port in own_ports:
        of_docker = port.device_owner == ports.DOCKER_OWNER
        # whoever runs a container by a host's own Docker is no user of the project: nobody else would let it go
        yield _row(means, "port", port.uuid, ports.get, port_rules.remove_port if of_docker else port_rules.delete_port)
    for subnet in elsewhere:
        yield _row(means, "subnet", subnet.uuid, subnets.get, topology.delete_subnet)
    for network in own_networks:
        yield _row(means, "network", network.uuid, networks.get, topology.delete_network)
    for group in own_groups:
        yield _row(means, "security group", group.uuid, security_groups.get, _drop_group)
    for pool in own_pools:
        yield _row(means, "subnet pool", pool.uuid, subnet_pools.get, pool_rules.delete_pool)
    for policy in own_policies:
        yield _row(means, "QoS policy", policy.uuid, qos.get, qos_rules.delete_policy)


def _drop_group(tx: sa.Connection, group: security_groups.SecurityGroup) -> None:
    groups.delete_group(tx, group, default_too=True)


def _images(means: Means, project_id: str) -> Iterator[Leftover]:
    with means.db.read() as tx:
        own = images.page(tx, [images.images.c.project_id == project_id], WHOLE)
        on_hosts = host_images.page(tx, {"project_id": [project_id]}, WHOLE)
    for image in own:
        yield Leftover("image", image.uuid, partial(_drop_image, means, image.uuid))
    for pulled in on_hosts:
        yield _row(means, "image on a host", pulled.uuid, host_images.get, host_images.unwant, "is ordered away")


def _drop_image(means: Means, uuid: str) -> str:
    means.db.transact(lambda tx: images.update(tx, uuid, {"protected": False}))
    means.images.remove(uuid, also=commit.image_removed)
    return "is deleted"


def _settings(means: Means, project_id: str) -> Iterator[Leftover]:
    with means.db.read() as tx:
        entrusted = registries.page(tx, project_id, {}, WHOLE)
        has_quota = bool(quotas.of_project(tx, project_id))
        has_network_quota = bool(network_quotas.of_project(tx, project_id))
        has_volume_quota = bool(volume_quotas.of_project(tx, project_id))
        has_types = volume_types.are_open_to(tx, project_id)
        known = registered_networks.count_of_project(tx, project_id)
        keys = idempotency.count_of_project(tx, project_id)
    for registry in entrusted:
        yield Leftover("registry", registry.uuid, partial(_drop_registry, means, registry.uuid))
    for kind, there, remove in (
        ("quota", has_quota, quotas.reset_project),
        ("quota of networks", has_network_quota, network_quotas.reset_project),
        ("quota of volumes", has_volume_quota, volume_quotas.reset_project),
        ("access to volume types", has_types, volume_types.forget_project),
        ("registered networks", known, registered_networks.remove_of_project),
        ("idempotency keys", keys, idempotency.forget_project),
    ):
        if there:
            yield Leftover(kind, f"of {project_id}", partial(_do, means, project_id, remove))


def _drop_registry(means: Means, uuid: str) -> str:
    def work(tx: sa.Connection) -> str:
        user = registries.user_of(tx, uuid)
        if user is not None:
            raise errors.InUse(f"Container {user} uses it.")
        registries.remove(tx, uuid)
        return "is deleted"

    return means.db.transact(work)


def _do(means: Means, project_id: str, remove: Callable[[sa.Connection, str], object]) -> str:
    means.db.transact(lambda tx: remove(tx, project_id))
    return "are deleted"


def _row(
    means: Means,
    kind: str,
    uuid: str,
    get: Callable[[sa.Connection, str], Record | None],
    delete: Callable[[sa.Connection, Record], None],
    done: str = "is deleted",
) -> Leftover:
    """A record that is read and deleted in one transaction."""

    def work(tx: sa.Connection) -> str:
        record = get(tx, uuid)
        if record is None:
            return "is gone"
        delete(tx, record)
        return done

    return Leftover(kind, uuid, lambda: means.db.transact(work))
