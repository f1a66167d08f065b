# SPDX-License-Identifier: Apache-2.0
"""What the agent needs of a container engine, in the agent's own words.

Knows nothing of any engine's library. Containers are named by their workload's uuid where one
uuid is one container, and by the engine's id where a journal must be sure which one it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from zun_lite.domain.plan import Seen
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec


@dataclass(frozen=True)
class Container:
    """One container of ours as the engine shows it. Times are the engine's own text.

    member: which container of the capsule uuid it is; empty for a capsule's sandbox, and for who is no capsule's.
    out_of_memory: it has ended, killed by the kernel for the memory that it wanted.
    """

    uuid: str
    container_id: str
    state: str
    epoch: int
    build: int
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    hostname: str | None = None
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    ports: tuple[int, ...] = ()
    health: str | None = None
    member: str = ""
    out_of_memory: bool = False

    @property
    def seen(self) -> Seen:
        return Seen(
            self.container_id,
            self.state,
            self.epoch,
            self.build,
            self.started_at,
            health=self.health,
            exit_code=self.exit_code,
        )


@dataclass(frozen=True)
class Listed:
    """A container in a list, which says less than a look at it."""

    uuid: str
    container_id: str
    state: str
    epoch: int
    member: str = ""


@dataclass(frozen=True)
class Bind:
    """A folder or file of the host that the container sees at target."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Order:
    """A container to be made.

    member: it is this container of the capsule uuid. joins: the id of the container whose network and
    IPC namespaces it gets. shareable: others may join it. image: the engine's id of its image; else the
    name in its spec counts.
    """

    uuid: str
    epoch: int
    build: int
    spec: ContainerSpec
    binds: tuple[Bind, ...] = ()
    dns: tuple[str, ...] = ()
    member: str = ""
    joins: str = ""
    shareable: bool = False
    image: str = ""

    @property
    def own_uuid(self) -> str:
        """Of the container itself, where uuid is that of its workload."""
        return self.member or self.uuid


@dataclass(frozen=True)
class Limits:
    """What every container of a host is held to."""

    pids: int = 1024
    log_max_mib: int = 10
    log_max_files: int = 3


@dataclass(frozen=True)
class Event:
    """Something happened to a container. at_seconds: the machine's clock."""

    uuid: str
    name: str
    at_seconds: float


@dataclass(frozen=True)
class Engine:
    """What the engine says of itself; capacity without disk. labels: its operator's, like disk=fast."""

    capacity: Resources
    version: str
    runtimes: tuple[str, ...]
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Executed:
    """The end of a command. timed_out: it outlived its time; ended: its process is known to be gone."""

    output: bytes
    exit_code: int
    timed_out: bool = False
    ended: bool = True


class Runtime(Protocol):
    """A container engine. Unavailable: it does not answer; Failed: it answered that it could not.

    Every verb looks first: starting what runs, stopping what stands and removing what is gone are no errors.
    """

    def inventory(self) -> Engine: ...

    def containers(self) -> list[Listed]:
        """Every container of this installation, in any state."""
        ...

    def inspect(self, reference: str) -> Container | None:
        """The container of this name or id, if it is one of this installation."""
        ...

    def members(self, uuid: str) -> list[Container]:
        """The containers of a capsule, but for its sandbox."""
        ...

    def has_image(self, image: str) -> bool: ...

    def sandbox_image(self) -> str:
        """The name of the image of capsules' sandboxes, made now if it is not there."""
        ...

    def create(self, order: Order) -> str:
        """The id of the container, made now or found as it should be. Invalid: it can never be made."""
        ...

    def start(self, container_id: str) -> None:
        """Invalid: what the container should run cannot be run."""
        ...

    def stop(self, container_id: str, grace_seconds: int) -> None: ...

    def remove(self, container_id: str) -> None: ...

    def process(self, container_id: str) -> int:
        """The host's number of the container's first process, which is surely its own; 0 where it has none."""
        ...

    def forget(self, uuid: str) -> None:
        """Keep nothing on the host for a container that is gone, by whatever way it went."""
        ...

    def give_dns(self, uuid: str, servers: tuple[str, ...]) -> None:
        """The name servers of a container from now on, unless its user chose others."""
        ...

    def pause(self, container_id: str) -> None:
        """What does not run is left as it is; so with unpause and signal."""
        ...

    def unpause(self, container_id: str) -> None: ...

    def signal(self, container_id: str, name: str) -> None: ...

    def limit(self, container_id: str, cpus: float, memory_mib: int) -> None:
        """Hold a container that was made to other limits. Failed: the engine or the kernel refuses."""
        ...

    def execute(self, uuid: str, command: list[str], timeout_seconds: float, max_bytes: int) -> Executed:
        """NotFound: no such container. Conflict: it does not run. Output beyond max_bytes is dropped."""
        ...

    def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: int, max_bytes: int
    ) -> bytes:
        """The last max_bytes of a container's output; tail counts lines, None is all."""
        ...

    def events(self, since_seconds: float | None) -> Iterator[Event]:
        """What happens to containers of this installation, from now or since a moment, until the line breaks."""
        ...
