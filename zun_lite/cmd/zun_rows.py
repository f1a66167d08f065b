# SPDX-License-Identifier: Apache-2.0
"""Reads OpenStack Zun's own database: its registries, and its containers as bodies of a create.

Knows Zun's tables and nothing of ours; changes nothing there. Facts about the tables are from Zun's
models (zun/db/sqlalchemy/models.py) and its API as of 2025: JSON in text columns, memory in MiB as text,
an injected file's contents in base64, passwords of registries in Fernet under the first 32 characters
of [DEFAULT]auth_encryption_key.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from zun_lite.db.engine import Database
from zun_lite.domain import errors

CONTAINER, CAPSULE = 0, 1
LIVE = frozenset({"Running", "Restarting", "Paused", "Creating", "Rebuilding"})
GONE = frozenset({"Deleted", "Deleting"})
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "alembic_version": ("version_num",),
    "container": (
        "id", "uuid", "project_id", "user_id", "name", "image", "image_driver", "image_pull_policy", "command",
        "entrypoint", "environment", "labels", "workdir", "hostname", "cpu", "cpu_policy", "memory", "disk",
        "interactive", "tty", "auto_remove", "auto_heal", "restart_policy", "privileged", "runtime", "healthcheck",
        "exposed_ports", "security_groups", "addresses", "registry_id", "status", "container_type",
    ),
    "registry": ("id", "uuid", "project_id", "user_id", "name", "domain", "username", "password"),
    "volume": ("id", "cinder_volume_id", "volume_provider", "auto_remove", "contents"),
    "volume_mapping": ("volume_id", "container_path", "container_uuid"),
}  # fmt: skip


@dataclass(frozen=True)
class ZunRegistry:
    """password: as it is stored, locked."""

    uuid: str
    project_id: str
    user_id: str
    name: str
    domain: str
    username: str
    password: str | None


@dataclass(frozen=True)
class ZunContainer:
    """body: of a create at microversion 1.40, with Zun's own ids of networks, volumes, groups and the registry."""

    uuid: str
    project_id: str
    user_id: str
    name: str | None
    status: str
    body: dict[str, Any]


class ZunDatabase:
    """Invalid, Unavailable: it is not one, or cannot be used."""

    def __init__(self, url: str) -> None:
        self._db = Database(url)
        if self._db.is_sqlite and not os.path.exists(str(self._db.engine.url.database)):
            # SQLite would make it.
            raise errors.Invalid(f"There is no database at {self._db.name}; name that of Zun.")
        self._db.reach()
        self._tables = self._read_tables()

    def registries(self) -> list[ZunRegistry]:
        table = self._tables["registry"]
        return [
            ZunRegistry(
                row["uuid"], row["project_id"], row["user_id"], row["name"] or "", row["domain"],
                row["username"] or "", row["password"],
            )
            for row in self._rows(sa.select(table).order_by(table.c.id))
        ]  # fmt: skip

    def capsules(self) -> int:
        """How many capsules there are; their members are not counted."""
        table = self._tables["container"]
        query = sa.select(table.c.id).where(table.c.container_type == CAPSULE, table.c.status.not_in(GONE))
        return len(self._rows(query))

    def containers(self) -> tuple[list[ZunContainer], list[str]]:
        """Those that are not gone, oldest first; and a sentence for each row that cannot be understood."""
        table, registry = self._tables["container"], self._tables["registry"]
        registries = {row["id"]: row["uuid"] for row in self._rows(sa.select(registry.c.id, registry.c.uuid))}
        mounts = self._mounts()
        found, broken = [], []
        for row in self._rows(sa.select(table).where(table.c.container_type == CONTAINER).order_by(table.c.id)):
            if row["status"] in GONE:
                continue
            try:
                body = _body(row, registries, mounts.get(row["uuid"], ()))
                found.append(
                    ZunContainer(row["uuid"], row["project_id"], row["user_id"], row["name"], row["status"], body)
                )
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                broken.append(f"container {row['uuid'] or row['id']}: its row cannot be understood: {error}")
        return found, broken

    def close(self) -> None:
        self._db.close()

    def _read_tables(self) -> dict[str, sa.Table]:
        names = set(sa.inspect(self._db.engine).get_table_names())
        metadata, tables = sa.MetaData(), {}
        for name, columns in _NEEDED.items():
            if name not in names:
                raise errors.Invalid(
                    f"The database at {self._db.name} is not Zun's: it has no table {name}; name that of [database] "
                    "connection in zun.conf."
                )
            tables[name] = sa.Table(name, metadata, autoload_with=self._db.engine, resolve_fks=False)
            missing = sorted(set(columns) - set(tables[name].c.keys()))
            if missing:
                raise errors.Invalid(
                    f"The table {name} of the database at {self._db.name} has no {', '.join(missing)}: it is of an "
                    "older Zun; bring it up to date with `zun-db-manage upgrade` of Zun 10 or newer first."
                )
        return tables

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._db.read() as tx:
            return [dict(row) for row in tx.execute(query).mappings()]

    def _mounts(self) -> dict[str, list[dict[str, Any]]]:
        mapping, volume = self._tables["volume_mapping"], self._tables["volume"]
        query = sa.select(
            mapping.c.container_uuid, mapping.c.container_path, volume.c.cinder_volume_id, volume.c.contents
        ).join_from(mapping, volume, mapping.c.volume_id == volume.c.id)
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self._rows(query.order_by(mapping.c.container_uuid, mapping.c.container_path)):
            found.setdefault(row["container_uuid"], []).append(row)
        return found


def open_password(locked: str, key: str) -> str:
    """Invalid: it was locked with another key."""
    try:
        return Fernet(base64.b64encode(key[:32].encode())).decrypt(locked.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise errors.Invalid(
            "A registry's password does not open with that key; give [DEFAULT] auth_encryption_key of zun.conf."
        ) from error


def _body(row: Mapping[str, Any], registries: Mapping[int, str], mounts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """ValueError and the like: the row makes no sense."""
    if not row["uuid"] or not row["project_id"]:
        raise ValueError("it has no uuid or no project")
    ports = _document(row["exposed_ports"], dict)
    body: dict[str, Any] = {
        "name": row["name"],
        "image": row["image"],
        "image_driver": row["image_driver"],
        "image_pull_policy": row["image_pull_policy"],
        "command": _words(row["command"]),
        "entrypoint": _words(row["entrypoint"]),
        "environment": _document(row["environment"], dict),
        "labels": _document(row["labels"], dict),
        "workdir": row["workdir"],
        "hostname": row["hostname"],
        "cpu": row["cpu"],
        "cpu_policy": row["cpu_policy"],
        "memory": None if row["memory"] is None else _mib(row["memory"]),
        "disk": row["disk"] or None,
        "interactive": bool(row["interactive"]),
        "tty": bool(row["tty"]),
        "auto_remove": bool(row["auto_remove"]),
        "auto_heal": bool(row["auto_heal"]),
        "restart_policy": _document(row["restart_policy"], dict),
        "privileged": bool(row["privileged"]) or None,
        "runtime": row["runtime"],
        "healthcheck": _document(row["healthcheck"], dict),
        "exposed_ports": ports,
        # The groups of a container with exposed ports were made for it by the service.
        "security_groups": None if ports else _document(row["security_groups"], list),
        "nets": _nets(_document(row["addresses"], dict) or {}),
        "mounts": [_mount(mount) for mount in mounts],
        "registry": registries[row["registry_id"]] if row["registry_id"] is not None else None,
    }
    return {name: value for name, value in body.items() if value not in (None, "", [], {})}


def _document(text: str | None, kind: type) -> Any:
    if text in (None, ""):
        return None
    value = json.loads(text)
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{text[:60]!r} is no JSON {kind.__name__}")
    return value


def _words(text: str | None) -> list[str] | None:
    """A list in JSON, or, of an older version, what a user typed."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return shlex.split(text)
    return [str(word) for word in value] if isinstance(value, list) else shlex.split(text)


def _mib(text: str) -> int:
    """Zun's older rows end in a letter: 512m, 512M, 1g."""
    units = {"k": 1 / 1024, "m": 1, "g": 1024}
    last = text[-1].lower()
    return int(float(text[:-1]) * units[last]) if last in units else int(text)


def _nets(addresses: Mapping[str, list[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    found = []
    for network_id, given in addresses.items():
        net = {"network": network_id}
        for address in given:
            net[f"v{address.get('version', 4)}-fixed-ip"] = address["addr"]
        found.append(net)
    return found


def _mount(row: Mapping[str, Any]) -> dict[str, Any]:
    if row["cinder_volume_id"]:
        return {"type": "volume", "source": row["cinder_volume_id"], "destination": row["container_path"]}
    if row["contents"] is None:
        raise ValueError(f"its mount at {row['container_path']} has neither a volume nor contents")
    return {"type": "bind", "source": row["contents"], "destination": row["container_path"]}
