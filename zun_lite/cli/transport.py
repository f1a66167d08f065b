# SPDX-License-Identifier: Apache-2.0
"""HTTP for the command line: which server, by which certificate, for how long. wire.py speaks it."""

from __future__ import annotations

import json
import socket

from zun_lite.cli import wire
from zun_lite.cli.failures import Failure, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

REQUEST_ID_HEADER = "x-openstack-request-id"
_PORTS = {"http": 80, "https": 443}


class Answer:
    """headers: by their names in lower case."""

    def __init__(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

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
        response = self._exchange(method, url, headers, body)
        try:
            return Answer(response.status, response.headers, response.read())
        except OSError as error:
            raise Unreachable(url, error) from error
        finally:
            response.close()

    def open(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes | wire.FilePart] | None = None,
    ) -> wire.Response:
        """An answer that is read as it comes; whoever reads it closes it. No time limit once it has begun."""
        response = self._exchange(method, url, headers, body)
        response.wait_for_ever()
        return response

    def tls(self) -> Any:
        import ssl

        context = ssl.create_default_context(cafile=self._cacert)
        if not self._verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Iterable[bytes | wire.FilePart] | None
    ) -> wire.Response:
        scheme, host, port, target = _parts(url)
        try:
            # as bytes, the name is not looked at for letters beyond ASCII, which takes longer than to ask
            address: Any = (host.encode() if host.isascii() else host, port)
            connection = socket.create_connection(address, self._timeout_seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Unreachable(url, error) from error
        try:
            if scheme == "https":
                connection = self.tls().wrap_socket(connection, server_hostname=host)
            name = url.split("/", 3)[2]
            return wire.exchange(connection, method, name, target, headers, body)
        except OSError as error:
            connection.close()
            raise Unreachable(url, error) from error
        except BaseException:
            connection.close()
            raise


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, and what is asked for there. Failure: it is no address of HTTP."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    host, _, port = authority.rpartition(":") if authority[-1:] != "]" and ":" in authority else (authority, "", "")
    host = host.strip("[]")
    wrong = not host or "@" in authority or not (port.isdigit() or not port) or any(letter <= " " for letter in url)
    if scheme not in _PORTS or not slashes or wrong:
        raise Failure(f"{url!r} is no address that could be reached; it begins with http:// or https://.")
    return scheme, host, int(port or _PORTS[scheme]), slash + path or "/"
