# SPDX-License-Identifier: Apache-2.0
"""HTTP for the command line, by the standard library alone: a command that lists is over before a larger one began."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from zun_lite.cli.failures import Failure, Unreachable

REQUEST_ID_HEADER = "X-Openstack-Request-Id"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    def json(self) -> Any:
        """What it says; None if that is nothing."""
        try:
            return json.loads(self.content) if self.content else None
        except ValueError as error:
            raise Failure(f"The server answered {self.status} with something that is no JSON.") from error


class Transport:
    """cacert: a file of authorities to trust; verify: False to believe any certificate, on the user's own word."""

    def __init__(self, *, verify: bool = True, cacert: str | None = None, timeout_seconds: float = 60.0) -> None:
        self._verify = verify
        self._cacert = cacert
        self._timeout_seconds = timeout_seconds

    def call(self, method: str, url: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        connection = self.connect(url)
        try:
            response = self.send(connection, method, url, headers, body)
            return Answer(response.status, response.headers, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(url, error) from error
        finally:
            connection.close()

    def open(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Iterable[bytes] | None = None
    ) -> http.client.HTTPResponse:
        """An answer that is read as it comes; whoever reads it closes it. No time limit once it has begun."""
        connection = self.connect(url)
        try:
            response = self.send(connection, method, url, headers, body)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(url, error) from error
        if connection.sock is not None:
            connection.sock.settimeout(None)
        return response

    def connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in ("http", "https"):
            raise Failure(f"{url!r} is no address that could be reached; it begins with http:// or https://.")
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=self._timeout_seconds)
        return http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=self._timeout_seconds, context=self.tls()
        )

    def tls(self) -> Any:
        import ssl

        context = ssl.create_default_context(cafile=self._cacert)
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            # what comes in pieces has no length that is known
            chunked = body is not None and not isinstance(body, bytes)
            connection.request(method, target, body=body, headers=headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            # the server may have said why it takes no more
            return connection.getresponse()
        return connection.getresponse()
