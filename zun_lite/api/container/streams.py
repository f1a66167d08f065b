# SPDX-License-Identifier: Apache-2.0
"""/v1/containers/{ident}/VERB for looking into a container: top, stats, archives, terminals.

A terminal is not served here but by the gateway: what is answered is its address, good once and for
a minute.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import falcon

from zun_lite.api.container import parameters
from zun_lite.api.container.containers import find
from zun_lite.api.media import answer, read_object
from zun_lite.api.services import Services
from zun_lite.api.waits import Waits
from zun_lite.control import stream_grants, streams
from zun_lite.control.stream_grants import Limits
from zun_lite.db.workloads import Workload
from zun_lite.domain import archives, errors

BASE64_SINCE_MINOR = 25
ARCHIVES_AT_ONCE = 2
ARCHIVE_WAIT_SECONDS = 20.0
MOST_CELLS = 65535
_EXEC_ID = re.compile(r"[0-9a-f]{64}")
_MIB = 1024 * 1024


class Terminals:
    """Addresses of streams at the gateway."""

    def __init__(self, services: Services) -> None:
        self._means = services.means
        self._url = services.streams_url
        self.limits = Limits(services.conf.gateway.streams_per_workload, services.conf.gateway.streams_per_project)

    def address(self, req: falcon.Request, workload: Workload, verb: str, exec_id: str | None = None) -> str:
        """Good once, within a minute, and as long as the caller's token. TooMany: there are enough."""
        token = req.get_header("X-Auth-Token") or ""
        secret = stream_grants.issue(self._means, workload, verb, token, self.limits, exec_id)
        query = {"token": secret, "uuid": workload.uuid, **({"exec_id": exec_id} if exec_id else {})}
        return f"{self._url}?{urlencode(query)}"


class Streams:
    def __init__(self, services: Services, waits: Waits) -> None:
        self._means = services.means
        self._terminals = Terminals(services)
        self._waits = waits
        self._archives = threading.BoundedSemaphore(ARCHIVES_AT_ONCE)

    def on_get_top(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        ps_args = parameters.of_query(req).get("ps_args") or None
        workload = find(self._means, req.context.caller, ident, "top", {})
        with self._waits.one():
            found = streams.top(self._means, req.context.caller, workload, ps_args)
        answer(resp, {"Titles": found["titles"], "Processes": found["rows"]})

    def on_get_stats(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload = find(self._means, req.context.caller, ident, "stats", {})
        with self._waits.one():
            used = streams.stats(self._means, req.context.caller, workload)
        answer(resp, _stats(workload.name, used))

    def on_get_get_archive(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        path = archives.checked_path(parameters.of_query(req).get("path"))
        workload = find(self._means, req.context.caller, ident, "get_archive", {})
        with self._place():
            content, stat = streams.get_archive(self._means, req.context.caller, workload, path)
            answer(resp, {"data": _to_text(content, req.context.minor), "stat": stat})

    def on_post_put_archive(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload = find(self._means, req.context.caller, ident, "put_archive", {})
        with self._place():
            path, content = _archive(req)
            streams.put_archive(self._means, req.context.caller, workload, path, content)
        answer(resp, None)

    def on_get_attach(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        workload = find(self._means, req.context.caller, ident, "attach", {})
        streams.check_attach(self._means, workload)
        answer(resp, self._terminals.address(req, workload, "attach"))

    def on_post_resize(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        height, width = _size(parameters.of_both(req))
        workload = find(self._means, req.context.caller, ident, "resize", {})
        with self._waits.one():
            streams.resize(self._means, req.context.caller, workload, height, width)
        answer(resp, None)

    def on_post_execute_resize(self, req: falcon.Request, resp: falcon.Response, ident: str) -> None:
        given = parameters.of_both(req)
        exec_id = given.get("exec_id")
        if not isinstance(exec_id, str) or not _EXEC_ID.fullmatch(exec_id):
            raise errors.Invalid("exec_id must be given: the 64 hexadecimal digits that execute answered.")
        height, width = _size(given)
        workload = find(self._means, req.context.caller, ident, "execute_resize", {})
        with self._waits.one():
            streams.resize_exec(self._means, req.context.caller, workload, exec_id, height, width)
        answer(resp, None)

    @contextlib.contextmanager
    def _place(self) -> Iterator[None]:
        """Few at once, since each takes memory of several times its size."""
        with self._waits.one():
            if not self._archives.acquire(timeout=ARCHIVE_WAIT_SECONDS):
                raise errors.Busy("Too many archives are under way; try again.")
            try:
                yield
            finally:
                self._archives.release()


def _archive(req: falcon.Request) -> tuple[str, bytes]:
    """Where to unpack what. 415 for what is compressed: no program of the host's shall ever be given such."""
    # before base64, an archive's own zero bytes came as text
    given = {**parameters.of_query(req), **read_object(req, nul=True)}
    path = archives.checked_path(given.get("path"))
    content = _from_text(given.get("data"), req.context.minor)
    packed = archives.compression(content)
    if packed:
        raise falcon.HTTPUnsupportedMediaType(description=f"The archive is compressed ({packed}); send a plain tar.")
    if len(content) > archives.MAX_BYTES:
        raise falcon.HTTPContentTooLarge(
            description=f"An archive of more than {archives.MAX_BYTES // _MIB} MiB is not taken here."
        )
    return path, content


def _stats(name: str, used: dict[str, Any]) -> dict[str, Any]:
    memory, limit = used["memory_bytes"] / _MIB, used["memory_limit_bytes"] / _MIB
    return {
        "CONTAINER": name,
        "CPU %": round(used["cpu_percent"], 2),
        "MEM USAGE(MiB)": round(memory, 3),
        "MEM LIMIT(MiB)": round(limit, 3),
        "MEM %": round(memory / limit * 100 if limit else 0.0, 2),
        "BLOCK I/O(B)": f"{used['disk_read_bytes']}/{used['disk_written_bytes']}",
        "NET I/O(B)": f"{used['network_received_bytes']}/{used['network_sent_bytes']}",
    }


def _to_text(content: bytes, minor: int) -> str:
    if minor >= BASE64_SINCE_MINOR:
        return base64.b64encode(content).decode()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise errors.Invalid(
            f"What is at that path is no text; ask with microversion 1.{BASE64_SINCE_MINOR} or newer."
        ) from error


def _from_text(value: Any, minor: int) -> bytes:
    if not isinstance(value, str):
        raise errors.Invalid("data must be given: a tar as text, in base64 from microversion 1.25 on.")
    if minor < BASE64_SINCE_MINOR:
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.Invalid("data must be base64.", kind="Base64Exception") from error


def _size(given: dict[str, Any]) -> tuple[int, int]:
    height = parameters.integer(given, "h", least=1, most=MOST_CELLS)
    width = parameters.integer(given, "w", least=1, most=MOST_CELLS)
    if height is None or width is None:
        raise errors.Invalid("h and w must be given: the height and width of the terminal.")
    return height, width
