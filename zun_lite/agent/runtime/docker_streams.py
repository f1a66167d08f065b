# SPDX-License-Identifier: Apache-2.0
"""Looks into Docker's containers: processes, use, terminals. Files are in docker_archives.py.

An exec is believed to be a workload's only if it was made here for it, or if Docker says that it is of that
workload's container.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import docker
import docker.errors

from zun_lite.agent.runtime import hijack, ports, processes
from zun_lite.agent.runtime.docker import DockerRuntime
from zun_lite.agent.runtime.docker_archives import DockerArchives
from zun_lite.agent.streams.base import Archive, LogOptions, Processes, Source, Usage
from zun_lite.domain import errors

LOOK_SECONDS = 10.0
OUTCOME_SECONDS = 5.0
MOST_REMEMBERED = 1000
_AGAIN_SECONDS = 0.005
EXEC_ID = re.compile(r"[0-9a-f]{64}")
# Docker gives these to the host's ps, and shows of its answer what is the container's
_PS_ARGUMENTS = re.compile(r"[A-Za-z0-9 ,=:%_+-]{1,200}")


@dataclass
class Made:
    """A command that was made here, which therefore Docker need not be asked about before it is started."""

    uuid: str
    container_id: str
    terminal: bool
    started: bool = False


class DockerStreams:
    """For the containers of one runtime, on the same engine."""

    def __init__(self, runtime: DockerRuntime, socket: str, archives: DockerArchives, sockets: ports.Sockets) -> None:
        """socket: Docker's. sockets: who makes one in a container's network."""
        self._runtime = runtime
        self._socket = socket
        self._archives = archives
        self._sockets = sockets
        self._lock = threading.Lock()
        self._made: dict[str, Made] = {}

    def top(self, uuid: str, ps_args: str | None) -> Processes:
        if ps_args is not None and not _PS_ARGUMENTS.fullmatch(ps_args):
            raise errors.Invalid("ps_args are the words that ps takes, like: -ef or: aux.")
        container_id = self._running(uuid)
        try:
            with self._runtime.asking(LOOK_SECONDS) as api:
                found = api.top(container_id, ps_args or None)
        except errors.Failed as error:
            if ps_args is None:
                raise
            raise errors.Invalid(f"ps does not understand {ps_args!r}; a PID column is needed, too.") from error
        rows = tuple(tuple(str(cell) for cell in row) for row in found.get("Processes") or ())
        return Processes(tuple(found["Titles"]), rows)

    def stats(self, uuid: str) -> Usage:
        container_id = self._running(uuid)
        with self._runtime.asking(LOOK_SECONDS) as api:
            found = api.stats(container_id, stream=False)
            pid = api.inspect_container(container_id)["State"]["Pid"]
        return usage(found, processes.traffic(pid))

    def get_archive(self, uuid: str, path: str) -> Archive:
        return self._archives.get(uuid, path)

    def put_archive(self, uuid: str, path: str, content: bytes) -> None:
        self._archives.put(uuid, path, content)

    def resize(self, uuid: str, height: int, width: int) -> None:
        container_id = self._running(uuid)
        with self._runtime.asking(LOOK_SECONDS) as api:
            if not api.inspect_container(container_id)["Config"]["Tty"]:
                raise errors.Invalid("The container has no terminal whose size could be set.")
            api.resize(container_id, height, width)

    def create_exec(self, uuid: str, command: list[str], terminal: bool) -> str:
        container_id = self._running(uuid)
        with self._runtime.asking(LOOK_SECONDS) as api:
            exec_id: str = api.exec_create(container_id, command, stdin=True, tty=terminal)["Id"]
        with self._lock:
            if len(self._made) >= MOST_REMEMBERED:
                del self._made[next(iter(self._made))]
            self._made[exec_id] = Made(uuid, container_id, terminal)
        return exec_id

    def resize_exec(self, uuid: str, exec_id: str, height: int, width: int) -> None:
        with self._runtime.asking(LOOK_SECONDS) as api:
            found = self._exec(api, uuid, exec_id)
            refusal = errors.Invalid("The command does not run in a terminal whose size could be set.")
            if not found["Running"] or not found["ProcessConfig"].get("tty"):
                raise refusal
            try:
                api.exec_resize(exec_id, height, width)
            except docker.errors.NotFound as error:
                # Docker says that a command runs some moments before it finds that there is no such program
                raise refusal from error

    def hang_up_exec(self, uuid: str, exec_id: str) -> None:
        with self._runtime.asking(LOOK_SECONDS) as api:
            found = self._exec(api, uuid, exec_id)
            if found["Running"] and found["Pid"]:
                processes.hang_up(found["Pid"], found["ContainerID"])

    def exec_outcome(self, uuid: str, exec_id: str) -> int | None:
        deadline = time.monotonic() + OUTCOME_SECONDS
        while True:
            with self._runtime.asking(LOOK_SECONDS) as api:
                found = self._exec(api, uuid, exec_id)
            # Docker closes the streams a moment before it knows the code
            if not found["Running"] and found["ExitCode"] is not None or time.monotonic() > deadline:
                return None if found["Running"] else found["ExitCode"]
            time.sleep(_AGAIN_SECONDS)

    def outcome(self, uuid: str) -> int | None:
        deadline = time.monotonic() + OUTCOME_SECONDS
        while True:
            try:
                existing = self._runtime.of_workload(uuid)
            except errors.NotFound:
                return None
            if existing.exit_code is not None or time.monotonic() > deadline:
                return existing.exit_code
            time.sleep(_AGAIN_SECONDS)

    def read_archive(
        self, uuid: str, path: str, told: Callable[[dict[str, Any]], None], give: Callable[[bytes], None]
    ) -> None:
        self._archives.read(uuid, path, told, give)

    def write_archive(self, uuid: str, path: str, source: Source) -> None:
        self._archives.write(uuid, path, source)

    async def follow_logs(self, uuid: str, options: LogOptions) -> hijack.Hijacked:
        existing = await asyncio.to_thread(self._runtime.of_workload, uuid)
        terminal = await asyncio.to_thread(self._has_terminal, existing.container_id)
        query = {
            **{name: int(getattr(options, name)) for name in ("stdout", "stderr", "timestamps", "follow")},
            "tail": "all" if options.tail is None else options.tail,
            "since": f"{options.since:.9f}" if options.since else 0,
        }
        path = f"/containers/{existing.container_id}/logs?{urlencode(query)}"
        return await hijack.follow(self._socket, path, framed=not terminal)

    async def open_port(self, uuid: str, port: int) -> ports.Connection:
        container_id = await asyncio.to_thread(self._running, uuid)
        return await ports.connect(self._sockets, container_id, port)

    async def attach(self, uuid: str) -> hijack.Hijacked:
        container_id = await asyncio.to_thread(self._running, uuid)
        terminal = await asyncio.to_thread(self._has_terminal, container_id)
        path = f"/containers/{container_id}/attach?stream=1&stdin=1&stdout=1&stderr=1&logs=0"
        return await hijack.hijack(self._socket, path, None, framed=not terminal)

    async def start_exec(self, uuid: str, exec_id: str) -> hijack.Hijacked:
        terminal = self._made_to_start(uuid, exec_id)
        if terminal is None:
            terminal = await asyncio.to_thread(self._exec_to_start, uuid, exec_id)
        body = {"Detach": False, "Tty": terminal}
        return await hijack.hijack(self._socket, f"/exec/{exec_id}/start", body, framed=not terminal)

    def _running(self, uuid: str) -> str:
        existing = self._runtime.of_workload(uuid)
        if existing.state != "running":
            raise errors.Conflict("The container does not run.")
        return existing.container_id

    def _has_terminal(self, container_id: str) -> bool:
        with self._runtime.asking(LOOK_SECONDS) as api:
            return bool(api.inspect_container(container_id)["Config"]["Tty"])

    def _made_to_start(self, uuid: str, exec_id: str) -> bool | None:
        """Whether it is to have a terminal; None: Docker has to say whether it may be started."""
        with self._lock:
            made = self._made.get(exec_id)
            if made is None or made.uuid != uuid or made.started:
                return None
            made.started = True
            return made.terminal

    def _exec_to_start(self, uuid: str, exec_id: str) -> bool:
        """Whether it is to have a terminal."""
        with self._runtime.asking(LOOK_SECONDS) as api:
            found = self._exec(api, uuid, exec_id)
        if found["Running"] or found["ExitCode"] is not None:
            raise errors.Conflict("The command was started before.")
        return bool(found["ProcessConfig"].get("tty"))

    def _exec(self, api: docker.APIClient, uuid: str, exec_id: str) -> dict[str, Any]:
        if not EXEC_ID.fullmatch(exec_id):
            raise errors.Invalid("exec_id is 64 hexadecimal digits.")
        made = self._made.get(exec_id)
        if made is not None and made.uuid == uuid:
            container_id = made.container_id
        else:
            container_id = self._runtime.of_workload(uuid).container_id
        try:
            found = api.exec_inspect(exec_id)
        except docker.errors.NotFound:
            found = {}
        if found.get("ContainerID") != container_id:
            raise errors.Invalid("No command of that exec_id was made in this container.")
        return found


def usage(found: dict[str, Any], traffic: tuple[int, int]) -> Usage:
    """What `docker stats` would make of one of Docker's two-sample answers."""
    now, before = found.get("cpu_stats") or {}, found.get("precpu_stats") or {}
    used = _at(now, "cpu_usage", "total_usage") - _at(before, "cpu_usage", "total_usage")
    whole = _at(now, "system_cpu_usage") - _at(before, "system_cpu_usage")
    cpus = now.get("online_cpus") or len((now.get("cpu_usage") or {}).get("percpu_usage") or ()) or 1
    memory = found.get("memory_stats") or {}
    inner = memory.get("stats") or {}
    # the part of the page cache that would be given up first; its name differs by version of cgroups
    idle = inner.get("total_inactive_file", inner.get("inactive_file", 0))
    taken = memory.get("usage") or 0
    blocks: dict[str, int] = {}
    for item in (found.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        blocks[item["op"].lower()] = blocks.get(item["op"].lower(), 0) + item["value"]
    return Usage(
        cpu_percent=used / whole * cpus * 100 if used > 0 and whole > 0 else 0.0,
        memory_bytes=taken - idle if idle < taken else taken,
        memory_limit_bytes=memory.get("limit") or 0,
        disk_read_bytes=blocks.get("read", 0),
        disk_written_bytes=blocks.get("write", 0),
        network_received_bytes=traffic[0],
        network_sent_bytes=traffic[1],
    )


def _at(document: dict[str, Any], *keys: str) -> int:
    value: Any = document
    for key in keys:
        value = (value or {}).get(key)
    return value or 0
