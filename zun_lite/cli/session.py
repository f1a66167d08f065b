# SPDX-License-Identifier: Apache-2.0
"""One user at one cloud: requests to the container API and to the gateway's streams.

The `zl` command makes one of a cloud's settings, the `openstack` plugin of the session that it is given.
"""

from __future__ import annotations

import json

from zun_lite.cli.failures import Failure
from zun_lite.cli.transport import REQUEST_ID_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from zun_lite.cli.tokens import Pass
    from zun_lite.cli.transport import Answer, Transport
    from zun_lite.cli.wire import FilePart, Response

_SCHEMES = {"ws": "http", "wss": "https"}
NO_STREAMS = "This cloud offers no streams, which that needs; the service of zun_lite has them."


class Session:
    """take: a pass, a new one if it is told so. keep: told of a pass that knows more than it did."""

    def __init__(
        self,
        transport: Transport,
        take: Callable[[bool], Pass],
        api_version: str,
        keep: Callable[[Pass], None] = lambda known: None,
    ) -> None:
        self.transport = transport
        self.api_version = api_version
        self._take = take
        self._keep = keep
        self._pass: Pass | None = None

    @property
    def project_id(self) -> str:
        return self._known().project_id

    def ask(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Any:
        """What the container API answers at a path below /v1, as JSON. Failure: it refuses."""
        return self.answer(method, path, body, query).json()

    def answer(self, method: str, path: str, body: Any = None, query: dict[str, Any] | None = None) -> Answer:
        content = json.dumps(body).encode() if body is not None else None
        known = self._known()
        found = self._call(known, method, path, content, query)
        if found.status == 401:
            known = self._renewed()
            found = self._call(known, method, path, content, query)
        if found.status >= 400:
            raise refusal(found.status, found.headers.get(REQUEST_ID_HEADER, ""), found.content)
        return found

    def stream(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None = None,
        body: Callable[[], bytes | Iterable[bytes | FilePart]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """An answer of the gateway's at a path below its /v1, read as it comes. body: makes what is sent, anew."""
        known = self._known()
        url = _with_query(f"{self.streams_url()}/v1{path}", query)
        for renewed in (False, True):
            sent = {"X-Auth-Token": known.token, **(headers or {})}
            found = self.transport.open(method, url, sent, body() if body else None)
            if found.status != 401 or renewed:
                break
            found.close()
            known = self._renewed()
        if found.status >= 400:
            content = found.read()
            found.close()
            raise refusal(found.status, found.headers.get(REQUEST_ID_HEADER, ""), content)
        return found

    def dial(self, path: str, query: dict[str, Any] | None = None) -> Any:
        """A websocket of the gateway's at a path below its /v1: websockets' own ClientConnection."""
        from websockets.exceptions import InvalidHandshake
        from websockets.sync.client import connect

        url = _with_query(f"{self.streams_url()}/v1{path}", query).replace("http", "ws", 1)
        more = {"ssl": self.transport.tls()} if url.startswith("wss") else {}
        try:
            return connect(
                url,
                additional_headers={"X-Auth-Token": self._known().token},
                compression=None,
                max_size=None,
                proxy=None,
                ping_interval=30,
                ping_timeout=None,
                **more,
            )
        except (OSError, InvalidHandshake) as error:
            raise Failure(f"The stream could not be opened at {self.streams_url()}: {error}.") from error

    def streams_url(self) -> str:
        """Where the gateway is, as http or https, without a slash. Failure: this cloud has none."""
        known = self._known()
        if not known.streams:
            document = self.ask("GET", "/") or {}
            links = document.get("links") if isinstance(document, dict) else None
            found = [item["href"] for item in links or [] if item.get("rel") == "streams"]
            if not found:
                raise Failure(NO_STREAMS)
            scheme, _, rest = found[0].partition("://")
            known = known.with_streams(f"{_SCHEMES.get(scheme, scheme)}://{rest.rstrip('/')}")
            self._pass = known
            self._keep(known)
        return known.streams

    def has_streams(self) -> bool:
        try:
            return bool(self.streams_url())
        except Failure as error:
            if error.message != NO_STREAMS:
                raise
            return False

    def _call(self, known: Pass, method: str, path: str, content: bytes | None, query: dict[str, Any] | None) -> Answer:
        headers = {
            "X-Auth-Token": known.token,
            "Accept": "application/json",
            "OpenStack-API-Version": f"container {self.api_version}",
        }
        if content is not None:
            headers["Content-Type"] = "application/json"
        endpoint = known.endpoint if known.endpoint.rstrip("/").endswith("/v1") else f"{known.endpoint}/v1"
        return self.transport.call(method, _with_query(endpoint.rstrip("/") + path, query), headers, content)

    def _known(self) -> Pass:
        if self._pass is None:
            self._pass = self._take(False)
        return self._pass

    def _renewed(self) -> Pass:
        streams = self._pass.streams if self._pass else ""
        self._pass = self._take(True).with_streams(streams)
        return self._pass


def refusal(status: int, request_id: str, content: bytes) -> Failure:
    """What a server's error says, in whichever of the forms of OpenStack's services."""
    message = ""
    try:
        said = json.loads(content)
        if said.get("errors"):
            message = said["errors"][0].get("title") or said["errors"][0].get("detail") or ""
            request_id = request_id or said["errors"][0].get("request_id") or ""
        elif isinstance(said.get("error"), dict):
            message = said["error"].get("message") or said["error"].get("title") or ""
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):
        pass
    return Failure(_one_line(message) or "The server refused.", status=status, request_id=request_id)


def _one_line(message: Any) -> str:
    """The first paragraph: some services go on with the whole schema that a request did not fit."""
    return " ".join(str(message).strip().partition("\n\n")[0].split())


def one(ident: str) -> str:
    """A name or id as a part of a path."""
    if ident.isascii() and ident.replace("-", "").replace("_", "").isalnum():
        return ident
    from urllib.parse import quote

    return quote(ident, safe="")


def _with_query(url: str, query: dict[str, Any] | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    if not given:
        return url
    from urllib.parse import urlencode

    return f"{url}?{urlencode(given, doseq=True)}"
