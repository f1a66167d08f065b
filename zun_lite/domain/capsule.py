# SPDX-License-Identifier: Apache-2.0
"""A capsule as a user asked for it: containers that share one network and one set of volumes.

A CapsuleSpec is the ContainerSpec of the capsule's sandbox, the container that holds the network for
the others; so whoever claims, places, provides for or counts a workload needs to know nothing of
capsules. What the members are, only the agent and the views ask.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from zun_lite.domain.resources import Resources
from zun_lite.domain.spec import ContainerSpec, MountRequest, RestartPolicy
from zun_lite.domain.stored import known, read

CONTAINER = "container"
CAPSULE = "capsule"

ALWAYS, ON_FAILURE, NEVER = "always", "on-failure", "no"
INIT_TRIES = 10


@dataclass(frozen=True)
class MemberMount:
    """Where a member sees one of the capsule's volumes. volume: its name in the capsule."""

    volume: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Member:
    """One container of a capsule. uuid: its own, as users see it; its spec has no networks and mounts."""

    uuid: str
    name: str
    spec: ContainerSpec
    mounts: tuple[MemberMount, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Member:
        found = known(cls, body)
        found["spec"] = ContainerSpec.from_json(body["spec"])
        found["mounts"] = tuple(read(MemberMount, item) for item in body.get("mounts", ()))
        return cls(**found)


@dataclass(frozen=True)
class CapsuleSpec(ContainerSpec):
    """members run side by side once init_members have ended well, one after the other.

    image: the first member's, as lists are filtered by it; the sandbox has an image of its own.
    volumes: the names of the volumes, in the order of mounts.
    """

    members: tuple[Member, ...] = ()
    init_members: tuple[Member, ...] = ()
    volumes: tuple[str, ...] = ()
    annotations: dict[str, str] | None = None

    @property
    def container_count(self) -> int:
        return len(self.members) + len(self.init_members)

    @property
    def every_member(self) -> tuple[Member, ...]:
        """In the order in which they come to be."""
        return (*self.init_members, *self.members)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> CapsuleSpec:
        plain = ContainerSpec.from_json({key: value for key, value in body.items() if key in _PLAIN})
        return cls(
            **{name: getattr(plain, name) for name in _PLAIN},
            members=tuple(Member.from_json(item) for item in body.get("members", ())),
            init_members=tuple(Member.from_json(item) for item in body.get("init_members", ())),
            volumes=tuple(body.get("volumes", ())),
            annotations=body.get("annotations"),
        )


_PLAIN = tuple(item.name for item in fields(ContainerSpec))


def assemble(
    members: tuple[Member, ...],
    init_members: tuple[Member, ...],
    volumes: tuple[tuple[str, MountRequest], ...],
    restart_policy: str,
    *,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> CapsuleSpec:
    """A capsule without networks yet. It claims what it needs at its height: all members, or one init member."""
    policy = RestartPolicy(restart_policy)
    # An init container that is to be restarted for ever would keep the capsule from ever beginning.
    init_policy = RestartPolicy(ON_FAILURE, INIT_TRIES) if restart_policy != NEVER else policy
    members = tuple(replace(item, spec=replace(item.spec, restart_policy=policy)) for item in members)
    init_members = tuple(replace(item, spec=replace(item.spec, restart_policy=init_policy)) for item in init_members)
    claim = claim_of([item.spec.claim for item in members], [item.spec.claim for item in init_members])
    return CapsuleSpec(
        image=members[0].spec.image,
        labels=labels or {},
        cpus=claim.cpus,
        memory_mib=claim.memory_mib,
        disk_gib=claim.disk_gib,
        restart_policy=policy,
        mounts=tuple(mount for _, mount in volumes),
        members=members,
        init_members=init_members,
        volumes=tuple(name for name, _ in volumes),
        annotations=annotations,
    )


def claim_of(together: list[Resources], one_by_one: list[Resources]) -> Resources:
    """What is taken at most by some that run together, and before them others that run one after the other."""
    total = Resources()
    for claim in together:
        total = total + claim
    heights = [total, *one_by_one]
    height = Resources(**{item.name: max(getattr(one, item.name) for one in heights) for item in fields(Resources)})
    return replace(height, cpus=round(height.cpus, 6))


def read_spec(kind: str, body: dict[str, Any]) -> ContainerSpec:
    """The stored spec of a workload of this kind."""
    return CapsuleSpec.from_json(body) if kind == CAPSULE else ContainerSpec.from_json(body)
