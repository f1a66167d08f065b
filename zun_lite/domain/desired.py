# SPDX-License-Identifier: Apache-2.0
"""What the API tells a host and what a host tells the API: the bodies of /node/v1.

Both sides build and read them here, so that the wire has one definition.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from zun_lite.domain.capsule import CONTAINER, read_spec
from zun_lite.domain.lifecycle import Goal, Observed
from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec
from zun_lite.domain.stored import known, read
from zun_lite.domain.wiring import Wiring


@dataclass(frozen=True)
class Desired:
    """One workload that a host should hold. ready: its ports and volumes are provided for.

    kind: container, or capsule, whose spec is a CapsuleSpec. request_id: by which request it became what it is, for
    logs.
    """

    uuid: str
    project_id: str
    name: str
    epoch: int
    generation: int
    goal: Goal
    spec: ContainerSpec
    wiring: Wiring
    ready: bool
    kind: str = CONTAINER
    request_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "uuid": self.uuid,
            "project_id": self.project_id,
            "name": self.name,
            "epoch": self.epoch,
            "generation": self.generation,
            "goal": self.goal.to_json(),
            "spec": self.spec.to_json(),
            "wiring": self.wiring.to_json(),
            "ready": self.ready,
            "kind": self.kind,
            "request_id": self.request_id,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Desired:
        return cls(
            uuid=body["uuid"],
            project_id=body["project_id"],
            name=body["name"],
            epoch=body["epoch"],
            generation=body["generation"],
            goal=Goal.from_json(body["goal"]),
            spec=read_spec(body.get("kind", CONTAINER), body["spec"]),
            wiring=Wiring.from_json(body["wiring"]),
            ready=body["ready"],
            kind=body.get("kind", CONTAINER),
            request_id=body.get("request_id"),
        )


@dataclass(frozen=True)
class KeptImage:
    """An image that an administrator wants on the host; wanted is False once it need not stay."""

    uuid: str
    reference: str
    wanted: bool = True


@dataclass(frozen=True)
class CommitOrder:
    """An image that is to be made of a workload's container, and sent to the image service."""

    image_id: str
    workload_uuid: str


@dataclass(frozen=True)
class ImageNews:
    """What became of a KeptImage or a CommitOrder, by its id. problem: why it failed; gone: it stays no longer."""

    uuid: str
    image_id: str | None = None
    size_bytes: int | None = None
    problem: str | None = None
    gone: bool = False


VOLUME, SNAPSHOT = "volume", "snapshot"
MAKE, COPY, GROW, TAKE, DESTROY = "make", "copy", "grow", "take", "destroy"


@dataclass(frozen=True)
class VolumeOrder:
    """What a host is to do about a volume or a snapshot in its pool; done when it is there, or gone.

    kind: volume or snapshot. act: make (an empty volume), copy (a volume out of the volume or snapshot
    source_id), grow (to size_gib), take (a snapshot of the volume source_id), destroy (a snapshot).
    attempt: grows with each order about it. made: the volume is known to have its file.
    """

    uuid: str
    kind: str
    act: str
    attempt: int
    size_gib: int
    fs_type: str = "xfs"
    source_kind: str = ""
    source_id: str = ""
    made: bool = False


@dataclass(frozen=True)
class VolumeNews:
    """What became of a VolumeOrder, of which attempt; or of a doomed volume that cannot be removed, attempt 0.

    problem: why it failed; None: it is done. later: it is done but for the file system, which grows at the next mount.
    """

    uuid: str
    kind: str
    attempt: int
    problem: str | None = None
    later: bool = False


@dataclass(frozen=True)
class Login:
    """What a host needs to pull by a registry. It is kept in memory, for as long as the pull takes."""

    domain: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class DesiredSet:
    """All that one host should hold, at one revision.

    doomed_volumes: ids of volumes whose file on this host is to be removed.
    """

    revision: int
    workloads: tuple[Desired, ...]
    doomed_volumes: tuple[str, ...] = ()
    kept_images: tuple[KeptImage, ...] = ()
    commits: tuple[CommitOrder, ...] = ()
    volumes: tuple[VolumeOrder, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "workloads": [workload.to_json() for workload in self.workloads],
            "doomed_volumes": list(self.doomed_volumes),
            "kept_images": [asdict(item) for item in self.kept_images],
            "commits": [asdict(item) for item in self.commits],
            "volumes": [asdict(item) for item in self.volumes],
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> DesiredSet:
        return cls(
            body["revision"],
            tuple(Desired.from_json(item) for item in body["workloads"]),
            tuple(body.get("doomed_volumes", ())),
            tuple(read(KeptImage, item) for item in body.get("kept_images", ())),
            tuple(read(CommitOrder, item) for item in body.get("commits", ())),
            tuple(read(VolumeOrder, item) for item in body.get("volumes", ())),
        )


@dataclass(frozen=True)
class Inventory:
    """What a host is: its capacity and its engine. disk_gib counts the volume pool's file system.

    underlay_address: where other hosts' tunnels end, None where it is alone. external_bridge: the machine's
    bridge by which its routers lead out, None where they go by the host's own way. pool_dir: the volume pool;
    pool_shared: other hosts that say so have the same one; pool_free_gib: what is free there. connector: what os-brick
    says of the host, for drivers of Cinder's; empty without os-brick.
    """

    capacity: Resources
    docker_version: str = ""
    runtimes: tuple[str, ...] = ()
    architecture: str = ""
    os_type: str = "linux"
    os: str = ""
    kernel_version: str = ""
    labels: tuple[str, ...] = ()
    underlay_address: str | None = None
    external_bridge: str | None = None
    pool_dir: str = ""
    pool_shared: bool = False
    pool_free_gib: int = 0
    connector: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Inventory:
        found = known(cls, body)
        found["capacity"] = read(Resources, body["capacity"])
        for key in ("runtimes", "labels"):
            found[key] = tuple(found.get(key, ()))
        return cls(**found)


@dataclass(frozen=True)
class Report:
    """An agent's message. full: it speaks of every workload the host has, not only of changed ones.

    workloads: (uuid, observed) pairs. removed_volumes: doomed volumes whose file is gone.
    images: what became of images that were to be kept or made. volumes: likewise of volumes and snapshots.
    """

    boot_id: str
    inventory: Inventory | None
    full: bool
    workloads: tuple[tuple[str, Observed], ...]
    removed_volumes: tuple[str, ...] = ()
    images: tuple[ImageNews, ...] = ()
    volumes: tuple[VolumeNews, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "boot_id": self.boot_id,
            "inventory": self.inventory.to_json() if self.inventory else None,
            "full": self.full,
            "workloads": [{"uuid": uuid, "observed": observed.to_json()} for uuid, observed in self.workloads],
            "removed_volumes": list(self.removed_volumes),
            "images": [asdict(item) for item in self.images],
            "volumes": [asdict(item) for item in self.volumes],
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Report:
        pairs = []
        for item in body["workloads"]:
            observed = Observed.from_json(item["observed"])
            if observed is not None:
                pairs.append((item["uuid"], observed))
        return cls(
            boot_id=body["boot_id"],
            inventory=Inventory.from_json(body["inventory"]) if body.get("inventory") else None,
            full=bool(body["full"]),
            workloads=tuple(pairs),
            removed_volumes=tuple(body.get("removed_volumes", ())),
            images=tuple(read(ImageNews, item) for item in body.get("images", ())),
            volumes=tuple(read(VolumeNews, item) for item in body.get("volumes", ())),
        )
