# SPDX-License-Identifier: Apache-2.0
"""What connects a workload to networks and volumes on its host.

Made by the controller out of what the network and volume providers answer, stored with the
workload, sent to its agent, and handed on to netd unchanged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from zun_lite.domain.stored import known, read

# above every real one: ends all attachments of a volume that is to be removed
EVERY_EPOCH = 2**53

LOCKED = "locked"
"""The key of a connection that only the operator's key opens."""


@dataclass(frozen=True)
class Address:
    """One address of a port. prefix_length counts bits; gateway is None where the subnet has none."""

    ip: str
    prefix_length: int
    subnet_id: str
    gateway: str | None = None


@dataclass(frozen=True)
class Endpoint:
    """One port of one workload as its host must make it.

    vni: the segment's number, unique in the cloud. mtu: bytes. default_route: whether the
    gateways of this endpoint's addresses are the workload's way out, in families in which no earlier endpoint is.
    owned: the port was made for the workload and goes with it.
    """

    port_id: str
    network_id: str
    vni: int
    mac: str
    mtu: int
    addresses: tuple[Address, ...]
    default_route: bool = False
    routes: tuple[tuple[str, str], ...] = ()
    dns: tuple[str, ...] = ()
    owned: bool = True

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Endpoint:
        found = known(cls, body)
        found["addresses"] = tuple(read(Address, address) for address in body.get("addresses", ()))
        found["routes"] = tuple((destination, nexthop) for destination, nexthop in body.get("routes", ()))
        found["dns"] = tuple(body.get("dns", ()))
        return cls(**found)


@dataclass(frozen=True)
class Attachment:
    """One volume of one workload as its host must mount it.

    epoch: grows with each attachment of the volume; an older one is refused where the file is.
    formatted: whether the volume has ever been given a file system; only False permits making one.
    target: absolute path in the container. owned: the volume was made for the workload and goes with it.
    shared: the volume may be attached to several workloads at once. connection: how its host reaches it, as Cinder's
    {"driver_volume_type", "data"}, which may hold passwords; in records {LOCKED: text}; None: it is in the host's pool.
    """

    volume_id: str
    epoch: int
    size_gib: int
    target: str
    fs_type: str = "xfs"
    formatted: bool = False
    read_only: bool = False
    owned: bool = False
    shared: bool = False
    connection: dict[str, Any] | None = field(default=None, repr=False, hash=False)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Attachment:
        return read(cls, body)


@dataclass(frozen=True)
class Wiring:
    """All connections of one workload. security_groups: ids of those that its ports were put in."""

    endpoints: tuple[Endpoint, ...] = ()
    attachments: tuple[Attachment, ...] = field(default=())
    security_groups: tuple[str, ...] = ()

    @property
    def ports(self) -> tuple[str, ...]:
        """The ids of its ports, in order."""
        return tuple(endpoint.port_id for endpoint in self.endpoints)

    @property
    def dns(self) -> tuple[str, ...]:
        """The name servers of its networks, those of the first network first."""
        return tuple(dict.fromkeys(server for endpoint in self.endpoints for server in endpoint.dns))

    @classmethod
    def from_json(cls, body: dict[str, Any] | None) -> Wiring:
        body = body or {}
        return cls(
            tuple(Endpoint.from_json(item) for item in body.get("endpoints", ())),
            tuple(Attachment.from_json(item) for item in body.get("attachments", ())),
            tuple(body.get("security_groups", ())),
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
