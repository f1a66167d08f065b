# SPDX-License-Identifier: Apache-2.0
"""Files into and out of containers, by Docker's own archive calls; nothing is unpacked on the host by us.

Docker resolves the path and its links within the container. A container that runs is held still while
Docker does it (see freezer.py). What lies in a volume that the path does not name is left out.

Of archives of any size: Docker finds the path and mounts volumes first, packs or unpacks in a process that
is confined to the container's files, and unmounts at the end. A container has to stand still for the first
and the last, and goes on while Docker unpacks. When Docker comes to its end is not known while it packs, so
the container stands still while Docker is read from, and now and then goes on for a moment while it is not:
Docker rests by then, for nobody takes what it packs.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import docker
import requests

from zun_lite.agent.runtime import processes, words
from zun_lite.agent.runtime.base import Container
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.freezer import Freezer
from zun_lite.agent.runtime.upload import Upload
from zun_lite.agent.streams.base import Archive, Source
from zun_lite.domain import archives, errors, tar

LONGEST_SECONDS = 20.0
MOST_AT_ONCE = 2
# how much of volumes that are left out Docker may send in vain, while the container stands still
LARGE_AT_ONCE = 4
LARGE_PATIENCE_SECONDS = 2.0
# the most that Docker may take over one piece of a large archive
STALLED_SECONDS = 120.0
# the longest that a container stands still while it is packed
STILL_SECONDS = 2.0
# long enough for Docker to fill what it can fill when it is not read from
REST_SECONDS = 0.1
GO_ON_SECONDS = 0.2
# how much of volumes that are left out Docker may send in vain, while the container stands still
MAX_SKIPPED_BYTES = 64 * 1024 * 1024
# what Docker says with status 500 though the path is to blame
_PATHS_FAULT = re.compile(r"not a directory|name too long|too many (?:levels|links)|extraction point")
_STAT_HEADER = "X-Docker-Container-Path-Stat"
_STAT_KEYS = ("name", "size", "mode", "mtime", "linkTarget")
_STATES = ("created", "running", "paused", "exited")


class Closable(Protocol):
    def close(self) -> None: ...


Exchange = TypeVar("Exchange", bound=Closable)


class DockerArchives:
    def __init__(self, runtime: DockerRuntime, freezer: Freezer, socket: str) -> None:
        self._runtime = runtime
        self._freezer = freezer
        self._socket = socket
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._large = threading.BoundedSemaphore(LARGE_AT_ONCE)

    def get(self, uuid: str, path: str) -> Archive:
        """Invalid: nothing is at path, or more than archives.MAX_BYTES."""
        path = archives.checked_path(path)
        with self._place(self._places, LONGEST_SECONDS), self._runtime.asking(LONGEST_SECONDS) as api:
            existing, mounts = self._look(api, uuid)
            with self._still(api, existing):
                url = f"{api.base_url}/v{api.api_version}/containers/{existing.container_id}/archive"
                plain = {"Accept-Encoding": "identity"}
                with contextlib.closing(api.get(url, params={"path": path}, headers=plain, stream=True)) as answer:
                    _raise_for(answer, path)
                    stat = json.loads(base64.b64decode(answer.headers[_STAT_HEADER]))
                    content = _read(answer.raw.read, path, mounts)
        return Archive(content, {key: stat.get(key) for key in _STAT_KEYS})

    def put(self, uuid: str, path: str, content: bytes) -> None:
        """Invalid: nothing, or no folder, is at path, or the archive may not be unpacked there."""
        path = archives.checked_path(path)
        with self._place(self._places, LONGEST_SECONDS), self._runtime.asking(LONGEST_SECONDS) as api:
            existing, mounts = self._look(api, uuid)
            archives.check_content(content, path, mounts)
            with self._still(api, existing):
                url = f"{api.base_url}/v{api.api_version}/containers/{existing.container_id}/archive"
                with contextlib.closing(api.put(url, params={"path": path}, data=content)) as answer:
                    _raise_for(answer, path)

    def read(self, uuid: str, path: str, told: Callable[[dict[str, Any]], None], give: Callable[[bytes], None]) -> None:
        """Of any size; see agent/streams/base.py. Invalid: nothing is at path."""
        path = archives.checked_path(path)
        with self._place(self._large, LARGE_PATIENCE_SECONDS), self._runtime.asking(STALLED_SECONDS) as api:
            existing, mounts = self._look(api, uuid)
            url = f"{api.base_url}/v{api.api_version}/containers/{existing.container_id}/archive"
            plain = {"Accept-Encoding": "identity"}
            with self._holding(api, existing) as hold:
                request = api.get(url, params={"path": path}, headers=plain, stream=True)
                with hold.while_open(request) as answer:
                    _raise_for(answer, path)
                    stat = json.loads(base64.b64decode(answer.headers[_STAT_HEADER]))
                    told({key: stat.get(key) for key in _STAT_KEYS})
                    since = time.monotonic()
                    for piece in tar.without(answer.raw.read, archives.hidden(path, mounts), lambda count: None):
                        give(piece)
                        if time.monotonic() - since >= STILL_SECONDS:
                            hold.go_on_for_a_moment()
                            since = time.monotonic()
                    while answer.raw.read(tar.CHUNK_BYTES):
                        # what is behind the end of the tar; Docker has unmounted when nothing is left
                        continue

    def write(self, uuid: str, path: str, source: Source) -> None:
        """Of any size; see agent/streams/base.py. Invalid: nothing, or no folder, is at path, or not such a tar."""
        path = archives.checked_path(path)
        with self._place(self._large, LARGE_PATIENCE_SECONDS), self._runtime.asking(LONGEST_SECONDS) as api:
            existing, mounts = self._look(api, uuid)
            archives.check_stream(source, path, mounts)
            query = urlencode({"path": path})
            url = f"/v{api.api_version}/containers/{existing.container_id}/archive?{query}"
            with self._holding(api, existing) as hold:
                with hold.while_open(Upload(self._socket, url, STALLED_SECONDS)) as upload:
                    if not upload.wait_ready():
                        _raise_unless_done(*upload.answer(), path)
                        return
                    hold.go_on()
                    source.rewind()
                    while (piece := source.take()) and upload.send(piece):
                        continue
                    hold.still()
                    _raise_unless_done(*upload.finish(), path)

    @contextlib.contextmanager
    def _place(self, places: threading.BoundedSemaphore, patience_seconds: float) -> Iterator[None]:
        if not places.acquire(timeout=patience_seconds):
            raise errors.Unavailable("The host copies too many files already; try again later.")
        try:
            yield
        finally:
            places.release()

    @contextlib.contextmanager
    def _holding(self, api: docker.APIClient, existing: Container) -> Iterator[_Hold]:
        """Docker is asked for the process first: it tells nothing of a container whose archive is under way."""
        pid = api.inspect_container(existing.container_id)["State"]["Pid"] if existing.state == "running" else 0
        hold = _Hold(self._freezer, pid, existing.container_id)
        try:
            hold.still()
            yield hold
        finally:
            hold.go_on()

    def _look(self, api: docker.APIClient, uuid: str) -> tuple[Container, list[str]]:
        existing = self._runtime.of_workload(uuid)
        if existing.state not in _STATES:
            raise errors.Conflict(f"Files cannot be copied while the container is {existing.state}.")
        mounts = api.inspect_container(existing.container_id)["Mounts"]
        return existing, [archives.checked_path(mount["Destination"]) for mount in mounts]

    @contextlib.contextmanager
    def _still(self, api: docker.APIClient, existing: Container) -> Iterator[None]:
        if existing.state != "running":
            yield
            return
        pid = api.inspect_container(existing.container_id)["State"]["Pid"]
        with self._freezer.still(pid, existing.container_id):
            yield


class _Hold:
    """A container that stands still and goes on by turns; one that has ended needs neither."""

    def __init__(self, freezer: Freezer, pid: int, container_id: str) -> None:
        self._freezer = freezer
        self._pid = pid
        self._container_id = container_id
        self._stack: contextlib.ExitStack | None = None

    def still(self) -> None:
        if self._stack is None and self._pid and processes.belongs_to(self._pid, self._container_id):
            stack = contextlib.ExitStack()
            stack.enter_context(self._freezer.still(self._pid, self._container_id))
            self._stack = stack

    @contextlib.contextmanager
    def while_open(self, exchange: Exchange) -> Iterator[Exchange]:
        """Close it in the end; where it is broken off, the container stands still while Docker takes that in."""
        try:
            yield exchange
        except BaseException:
            with contextlib.suppress(errors.ZunError):
                self.still()
            exchange.close()
            time.sleep(REST_SECONDS)
            raise
        exchange.close()

    def go_on_for_a_moment(self) -> None:
        time.sleep(REST_SECONDS)
        self.go_on()
        time.sleep(GO_ON_SECONDS)
        self.still()

    def go_on(self) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            stack.close()


def _read(read: tar.Read, path: str, mounts: list[str]) -> bytes:
    deadline = time.monotonic() + LONGEST_SECONDS
    in_vain = 0

    def skipped(count: int) -> None:
        nonlocal in_vain
        in_vain += count
        if in_vain > MAX_SKIPPED_BYTES:
            raise errors.Invalid("A large volume lies under that path; name a path beside it, or one in the volume.")

    content = bytearray()
    for piece in tar.without(read, archives.hidden(path, mounts), skipped):
        content += piece
        if len(content) > archives.MAX_BYTES:
            raise errors.Invalid(f"More than {archives.MAX_BYTES} bytes are at that path; copy less at a time.")
        if time.monotonic() > deadline:
            raise errors.Invalid("Reading what is at that path takes too long; copy less at a time.")
    return bytes(content)


def _raise_for(answer: requests.Response, path: str) -> None:
    if answer.status_code < 400:
        return
    said: Any = None
    with contextlib.suppress(ValueError):
        said = answer.json()
    _raise_unless_done(
        answer.status_code, words.reason(str(said.get("message", "")) if isinstance(said, dict) else ""), path
    )


def _raise_unless_done(status: int, message: str, path: str) -> None:
    if status < 400:
        return
    if status == 404:
        raise errors.Invalid(f"There is nothing at {path} in the container.")
    if status == 400:
        raise errors.Invalid(message or f"{path} does not take an archive.")
    if _PATHS_FAULT.search(message):
        raise errors.Invalid(f"{path} is not a path that could be copied: {message}")
    if status == 403:
        raise errors.Conflict(f"What is at {path} can only be read.")
    raise errors.Conflict(f"The files could not be copied: {message}")
