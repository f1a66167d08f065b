# SPDX-License-Identifier: Apache-2.0
"""What a user asked for: one frozen value from the request's body to Docker's arguments.

The API's schema makes it, SQL keeps it as JSON, the agent gets the same JSON. A new field is a
line here, one in the schema, one in the view and one where Docker's arguments are built.
Unknown keys in stored JSON are kept out, so that older and newer programs understand each other.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from zun_lite.domain.resources import Resources
from zun_lite.domain.stored import known


@dataclass(frozen=True)
class NetworkRequest:
    """One network to join: by network, with an address if wished, or by a port that exists.

    position: its number among all that the workload ever joined; it stays when others are left, and
    its port is known by it.
    """

    network_id: str
    port_id: str | None = None
    fixed_ip: str | None = None
    position: int = 0


@dataclass(frozen=True)
class MountRequest:
    """One volume to mount at target. volume_id is None where a volume of size_gib is to be made.

    auto_remove: whether the volume goes with the workload; None: if it is made for it.
    """

    target: str
    volume_id: str | None = None
    size_gib: int | None = None
    read_only: bool = False
    auto_remove: bool | None = None

    @property
    def goes(self) -> bool:
        """Whether the volume is deleted with the workload."""
        return self.volume_id is None if self.auto_remove is None else self.auto_remove


@dataclass(frozen=True)
class RestartPolicy:
    """Docker's own: name is no, always, on-failure or unless-stopped."""

    name: str = "no"
    maximum_retry_count: int = 0


@dataclass(frozen=True)
class ContainerSpec:
    """A container as asked for. command and entrypoint are None where the image's own are meant."""

    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    hostname: str | None = None
    cpus: float = 1.0
    memory_mib: int = 512
    disk_gib: int = 0
    interactive: bool = False
    tty: bool = False
    auto_remove: bool = False
    auto_heal: bool = False
    restart_policy: RestartPolicy | None = None
    image_driver: str = "docker"
    image_pull_policy: str = "ifnotpresent"
    networks: tuple[NetworkRequest, ...] = ()
    mounts: tuple[MountRequest, ...] = ()

    @property
    def claim(self) -> Resources:
        """What it takes of its host and its project's quota."""
        return Resources(self.cpus, self.memory_mib, self.disk_gib)

    @property
    def container_count(self) -> int:
        """How many containers it is in its project's quota."""
        return 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ContainerSpec:
        found = known(cls, body)
        for key in ("command", "entrypoint"):
            if found.get(key) is not None:
                found[key] = tuple(found[key])
        if found.get("restart_policy") is not None:
            found["restart_policy"] = RestartPolicy(**found["restart_policy"])
        found["networks"] = tuple(NetworkRequest(**item) for item in found.get("networks", ()))
        found["mounts"] = tuple(MountRequest(**item) for item in found.get("mounts", ()))
        return cls(**found)
