# SPDX-License-Identifier: Apache-2.0
"""How many volumes, snapshots and GiB of both a project may have.

Its own limits count, else those of the default class, else the installation's.
hold() is called in the transaction that makes or grows something, before it does; it keeps the project
until the transaction ends, so that no two pass a limit together.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from zun_lite.db import revisions, volume_quotas, volume_snapshots, volume_types, volumes
from zun_lite.domain import errors

UNLIMITED = -1
MOST = 2**31 - 1
DEFAULT_CLASS = "default"
VOLUMES, GIGABYTES, SNAPSHOTS, PER_VOLUME = "volumes", "gigabytes", "snapshots", "per_volume_gigabytes"
BY_TYPE = (VOLUMES, GIGABYTES, SNAPSHOTS)
# What clients show and this server does not have; they cannot be used up.
UNCOUNTED = ("backups", "backup_gigabytes", "groups")
RESOURCES = (VOLUMES, GIGABYTES, SNAPSHOTS, PER_VOLUME, *UNCOUNTED)


class VolumeQuotas:
    """limits: of a project for which none is set, by resource; -1 or none is no limit."""

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self._limits = {name: (limits or {}).get(name, UNLIMITED) for name in RESOURCES}

    def defaults(self, tx: sa.Connection) -> dict[str, int]:
        """Of a project for which none is set: those of every type, too."""
        limits = {**self._limits, **dict.fromkeys(_typed_resources(tx), UNLIMITED)}
        of_class = volume_quotas.of_owner(tx, volume_quotas.quota_class(DEFAULT_CLASS))
        return {name: of_class.get(name, most) for name, most in limits.items()}

    def of_project(self, tx: sa.Connection, project_id: str) -> dict[str, int]:
        own = volume_quotas.of_project(tx, project_id)
        return {name: own.get(name, most) for name, most in self.defaults(tx).items()}

    def hold(
        self,
        tx: sa.Connection,
        project_id: str,
        volume_type: str,
        *,
        count: int = 0,
        snapshots: int = 0,
        gigabytes: int = 0,
        size_gib: int = 0,
        retyped: bool = False,
    ) -> None:
        """TooLarge (overLimit): the project has too much already to get that much more.

        count: of volumes more. gigabytes: more of them. size_gib: of the volume as it will be. retyped: the project has
        all of it already, and it becomes of this type.
        """
        revisions.raise_one(tx, scope(project_id))
        limits, counts = self.of_project(tx, project_id), used(tx, project_id)
        if size_gib > limits[PER_VOLUME] != UNLIMITED:
            raise _over(
                f"Requested volume size {size_gib}G is larger than maximum allowed limit {limits[PER_VOLUME]}G."
            )
        for end in (f"_{volume_type}",) if retyped else ("", f"_{volume_type}"):
            _check(limits, counts, f"{VOLUMES}{end}", count)
            _check(limits, counts, f"{SNAPSHOTS}{end}", snapshots)
            _check(limits, counts, f"{GIGABYTES}{end}", gigabytes)


def used(tx: sa.Connection, project_id: str) -> dict[str, int]:
    """How much a project has of everything, as a whole and by type."""
    counts = dict.fromkeys((*RESOURCES, *_typed_resources(tx)), 0)
    for name, (count, gibs) in volumes.usage_by_type(tx, project_id).items():
        _add(counts, VOLUMES, name, count)
        _add(counts, GIGABYTES, name, gibs)
    for name, (count, gibs) in volume_snapshots.usage_by_type(tx, project_id).items():
        _add(counts, SNAPSHOTS, name, count)
        _add(counts, GIGABYTES, name, gibs)
    return counts


def typed(resource: str, type_name: str) -> str:
    """The resource as far as it is of that type."""
    return f"{resource}_{type_name}"


def scope(project_id: str) -> str:
    """The revision that is raised before a project gets more."""
    return f"volumes:{project_id}"


def _typed_resources(tx: sa.Connection) -> list[str]:
    return [typed(resource, kind.name) for kind in volume_types.every(tx) for resource in BY_TYPE]


def _add(counts: dict[str, int], resource: str, type_name: str, number: int) -> None:
    counts[resource] += number
    of_type = typed(resource, type_name)
    counts[of_type] = counts.get(of_type, 0) + number


def _check(limits: dict[str, int], counts: dict[str, int], name: str, more: int) -> None:
    most, there = limits.get(name, UNLIMITED), counts.get(name, 0)
    if not more or most == UNLIMITED or there + more <= most:
        return
    if name.startswith(GIGABYTES):
        raise _over(
            f"Requested volume or snapshot exceeds allowed {name} quota. Requested {more}G, quota is {most}G and "
            f"{there}G has been consumed."
        )
    if name.startswith(VOLUMES):
        raise _over(f"Maximum number of volumes allowed ({most}) exceeded for quota '{name}'.")
    raise _over(f"Maximum number of snapshots allowed ({most}) exceeded for quota '{name}'.")


def _over(sentence: str) -> errors.TooLarge:
    return errors.TooLarge(sentence, kind="overLimit")
