# SPDX-License-Identifier: Apache-2.0
"""What netd must remember over a restart or a reboot: one file a container, one a volume, one for the plane.

For a host whose own Docker is shown tenants' networks, also one a port that it has, and one a network.

A file is replaced whole and is on the disk when save_* returns. Reads are from memory: this program
is the folder's only writer. Callers hold the lock of the object that they change.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from zun_lite.common import crash
from zun_lite.domain.stored import known
from zun_lite.domain.wiring import Attachment, Endpoint

LOG = logging.getLogger(__name__)
_PLANE = "plane"
_HOST = "host"


@dataclass(frozen=True)
class VolumeFile:
    """A volume that a container needs, and the file it is in."""

    attachment: Attachment
    path: str


@dataclass(frozen=True)
class ContainerRecord:
    """How one Docker container is connected.

    by_docker: Docker itself brings the links into the container; container_id is an endpoint of Docker's then.
    """

    container_id: str
    workload: str
    epoch: int
    endpoints: tuple[Endpoint, ...]
    volumes: tuple[VolumeFile, ...]
    by_docker: bool = False

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ContainerRecord:
        return cls(
            body["container_id"],
            body["workload"],
            body["epoch"],
            tuple(Endpoint.from_json(item) for item in body["endpoints"]),
            tuple(VolumeFile(Attachment.from_json(item["attachment"]), item["path"]) for item in body["volumes"]),
            body.get("by_docker", False),
        )


@dataclass(frozen=True)
class VolumeRecord:
    """A volume that is attached to this host, or was about to be.

    epochs: the attachments that share it, where several may; the record's own attachment is the newest of them, with
    the access that the mount has.
    """

    attachment: Attachment
    path: str
    epochs: tuple[int, ...] = ()

    @property
    def volume_id(self) -> str:
        return self.attachment.volume_id

    @property
    def epoch(self) -> int:
        return self.attachment.epoch

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> VolumeRecord:
        return cls(Attachment.from_json(body["attachment"]), body["path"], tuple(body.get("epochs", ())))


@dataclass(frozen=True)
class Reservation:
    """A port of a tenant's network for a container of the host's own Docker.

    endpoint: as the API answered it, None while it has not. endpoint_id: Docker's name for it, empty until it has one.
    sandbox: the container that it is in, by Docker's name. settled: its link was seen at work, so that it is in its
    container. leaving: Docker has given it back, and the API is to hear of it.
    """

    key: str
    network_id: str
    mac: str
    endpoint: Endpoint | None = None
    endpoint_id: str = ""
    sandbox: str = ""
    settled: bool = False
    leaving: bool = False

    @property
    def ips(self) -> frozenset[str]:
        return frozenset(address.ip for address in self.endpoint.addresses) if self.endpoint else frozenset()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Reservation:
        endpoint = body.get("endpoint")
        return cls(**{**known(cls, body), "endpoint": Endpoint.from_json(endpoint) if endpoint else None})


class Store:
    """The records. damaged: files that could not be read; while there are any, nothing counts as a stray."""

    def __init__(self, folder: str) -> None:
        self._container_folder = os.path.join(folder, "containers")
        self._volume_folder = os.path.join(folder, "volumes")
        self._reservation_folder = os.path.join(folder, "docker-ports")
        self._shown_folder = os.path.join(folder, "docker-networks")
        self._folder = folder
        self._guard = threading.Lock()
        self.damaged: list[str] = []
        self._formatting_folder = os.path.join(folder, "formatting")
        for path in (
            self._container_folder,
            self._volume_folder,
            self._reservation_folder,
            self._shown_folder,
            self._formatting_folder,
        ):
            os.makedirs(path, mode=0o700, exist_ok=True)
        self._containers = {
            record.container_id: record for record in self._load(self._container_folder, ContainerRecord.from_json)
        }
        self._by_network: dict[str, dict[str, None]] = {}
        self._versions: dict[str, int] = {}
        self._last_version = 0
        for record in self._containers.values():
            self._index(None, record)
        self._volumes = {record.volume_id: record for record in self._load(self._volume_folder, VolumeRecord.from_json)}
        self._reservations: dict[str, Reservation] = {
            record.key: record for record in self._load(self._reservation_folder, Reservation.from_json)
        }
        self._shown: dict[str, str] = dict(
            self._load(self._shown_folder, lambda body: (body["docker_network"], body["network_id"]))
        )

    def host_id(self) -> str:
        """Who this host is to others that see the same volume files; made once, random."""
        path = os.path.join(self._folder, f"{_HOST}.json")
        try:
            with open(path) as file:
                return str(uuid.UUID(json.load(file)["host_id"]))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            LOG.error("this host's id in %s cannot be read and is made anew: %s", path, error)
        host_id = str(uuid.uuid4())
        self._write(self._folder, _HOST, {"host_id": host_id})
        return host_id

    def containers(self) -> list[ContainerRecord]:
        with self._guard:
            return sorted(self._containers.values(), key=lambda record: record.container_id)

    def on_network(self, network_id: str) -> list[ContainerRecord]:
        """The records that name a network."""
        with self._guard:
            return [self._containers[item] for item in self._by_network.get(network_id, ())]

    def version_on(self, network_id: str) -> int:
        """A number that changes with the records that name a network; 0 while none does."""
        with self._guard:
            return self._versions.get(network_id, 0)

    def container(self, container_id: str) -> ContainerRecord | None:
        with self._guard:
            return self._containers.get(container_id)

    def save_container(self, record: ContainerRecord) -> None:
        crash.point("netd.store.before")
        self._write(self._container_folder, record.container_id, asdict(record))
        with self._guard:
            self._index(self._containers.get(record.container_id), record)
            self._containers[record.container_id] = record
        crash.point("netd.store.after")

    def drop_container(self, container_id: str) -> None:
        self._delete(self._container_folder, container_id)
        with self._guard:
            self._index(self._containers.pop(container_id, None), None)

    def plane(self) -> dict[str, Any] | None:
        """The last plane as JSON; empty when its file cannot be read, None when there never was one."""
        path = os.path.join(self._folder, f"{_PLANE}.json")
        try:
            with open(path) as file:
                return json.load(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            LOG.error("the plane in %s cannot be read: %s", path, error)
            return {}

    def save_plane(self, body: dict[str, Any]) -> None:
        self._write(self._folder, _PLANE, body)

    def volumes(self) -> list[VolumeRecord]:
        with self._guard:
            return sorted(self._volumes.values(), key=lambda record: record.volume_id)

    def volume(self, volume_id: str) -> VolumeRecord | None:
        with self._guard:
            return self._volumes.get(volume_id)

    def save_volume(self, record: VolumeRecord) -> None:
        self._write(self._volume_folder, record.volume_id, asdict(record))
        with self._guard:
            self._volumes[record.volume_id] = record

    def drop_volume(self, volume_id: str) -> None:
        self._delete(self._volume_folder, volume_id)
        with self._guard:
            self._volumes.pop(volume_id, None)

    def reservations(self) -> list[Reservation]:
        with self._guard:
            return sorted(self._reservations.values(), key=lambda record: record.key)

    def reservation(self, key: str) -> Reservation | None:
        with self._guard:
            return self._reservations.get(key)

    def save_reservation(self, record: Reservation) -> None:
        self._write(self._reservation_folder, record.key, asdict(record))
        with self._guard:
            self._reservations[record.key] = record

    def drop_reservation(self, key: str) -> None:
        self._delete(self._reservation_folder, key)
        with self._guard:
            self._reservations.pop(key, None)

    def shown(self, docker_network: str) -> str | None:
        """The tenant's network that a network of Docker's stands for, where its maker said so."""
        with self._guard:
            return self._shown.get(docker_network)

    def save_shown(self, docker_network: str, network_id: str) -> None:
        self._write(self._shown_folder, docker_network, {"docker_network": docker_network, "network_id": network_id})
        with self._guard:
            self._shown[docker_network] = network_id

    def drop_shown(self, docker_network: str) -> None:
        self._delete(self._shown_folder, docker_network)
        with self._guard:
            self._shown.pop(docker_network, None)

    def is_formatting(self, volume_id: str) -> bool:
        """Whether a first file system was begun on a volume, and nobody said that it was made."""
        return os.path.exists(os.path.join(self._formatting_folder, f"{volume_id}.json"))

    def note_formatting(self, volume_id: str, is_so: bool) -> None:
        if is_so:
            self._write(self._formatting_folder, volume_id, {})
        else:
            self._delete(self._formatting_folder, volume_id)

    def _index(self, before: ContainerRecord | None, after: ContainerRecord | None) -> None:
        """Keep up which records name which network."""
        for record in (before, after):
            for endpoint in record.endpoints if record else ():
                self._last_version += 1
                self._versions[endpoint.network_id] = self._last_version
        for endpoint in before.endpoints if before else ():
            self._by_network.get(endpoint.network_id, {}).pop(before.container_id, None)  # type: ignore[union-attr]
            if not self._by_network.get(endpoint.network_id):
                self._by_network.pop(endpoint.network_id, None)
                # no number comes twice, so that one of a network that nobody names need not be kept
                self._versions.pop(endpoint.network_id, None)
        for endpoint in after.endpoints if after else ():
            self._versions.setdefault(endpoint.network_id, self._last_version)
            self._by_network.setdefault(endpoint.network_id, {})[after.container_id] = None  # type: ignore[union-attr]

    def _load(self, folder: str, from_json: Any) -> list[Any]:
        records = []
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if not name.endswith(".json"):
                # a half-written file of a killed netd
                os.unlink(path)
                continue
            try:
                with open(path) as file:
                    records.append(from_json(json.load(file)))
            except (OSError, ValueError, KeyError, TypeError) as error:
                LOG.error("record %s cannot be read and is passed over: %s", path, error)
                self.damaged.append(path)
        return records

    def _write(self, folder: str, name: str, body: dict[str, Any]) -> None:
        path = os.path.join(folder, f"{name}.json")
        half = os.path.join(folder, f"{name}.half")
        with open(half, "w") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(half, path)
        _sync_folder(folder)

    def _delete(self, folder: str, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, f"{name}.json"))
            _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
