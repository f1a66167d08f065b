# SPDX-License-Identifier: Apache-2.0
"""Volume types: the tables and their queries.

One is always there, whether it has a row or not: the default (`LOCAL`). It gets a row when an
administrator changes it. Volumes keep the name of their type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from zun_lite.db.engine import Json, Moment, metadata, text_type, utc_now

LOCAL = "local"
DEFAULT_ID = "5f1ab2d7-6c1e-4d6f-9a50-1a7b5b3c9f10"

volume_types = sa.Table(
    "volume_types",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("name", text_type(255), nullable=False, unique=True),
    sa.Column("description", text_type(255)),
    sa.Column("is_public", sa.Boolean, nullable=False),
    sa.Column("extra_specs", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
)

volume_type_access = sa.Table(
    "volume_type_access",
    metadata,
    sa.Column("type_uuid", sa.String(36), sa.ForeignKey("volume_types.uuid"), primary_key=True),
    sa.Column("project_id", sa.String(64), primary_key=True),
)


@dataclass(frozen=True)
class VolumeType:
    """extra_specs: `fs_type` is xfs or ext4, `multiattach` is "<is> True" or not there; others mean nothing here.

    projects: those that may use one that is not public.
    """

    uuid: str
    name: str
    description: str | None = None
    is_public: bool = True
    extra_specs: Mapping[str, str] = field(default_factory=dict)
    projects: tuple[str, ...] = ()

    @property
    def fs_type(self) -> str:
        return self.extra_specs.get("fs_type", "xfs")

    @property
    def multiattach(self) -> bool:
        return self.extra_specs.get("multiattach", "").replace(" ", "").lower() == "<is>true"

    def is_for(self, project_id: str | None) -> bool:
        return self.is_public or project_id in self.projects


DEFAULT = VolumeType(DEFAULT_ID, LOCAL, "A file on the host of the container that first uses the volume")


def every(tx: sa.Connection) -> list[VolumeType]:
    """The newest first, the default last."""
    projects: dict[str, list[str]] = {}
    for type_uuid, project_id in tx.execute(sa.select(volume_type_access).order_by("project_id")):
        projects.setdefault(type_uuid, []).append(project_id)
    rows = tx.execute(sa.select(volume_types).order_by(volume_types.c.created_at.desc(), "uuid")).mappings()
    columns = ("uuid", "name", "description", "is_public", "extra_specs")
    found = [
        VolumeType(**{name: row[name] for name in columns}, projects=tuple(projects.get(row["uuid"], ())))
        for row in rows
    ]
    changed = [item for item in found if item.uuid == DEFAULT_ID]
    return [item for item in found if item.uuid != DEFAULT_ID] + (changed or [DEFAULT])


def get(tx: sa.Connection, uuid: str) -> VolumeType | None:
    return next((item for item in every(tx) if item.uuid == uuid), None)


def default(tx: sa.Connection) -> VolumeType:
    return every(tx)[-1]


def insert(tx: sa.Connection, kind: VolumeType) -> None:
    facts = {name: value for name, value in asdict(kind).items() if name != "projects"}
    tx.execute(sa.insert(volume_types).values(**facts, created_at=utc_now()))


def update(tx: sa.Connection, kind: VolumeType, changes: Mapping[str, Any]) -> None:
    mine = volume_types.c.uuid == kind.uuid
    if tx.execute(sa.select(volume_types.c.uuid).where(mine)).first() is None:
        insert(tx, kind)
    tx.execute(sa.update(volume_types).where(mine).values(**changes))


def remove(tx: sa.Connection, uuid: str) -> None:
    tx.execute(sa.delete(volume_type_access).where(volume_type_access.c.type_uuid == uuid))
    tx.execute(sa.delete(volume_types).where(volume_types.c.uuid == uuid))


def allow(tx: sa.Connection, uuid: str, project_id: str) -> None:
    tx.execute(sa.insert(volume_type_access).values(type_uuid=uuid, project_id=project_id))


def disallow(tx: sa.Connection, uuid: str, project_id: str) -> bool:
    """Whether it was allowed."""
    table = volume_type_access
    mine = sa.delete(table).where(table.c.type_uuid == uuid, table.c.project_id == project_id)
    return tx.execute(mine).rowcount == 1


def forget_project(tx: sa.Connection, project_id: str) -> bool:
    """The project may use none of those that are not public; whether it could."""
    mine = sa.delete(volume_type_access).where(volume_type_access.c.project_id == project_id)
    return tx.execute(mine).rowcount > 0


def are_open_to(tx: sa.Connection, project_id: str) -> bool:
    """Whether the project may use one that is not public."""
    query = sa.select(volume_type_access.c.type_uuid).where(volume_type_access.c.project_id == project_id)
    return tx.execute(query).first() is not None
