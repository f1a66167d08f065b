# SPDX-License-Identifier: Apache-2.0
"""Files into and out of containers, by Docker's own archive calls; nothing is unpacked on the host by us.

Docker resolves the path and its links within the container. A container that runs is held still while
Docker does it (see freezer.py). What lies in a volume that the path does not name is left out.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import docker
import requests

from zun_lite.agent.runtime import words
from zun_lite.agent.runtime.base import Container
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.freezer import Freezer
from zun_lite.agent.streams.base import Archive
from zun_lite.domain import archives, errors, tar

LONGEST_SECONDS = 20.0
MOST_AT_ONCE = 2
# how much of volumes that are left out Docker may send in vain, while the container stands still
MAX_SKIPPED_BYTES = 64 * 1024 * 1024
# what Docker says with status 500 though the path is to blame
_PATHS_FAULT = re.compile(r"not a directory|name too long|too many (?:levels|links)|extraction point")
_STAT_HEADER = "X-Docker-Container-Path-Stat"
_STAT_KEYS = ("name", "size", "mode", "mtime", "linkTarget")
_STATES = ("created", "running", "paused", "exited")


class DockerArchives:
    def __init__(self, runtime: DockerRuntime, freezer: Freezer) -> None:
        self._runtime = runtime
        self._freezer = freezer
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)

    def get(self, uuid: str, path: str) -> Archive:
        """Invalid: nothing is at path, or more than archives.MAX_BYTES."""
        path = archives.checked_path(path)
        with self._place(), self._runtime.asking(LONGEST_SECONDS) as api:
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
        with self._place(), self._runtime.asking(LONGEST_SECONDS) as api:
            existing, mounts = self._look(api, uuid)
            archives.check_content(content, path, mounts)
            with self._still(api, existing):
                url = f"{api.base_url}/v{api.api_version}/containers/{existing.container_id}/archive"
                with contextlib.closing(api.put(url, params={"path": path}, data=content)) as answer:
                    _raise_for(answer, path)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=LONGEST_SECONDS):
            raise errors.Unavailable("The host copies too many files already; try again later.")
        try:
            yield
        finally:
            self._places.release()

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
    message = words.reason(str(said.get("message", "")) if isinstance(said, dict) else "")
    if answer.status_code == 404:
        raise errors.Invalid(f"There is nothing at {path} in the container.")
    if answer.status_code == 400:
        raise errors.Invalid(message or f"{path} does not take an archive.")
    if _PATHS_FAULT.search(message):
        raise errors.Invalid(f"{path} is not a path that could be copied: {message}")
    if answer.status_code == 403:
        raise errors.Conflict(f"What is at {path} can only be read.")
    raise errors.Conflict(f"The files could not be copied: {message}")
