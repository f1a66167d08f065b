# SPDX-License-Identifier: Apache-2.0
"""What a create names, looked up with the caller's own rights: networks, ports, volumes, groups, host."""

from __future__ import annotations

from dataclasses import replace

from zun_lite.api.container.mounts import WantedMount
from zun_lite.api.container.nets import WantedNet
from zun_lite.api.container.request import CreateRequest
from zun_lite.control import images, registries
from zun_lite.control.means import Means
from zun_lite.db import hosts
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import ContainerSpec, MountRequest, NetworkRequest


def resolve(means: Means, caller: Caller, request: CreateRequest) -> ContainerSpec:
    """The whole spec. NotFound, Ambiguous, InUse, NotUsable, Conflict as the providers say."""
    registry_id = registries.resolve(means, caller, request.registry) if request.registry else None
    spec = images.name_image(means, caller, replace(request.spec, registry_id=registry_id))
    groups = tuple(dict.fromkeys(group(means, caller, ident) for ident in request.security_groups))
    networks = tuple(network(means, caller, net) for net in request.nets or (WantedNet(None, None),))
    mounts = tuple(_mount(means, caller, mount) for mount in request.mounts)
    for what, ids in (("port", [net.port_id for net in networks]), ("volume", [mount.volume_id for mount in mounts])):
        named = [id for id in ids if id is not None]
        if len(named) != len(set(named)):
            raise errors.Invalid(f"The same {what} is named twice, once by id and once by name perhaps.")
    return replace(
        spec,
        networks=networks,
        mounts=mounts,
        security_groups=groups,
        host=_host(means, request.host),
    )


def network(means: Means, caller: Caller, net: WantedNet) -> NetworkRequest:
    """What to join; the caller's default network where neither a network nor a port is named."""
    if net.port is not None:
        port_id, network_id = means.networks.resolve_port(caller, net.port)
        return NetworkRequest(network_id, port_id=port_id)
    ident = means.networks.default_network(caller) if net.network is None else net.network
    network_id = means.networks.resolve(caller, ident, choose_address=bool(net.fixed_ips))
    return NetworkRequest(network_id, fixed_ips=net.fixed_ips)


def _mount(means: Means, caller: Caller, mount: WantedMount) -> MountRequest:
    if mount.source is None:
        return MountRequest(mount.target, size_gib=mount.size_gib)
    return MountRequest(mount.target, volume_id=means.volumes.resolve(caller, mount.source)[0])


def group(means: Means, caller: Caller, ident: str) -> str:
    """The id of a security group. Invalid: there is none of that id or name."""
    try:
        return means.networks.resolve_group(caller, ident)
    except errors.NotFound as error:
        # a request that names one which is not there is wrong itself, as clients of this API expect
        raise errors.Invalid(error.message, kind="SecurityGroupNotFound") from error


def _host(means: Means, ident: str | None) -> str | None:
    if ident is None:
        return None
    with means.db.read() as tx:
        found = hosts.by_name(tx, ident) or hosts.get(tx, ident)
    if found is None:
        raise errors.NotFound(f"Host {ident} could not be found.", kind="HostNotFound")
    return found.uuid
