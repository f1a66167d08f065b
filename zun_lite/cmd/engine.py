# SPDX-License-Identifier: Apache-2.0
"""A few plain words with the Docker Engine over its socket, by the standard library alone.

For set-up and clean-up, which must work before and after everything else; the agent's own door
to Docker is agent/runtime/docker.py.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from zun_lite.domain import errors

_TAR_STREAM = {"Content-Type": "application/x-tar", "Transfer-Encoding": "chunked"}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Engine:
    """One Docker Engine; raises Unavailable when it does not answer, NotFound on 404, else Failed."""

    def __init__(self, path: str, timeout_seconds: float = 30.0) -> None:
        self.path = path
        self._timeout_seconds = timeout_seconds

    def ask(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: BinaryIO | Iterable[bytes] | None = None,
        timeout_seconds: float | None = None,
    ) -> bytes:
        connection = _UnixConnection(self.path, timeout_seconds or self._timeout_seconds)
        try:
            connection.request(
                method,
                f"{path}?{urlencode(query)}" if query else path,
                body=body,
                headers=_TAR_STREAM if body is not None else {},
                encode_chunked=body is not None,
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise errors.Unavailable(f"The Docker Engine does not answer at {self.path}: {error}.") from error
        finally:
            connection.close()
        if answer.status < 400:
            return content
        problem = _message(content)
        if answer.status == 404:
            raise errors.NotFound(problem)
        raise errors.Failed(f"The Docker Engine refused {method} {path}: {problem}")

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/_ping", timeout_seconds=5) == b"OK"
        except errors.ZunError:
            return False

    def info(self) -> dict[str, Any]:
        return json.loads(self.ask("GET", "/info"))

    def containers(self, label: str | None = None, *, running_only: bool = False) -> list[dict[str, Any]]:
        query = [("all", "false" if running_only else "true")]
        if label:
            query.append(("filters", json.dumps({"label": [label]})))
        return json.loads(self.ask("GET", "/containers/json", query))

    def remove_container(self, container_id: str) -> None:
        try:
            self.ask("DELETE", f"/containers/{container_id}", [("force", "true"), ("v", "true")], timeout_seconds=60)
        except errors.NotFound:
            return

    def networks(self, driver: str) -> list[str]:
        """Names of the networks that a driver makes."""
        found = json.loads(self.ask("GET", "/networks", [("filters", json.dumps({"driver": [driver]}))]))
        return sorted(item["Name"] for item in found)

    def images(self, label: str) -> list[dict[str, Any]]:
        return json.loads(self.ask("GET", "/images/json", [("filters", json.dumps({"label": [label]}))]))

    def image(self, reference: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.ask("GET", f"/images/{quote(reference)}/json"))
        except errors.NotFound:
            return None

    def remove_image(self, reference: str) -> None:
        try:
            self.ask("DELETE", f"/images/{quote(reference)}", [("force", "false")])
        except errors.NotFound:
            return

    def import_image(self, body: BinaryIO | Iterable[bytes], name: str, tag: str, changes: list[str]) -> str:
        """Make an image of one layer from a tar stream; answers its id."""
        query = [("fromSrc", "-"), ("repo", name), ("tag", tag), *(("changes", change) for change in changes)]
        lines = self.ask("POST", "/images/create", query, body, timeout_seconds=600).decode().splitlines()
        told = [json.loads(line) for line in lines if line.strip()]
        for line in told:
            if "error" in line:
                raise errors.Failed(f"The Docker Engine could not import {name}:{tag}: {line['error']}.")
        return told[-1]["status"] if told else ""


def _message(content: bytes) -> str:
    try:
        return json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")[:500]
