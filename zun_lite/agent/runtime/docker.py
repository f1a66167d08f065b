# SPDX-License-Identifier: Apache-2.0
"""The one door to the Docker Engine: what the agent asks, in Docker's words, and Docker's errors in ours.

A container is found by its name, zun-<uuid>, and believed to be ours only by its labels. Docker is
not contacted before the first call, and a call that fails because it does not answer is Unavailable.
"""

from __future__ import annotations

import contextlib
import logging
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import docker
import docker.errors
import requests
from urllib3.exceptions import HTTPError

from zun_lite.agent.runtime import docker_config, docker_running, sandbox, words
from zun_lite.agent.runtime.base import Bind, Container, Engine, Event, Executed, Limits, Listed, Order
from zun_lite.agent.runtime.etc import EtcFiles
from zun_lite.agent.runtime.files import GivenFiles, give
from zun_lite.agent.runtime.processes import belongs_to, end_tree
from zun_lite.domain import errors, names
from zun_lite.domain.resources import Resources
from zun_lite.domain.security_profile import SecurityProfile

LOG = logging.getLogger(__name__)

EVENTS = ("create", "start", "die", "destroy", "pause", "unpause", "rename", "health_status")

_LOOK_SECONDS = 10.0
_CHANGE_SECONDS = 60.0
_STOP_MARGIN_SECONDS = 15.0
_FRAME_HEADER = struct.Struct(">BxxxL")


class DockerRuntime:
    """One host's Docker Engine, for the containers labelled with one cluster.

    etc: writes what Docker's network sandbox would; without it, containers get such a sandbox.
    files: keeps the files that users gave to their containers; without it, containers get none.
    profiles: the security profiles that users may pick, by name.
    """

    def __init__(
        self,
        socket: str,
        cluster: str,
        runtime: str,
        limits: Limits,
        etc: EtcFiles | None = None,
        files: GivenFiles | None = None,
        profiles: Mapping[str, SecurityProfile] | None = None,
    ) -> None:
        self._socket = socket
        self._cluster = cluster
        self._runtime = runtime
        self._limits = limits
        self._etc = etc
        self._files = files
        self._profiles = profiles or {}
        self._connecting = threading.Lock()
        self._client: _Client | None = None
        self._dedicating = threading.Lock()
        self._known_traits: docker_config.Traits | None = None
        self._sandbox: sandbox.SandboxImage | None = None

    def inventory(self) -> Engine:
        with self._asking(_LOOK_SECONDS) as api:
            found = api.info()
        return Engine(
            capacity=Resources(float(found["NCPU"]), found["MemTotal"] // 1024**2, 0),
            version=found["ServerVersion"],
            runtimes=tuple(sorted(found.get("Runtimes") or ())),
            labels=tuple(sorted(found.get("Labels") or ())),
            architecture=found["Architecture"],
            os_type=found["OSType"],
            os=found["OperatingSystem"],
            kernel_version=found["KernelVersion"],
        )

    def containers(self) -> list[Listed]:
        label = f"{names.LABEL_CLUSTER}={self._cluster}"
        with self._asking(_CHANGE_SECONDS) as api:
            found = api.containers(all=True, filters={"label": [label]})
        return [
            Listed(
                item["Labels"].get(names.LABEL_UUID, ""),
                item["Id"],
                words.state(item["State"]),
                words.number(item["Labels"].get(names.LABEL_EPOCH)),
                item["Labels"].get(names.LABEL_MEMBER, ""),
            )
            for item in found
        ]

    def inspect(self, reference: str) -> Container | None:
        try:
            with self._asking(_LOOK_SECONDS) as api:
                found = api.inspect_container(reference)
        except errors.NotFound:
            return None
        labels = found["Config"].get("Labels") or {}
        if labels.get(names.LABEL_CLUSTER) != self._cluster:
            return None
        return words.container(found)

    def members(self, uuid: str) -> list[Container]:
        label = [f"{names.LABEL_CLUSTER}={self._cluster}", f"{names.LABEL_UUID}={uuid}", names.LABEL_MEMBER]
        with self._asking(_CHANGE_SECONDS) as api:
            listed = api.containers(all=True, filters={"label": label})
        found = [self.inspect(item["Id"]) for item in listed if item["Labels"].get(names.LABEL_MEMBER)]
        return [item for item in found if item is not None]

    def sandbox_image(self) -> str:
        if self._sandbox is None:
            self._sandbox = sandbox.build(self._cluster)
        if not self.has_image(self._sandbox.reference):
            with self._asking(_CHANGE_SECONDS) as api:
                name, tag = self._sandbox.reference.split(":")
                api.import_image_from_data(self._sandbox.layer, name, tag, changes=list(self._sandbox.changes))
        return self._sandbox.reference

    def has_image(self, image: str) -> bool:
        try:
            with self._asking(_LOOK_SECONDS) as api:
                api.inspect_image(image)
        except errors.NotFound:
            return False
        except errors.Invalid as error:
            raise errors.NoSuchImage(f"{image!r} is not the name of an image.") from error
        return True

    def create(self, order: Order) -> str:
        try:
            return self._create(order)
        except errors.Conflict:
            existing = self._of_ours(names.docker_name(order.own_uuid))
        if (existing.uuid, existing.epoch, existing.build) == (order.uuid, order.epoch, order.build):
            return existing.container_id
        if existing.epoch > order.epoch:
            raise errors.Conflict("A newer container of this workload is on its host.")
        self.remove(existing.container_id)
        return self._create(order)

    def start(self, container_id: str) -> None:
        try:
            with self._asking(_CHANGE_SECONDS) as api:
                api.start(container_id)
        except errors.NotFound as error:
            raise errors.Failed("The container went away before it was started.") from error
        except (errors.Failed, errors.Invalid, errors.Conflict) as error:
            raise words.start_error(error) from error

    def stop(self, container_id: str, grace_seconds: int) -> None:
        try:
            with self._asking(grace_seconds + _STOP_MARGIN_SECONDS) as api:
                if api.inspect_container(container_id)["State"].get("Paused"):
                    api.unpause(container_id)
                api.stop(container_id, timeout=grace_seconds)
        except errors.NotFound:
            return

    def remove(self, container_id: str) -> None:
        try:
            with self._asking(_CHANGE_SECONDS) as api:
                # before the container, so that nothing is left when this is cut off
                labels = api.inspect_container(container_id)["Config"].get("Labels") or {}
                self.forget(labels.get(names.LABEL_MEMBER) or labels.get(names.LABEL_UUID, ""))
                api.remove_container(container_id, v=True, force=True)
        except errors.NotFound:
            return
        except errors.Conflict as error:
            raise errors.Failed("Docker is still removing the container.") from error

    def process(self, container_id: str) -> int:
        try:
            with self._asking(_LOOK_SECONDS) as api:
                pid = api.inspect_container(container_id)["State"].get("Pid") or 0
        except errors.NotFound:
            return 0
        return pid if pid and belongs_to(pid, container_id) else 0

    def forget(self, uuid: str) -> None:
        for kept in (self._etc, self._files):
            if kept is not None:
                kept.remove(uuid)

    def give_dns(self, uuid: str, servers: tuple[str, ...]) -> None:
        if self._etc is not None:
            self._etc.give_dns(uuid, servers)

    def pause(self, container_id: str) -> None:
        with self._changing() as api:
            docker_running.pause(api, container_id)

    def unpause(self, container_id: str) -> None:
        with self._changing() as api:
            docker_running.unpause(api, container_id)

    def signal(self, container_id: str, name: str) -> None:
        with self._changing() as api:
            docker_running.signal(api, container_id, name)

    def limit(self, container_id: str, cpus: float, memory_mib: int) -> None:
        try:
            with self._changing() as api:
                docker_running.limit(api, container_id, cpus, memory_mib, self._traits(api).cpus)
        except (errors.Failed, errors.Invalid) as error:
            raise words.limit_error(error, memory_mib) from error

    def execute(self, uuid: str, command: list[str], timeout_seconds: float, max_bytes: int) -> Executed:
        existing = self._of_ours(names.docker_name(uuid))
        if existing.state != "running":
            raise errors.Conflict("The container does not run.")
        with self._asking(timeout_seconds + _LOOK_SECONDS) as api:
            exec_id = api.exec_create(existing.container_id, command)["Id"]
            end = _Deadline(api, exec_id, existing.container_id, timeout_seconds)
            try:
                output = self._run(api, exec_id, end, max_bytes)
            finally:
                end.cancel()
            if end.passed:
                return Executed(output, -1, timed_out=True, ended=end.ended)
            code = api.exec_inspect(exec_id)["ExitCode"]
        return Executed(output, code if code is not None else -1)

    def logs(
        self, uuid: str, *, stdout: bool, stderr: bool, timestamps: bool, tail: int | None, since: int, max_bytes: int
    ) -> bytes:
        existing = self._of_ours(names.docker_name(uuid))
        kept: deque[bytes] = deque()
        size = 0
        with self._asking(_CHANGE_SECONDS) as api:
            chunks = api.logs(
                existing.container_id,
                stdout=stdout,
                stderr=stderr,
                timestamps=timestamps,
                tail="all" if tail is None else tail,
                since=since or None,
                stream=True,
                follow=False,
            )
            with contextlib.closing(chunks):
                for chunk in chunks:
                    kept.append(chunk)
                    size += len(chunk)
                    while size - len(kept[0]) >= max_bytes:
                        size -= len(kept.popleft())
        return b"".join(kept)[-max_bytes:]

    def events(self, since_seconds: float | None) -> Iterator[Event]:
        label = f"{names.LABEL_CLUSTER}={self._cluster}"
        filters = {"type": "container", "label": [label], "event": list(EVENTS)}
        since = f"{since_seconds:.9f}" if since_seconds is not None else None
        with self._asking(None) as api:
            with contextlib.closing(api.events(since=since, filters=filters, decode=True)) as stream:
                for item in stream:
                    uuid = item["Actor"]["Attributes"].get(names.LABEL_UUID, "")
                    yield Event(uuid, item["Action"], item["timeNano"] / 1e9)

    def asking(self, timeout_seconds: float | None) -> contextlib.AbstractContextManager[docker.APIClient]:
        """Docker's own client for a block, for what is asked in other modules; errors come out as ours."""
        return self._asking(timeout_seconds)

    def of_workload(self, uuid: str) -> Container:
        """The container of a workload. NotFound: there is none; Invalid: the one of that name is a stranger's."""
        return self._of_ours(names.docker_name(uuid))

    @contextlib.contextmanager
    def _changing(self) -> Iterator[docker.APIClient]:
        """A client for a change of a container that is there, or was a moment ago."""
        try:
            with self._asking(_CHANGE_SECONDS) as api:
                yield api
        except errors.NotFound as error:
            raise errors.Failed("The container went away.") from error

    def _create(self, order: Order) -> str:
        profile = self._profile(order)
        order = replace(order, binds=(*order.binds, *self._write_files(order)))
        etc_binds = self._etc.write(order) if self._etc is not None else ()
        with self._asking(_CHANGE_SECONDS) as api, self._cores(api, order) as cores:
            binds = (*order.binds, *etc_binds)
            if not order.spec.privileged:
                give(binds, self._traits(api).root)
            host = docker_config.host_config(
                api, order, self._limits, self._runtime, self._traits(api), binds, cores, profile
            )
            config = docker_config.container_config(
                api, self._cluster, order, host, cores, network_disabled=self._etc is not None
            )
            try:
                return api.create_container_from_config(config, names.docker_name(order.own_uuid))["Id"]
            except docker.errors.APIError as error:
                raise words.create_error(_translate(error), order.spec.image, host["Runtime"]) from error

    def _profile(self, order: Order) -> SecurityProfile:
        """How it is confined. Invalid: as this host does not know how to."""
        name = order.spec.security_profile
        if name is None:
            return docker_config.USUAL
        if name not in self._profiles:
            raise errors.Invalid(
                f"The host of the container has no security profile {name!r}; its operator names them in a file."
            )
        return self._profiles[name]

    def _write_files(self, order: Order) -> tuple[Bind, ...]:
        if self._files is None or not order.spec.files:
            return ()
        return self._files.write(order.own_uuid, order.spec.files)

    @contextlib.contextmanager
    def _cores(self, api: docker.APIClient, order: Order) -> Iterator[tuple[int, ...]]:
        """Cores for this container alone, nobody else's while the block makes it. Invalid: none are left."""
        wanted = order.spec.dedicated_cpus
        if not wanted:
            yield ()
            return
        with self._dedicating:
            label = [f"{names.LABEL_CLUSTER}={self._cluster}", names.LABEL_CORES]
            held = [item["Labels"] for item in api.containers(all=True, filters={"label": label})]
            taken = [
                core
                for labels in held
                if labels.get(names.LABEL_UUID) != order.uuid
                for core in docker_config.cores_of(labels[names.LABEL_CORES])
            ]
            yield docker_config.free_cores(wanted, self._traits(api).cpus, taken)

    def _traits(self, api: docker.APIClient) -> docker_config.Traits:
        if self._known_traits is None:
            self._known_traits = docker_config.traits(api.info())
        return self._known_traits

    def _of_ours(self, reference: str) -> Container:
        found = self.inspect(reference)
        if found is None:
            if reference.startswith("zun-") and self._exists(reference):
                raise errors.Invalid("Docker has a container of that name which is not this installation's.")
            raise errors.NotFound("The container is not on its host.")
        return found

    def _exists(self, reference: str) -> bool:
        try:
            with self._asking(_LOOK_SECONDS) as api:
                api.inspect_container(reference)
        except errors.NotFound:
            return False
        return True

    def _run(self, api: docker.APIClient, exec_id: str, end: _Deadline, max_bytes: int) -> bytes:
        """Start an exec and read its frames to the end, or for as long as its deadline lets it."""
        url = f"{api.base_url}/v{api.api_version}/exec/{exec_id}/start"
        kept: list[bytes] = []
        size = 0
        with contextlib.closing(api.post(url, json={"Detach": False, "Tty": False}, stream=True)) as answer:
            if answer.status_code >= 400:
                raise errors.Conflict("The command could not be started in the container.")
            end.start()
            try:
                while (header := answer.raw.read(_FRAME_HEADER.size)) and len(header) == _FRAME_HEADER.size:
                    chunk = answer.raw.read(_FRAME_HEADER.unpack(header)[1])
                    if size < max_bytes:
                        kept.append(chunk[: max_bytes - size])
                        size += len(kept[-1])
                    if end.overdue():
                        break
            except (requests.RequestException, HTTPError, OSError, ValueError):
                # also silence: what the command left behind may keep its output open after its end
                if not end.passed:
                    raise
        return b"".join(kept)

    @contextlib.contextmanager
    def _asking(self, timeout_seconds: float | None) -> Iterator[docker.APIClient]:
        """A client whose calls in this thread may take so long; what Docker answers ill becomes our errors."""
        try:
            client = self._connect()
            with client.allowing(timeout_seconds):
                yield client
        except docker.errors.APIError as error:
            raise _translate(error) from error
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            LOG.debug("Docker at %s: %s", self._socket, error)
            raise errors.Unavailable("The host's Docker Engine does not answer.") from error
        except Exception as error:
            # urllib3's errors come through bare while a stream is read
            if type(error).__module__.startswith("urllib3."):
                raise errors.Unavailable("The host's Docker Engine hung up.") from error
            raise

    def _connect(self) -> _Client:
        with self._connecting:
            if self._client is None:
                if not os.path.exists(self._socket):
                    raise errors.Unavailable("The host's Docker Engine does not run.")
                self._client = _Client(
                    base_url=f"unix://{self._socket}", version="auto", timeout=_CHANGE_SECONDS, max_pool_size=32
                )
            return self._client


class _Client(docker.APIClient):
    """Docker's client, with a time limit that is a matter of the call rather than of the client."""

    def __init__(self, **options: Any) -> None:
        self._allowed = threading.local()
        super().__init__(**options)

    @contextlib.contextmanager
    def allowing(self, timeout_seconds: float | None) -> Iterator[None]:
        before = getattr(self._allowed, "seconds", None)
        self._allowed.seconds = timeout_seconds
        try:
            yield
        finally:
            self._allowed.seconds = before

    def request(self, method: Any, url: Any, **options: Any) -> requests.Response:
        seconds = getattr(self._allowed, "seconds", None)
        if seconds is not None:
            options["timeout"] = seconds
        return super().request(method, url, **options)


class _Deadline:
    """Ends the process of an exec when its time is over."""

    def __init__(self, api: docker.APIClient, exec_id: str, container_id: str, timeout_seconds: float) -> None:
        self._api = api
        self._exec_id = exec_id
        self._container_id = container_id
        self._timer = threading.Timer(timeout_seconds, self._end)
        self._timer.daemon = True
        self._give_up_at = time.monotonic() + timeout_seconds + 2.0
        self.passed = False
        self.ended = False

    def start(self) -> None:
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()
        if self.passed:
            self._timer.join(_LOOK_SECONDS)

    def overdue(self) -> bool:
        """Whether the stream goes on though the process should long be gone."""
        return time.monotonic() > self._give_up_at

    def _end(self) -> None:
        self.passed = True
        try:
            found = self._api.exec_inspect(self._exec_id)
            self.ended = not found["Running"] or end_tree(found["Pid"], self._container_id)
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            LOG.warning("an exec that outlived its time could not be ended: %s", error)


def _translate(error: docker.errors.APIError) -> errors.ZunError:
    text = words.one_line(str(error.explanation or error))
    by_status = {400: errors.Invalid, 404: errors.NotFound, 409: errors.Conflict}
    return by_status.get(error.status_code or 500, errors.Failed)(text)
