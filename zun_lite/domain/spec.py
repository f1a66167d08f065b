# SPDX-License-Identifier: Apache-2.0
"""What a user asked for: one frozen value from the request's body to Docker's arguments.

The API's schema makes it, SQL keeps it as JSON, the agent gets the same JSON. A new field is a
line here, one in the schema, one in the view and one where Docker's arguments are built.
Unknown keys in stored JSON are kept out, so that older and newer programs understand each other.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from zun_lite.domain import security_profile
from zun_lite.domain.resources import Resources
from zun_lite.domain.stored import known, read

SHARED, DEDICATED = "shared", "dedicated"
LABEL_HINT = "label:"


@dataclass(frozen=True)
class NetworkRequest:
    """One network to join: by network, with addresses if wished, or by a port that exists.

    fixed_ips: at most one of each IP version. position: its number among all that the workload ever
    joined; it stays when others are left, and its port is known by it.
    """

    network_id: str
    port_id: str | None = None
    fixed_ips: tuple[str, ...] = ()
    position: int = 0

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> NetworkRequest:
        found = known(cls, body)
        found["fixed_ips"] = tuple(found.get("fixed_ips", ()))
        return cls(**found)


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
class FileRequest:
    """One file of the container's own at target; content is base64 of its bytes."""

    target: str
    content: str


@dataclass(frozen=True)
class Healthcheck:
    """A command that Docker runs in the container, by its shell, to tell whether it is well.

    0 for interval, timeout or retries is Docker's own default.
    """

    test: str
    interval_seconds: int = 0
    retries: int = 0
    timeout_seconds: int = 0


@dataclass(frozen=True)
class RestartPolicy:
    """Docker's own: name is no, always, on-failure or unless-stopped."""

    name: str = "no"
    maximum_retry_count: int = 0


@dataclass(frozen=True)
class ContainerSpec:
    """A container as asked for. command and entrypoint are None where the image's own are meant.

    cpu_policy: dedicated gets whole CPUs of its host that no other dedicated container has.
    exposed_ports: like 80/tcp. security_groups: ids. registry_id: whose credentials pull the image.
    networks_joined: how many networks it ever joined; the next one's position.
    host, availability_zone, hints: where it may be placed; host is a uuid.
    image_reference: the image's whole name, its registry's included. image_id: in the image service, if it is there.
    """

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
    files: tuple[FileRequest, ...] = ()
    healthcheck: Healthcheck | None = None
    exposed_ports: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    privileged: bool = False
    runtime: str | None = None
    cpu_policy: str = SHARED
    registry_id: str | None = None
    host: str | None = None
    availability_zone: str | None = None
    hints: dict[str, str] = field(default_factory=dict)
    networks_joined: int = 0
    image_reference: str | None = None
    image_id: str | None = None

    @property
    def reference(self) -> str:
        """The name by which its host knows its image."""
        return self.image_reference or self.image

    @property
    def dedicated_cpus(self) -> int:
        """How many CPUs of its host it gets for itself."""
        return math.ceil(self.cpus) if self.cpu_policy == DEDICATED else 0

    @property
    def host_labels(self) -> tuple[str, ...]:
        """The labels, like disk=fast, that its host must have: hints named label:KEY ask for them."""
        asked = [(name, value) for name, value in self.hints.items() if name.startswith(LABEL_HINT)]
        return tuple(f"{name.removeprefix(LABEL_HINT)}={value}" for name, value in asked)

    @property
    def security_profile(self) -> str | None:
        """How it is confined, if not as everybody: the name of an operator's profile, out of the hint of that name."""
        return self.hints.get(security_profile.HINT)

    @property
    def claim(self) -> Resources:
        """What it takes of its host and its project's quota."""
        return Resources(self.cpus, self.memory_mib, self.disk_gib, self.dedicated_cpus)

    @property
    def container_count(self) -> int:
        """How many containers it is in its project's quota."""
        return 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ContainerSpec:
        found = known(cls, body)
        for key in ("command", "entrypoint", "exposed_ports", "security_groups"):
            if found.get(key) is not None:
                found[key] = tuple(found[key])
        if found.get("restart_policy") is not None:
            found["restart_policy"] = read(RestartPolicy, found["restart_policy"])
        if found.get("healthcheck") is not None:
            found["healthcheck"] = read(Healthcheck, found["healthcheck"])
        found["networks"] = tuple(NetworkRequest.from_json(item) for item in found.get("networks", ()))
        found["mounts"] = tuple(read(MountRequest, item) for item in found.get("mounts", ()))
        found["files"] = tuple(read(FileRequest, item) for item in found.get("files", ()))
        return cls(**found)
