# SPDX-License-Identifier: Apache-2.0
"""Networks, ports and volumes that a create names, looked up with the caller's own rights."""

from __future__ import annotations

from dataclasses import replace

from zun_lite.api.container.request import CreateRequest, WantedMount, WantedNet
from zun_lite.control.means import Means
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import ContainerSpec, MountRequest, NetworkRequest


def resolve(means: Means, caller: Caller, request: CreateRequest) -> ContainerSpec:
    """The whole spec. NotFound, Ambiguous, InUse, NotUsable, Conflict as the providers say."""
    networks = tuple(_network(means, caller, net) for net in request.nets)
    if not networks:
        networks = (NetworkRequest(means.networks.default_network(caller)),)
    mounts = tuple(_mount(means, caller, mount) for mount in request.mounts)
    for what, ids in (("port", [net.port_id for net in networks]), ("volume", [mount.volume_id for mount in mounts])):
        named = [id for id in ids if id is not None]
        if len(named) != len(set(named)):
            raise errors.Invalid(f"The same {what} is named twice, once by id and once by name perhaps.")
    return replace(request.spec, networks=networks, mounts=mounts)


def _network(means: Means, caller: Caller, net: WantedNet) -> NetworkRequest:
    if net.port is not None:
        port_id, network_id = means.networks.resolve_port(caller, net.port)
        return NetworkRequest(network_id, port_id=port_id)
    return NetworkRequest(means.networks.resolve(caller, net.network or ""), fixed_ip=net.fixed_ip)


def _mount(means: Means, caller: Caller, mount: WantedMount) -> MountRequest:
    if mount.source is None:
        return MountRequest(mount.target, size_gib=mount.size_gib)
    return MountRequest(mount.target, volume_id=means.volumes.resolve(caller, mount.source)[0])
