# SPDX-License-Identifier: Apache-2.0
"""How errors look on the wire: each service's clients read a shape of their own.

One handler for domain errors, one for Falcon's own (no route, no such method, no JSON), one for clients
that fell silent, one for the database, and one for what nobody foresaw, which is logged once with a
correlation id and told without its cause.
"""

from __future__ import annotations

import http
import logging
import re
import uuid
from typing import Any
from urllib.parse import quote

import falcon
import orjson
import sqlalchemy as sa

from zun_lite.api import paths, versions
from zun_lite.api.media import JSON
from zun_lite.db.engine import is_out_of_service
from zun_lite.domain.errors import Unauthorized, Unavailable, ZunError

LOG = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 5
UNAUTHORIZED = "The request you have made requires authentication."
_CAPITALS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_VOLUME_KEYS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    429: "overLimit",
    503: "serviceUnavailable",
}


class ErrorHandlers:
    """Falcon error handlers; www_authenticate_uri is where a client without a valid token should go."""

    def __init__(self, www_authenticate_uri: str) -> None:
        self._challenge = f'Keystone uri="{www_authenticate_uri}"'

    def install(self, app: falcon.App) -> None:
        app.add_error_handler(Exception, self.unexpected)
        app.add_error_handler(falcon.HTTPError, self.from_falcon)
        app.add_error_handler(ZunError, self.from_domain)
        app.add_error_handler(BlockingIOError, self.from_silence)
        # what TLS says instead
        app.add_error_handler(TimeoutError, self.from_silence)
        app.add_error_handler(sa.exc.SQLAlchemyError, self.from_database)

    def from_domain(self, req: falcon.Request, resp: falcon.Response, error: ZunError, params: Any) -> None:
        if isinstance(error, Unauthorized):
            self._unauthorized(resp)
            return
        if error.status == 503:
            resp.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        _render(req, resp, error.status, error.message, error.kind)

    def from_falcon(self, req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: Any) -> None:
        status = falcon.http_status_to_code(error.status)
        if error.headers:
            resp.set_headers(error.headers)
        if status == 404:
            sentence = f"There is nothing at {req.path}."
        elif status == 405:
            sentence = f"{req.method} is not a method of {req.path}."
        else:
            sentence = error.description or error.title or _reason(status)
        _render(req, resp, status, sentence, "")

    def from_silence(self, req: falcon.Request, resp: falcon.Response, error: OSError, params: Any) -> None:
        """The rest of a request did not come, in the time that the server's sockets are given."""
        _render(req, resp, 408, "The rest of the request did not come; send it again.", "")

    def from_database(
        self, req: falcon.Request, resp: falcon.Response, error: sa.exc.SQLAlchemyError, params: Any
    ) -> None:
        """One line while the database is away; what else it says against a statement is our fault."""
        if not is_out_of_service(error):
            self.unexpected(req, resp, error, params)
            return
        LOG.error("the database is out of service: %s", str(getattr(error, "orig", error)).strip())
        self.from_domain(req, resp, Unavailable("The database does not answer; try again soon."), params)

    def unexpected(self, req: falcon.Request, resp: falcon.Response, error: Exception, params: Any) -> None:
        correlation = str(uuid.uuid4())
        LOG.exception("unexpected error %s in %s %s", correlation, req.method, quote(req.path), exc_info=error)
        sentence = f"An unexpected error happened; the operator finds it in the log as {correlation}."
        _render(req, resp, 500, sentence, "")

    def _unauthorized(self, resp: falcon.Response) -> None:
        resp.set_header("WWW-Authenticate", self._challenge)
        _put(resp, 401, {"error": {"code": 401, "title": "Unauthorized", "message": UNAUTHORIZED}})


def _render(req: falcon.Request, resp: falcon.Response, status: int, sentence: str, kind: str) -> None:
    service = req.env.get(paths.SERVICE_KEY, paths.CONTAINER)
    body = _SHAPES.get(service, _plain)(status, sentence, kind)
    if service == paths.CONTAINER:
        body["errors"][0]["request_id"] = getattr(req.context, "request_id", "")
    _put(resp, status, body)


def _put(resp: falcon.Response, status: int, body: dict[str, Any]) -> None:
    resp.status = status
    resp.content_type = JSON
    resp.text = None
    resp.data = orjson.dumps(body)


def _container(status: int, sentence: str, kind: str) -> dict[str, Any]:
    code = _CAPITALS.sub("-", kind).lower() if status < 500 else ""
    # The stock client prints the title only.
    item: dict[str, Any] = {"code": f"container.{code}", "status": status, "title": sentence, "detail": sentence}
    if status == 406:
        item |= {"min_version": versions.MINIMUM, "max_version": versions.MAXIMUM}
    return {"errors": [{**item, "links": []}]}


def _identity(status: int, sentence: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": sentence, "title": _reason(status)}}


def _network(status: int, sentence: str, kind: str) -> dict[str, Any]:
    return {
        "NeutronError": {"type": kind or f"HTTP{_reason(status).replace(' ', '')}", "message": sentence, "detail": ""}
    }


def _volume(status: int, sentence: str, kind: str) -> dict[str, Any]:
    # A kind that begins small was chosen as a key; a class name was not.
    key = kind if kind[:1].islower() else _VOLUME_KEYS.get(status, "computeFault")
    return {key: {"code": status, "message": sentence}}


def _image(status: int, sentence: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": sentence, "title": _reason(status)}, "message": sentence}


def _plain(status: int, sentence: str, kind: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": sentence}}


_SHAPES = {
    paths.CONTAINER: _container,
    paths.IDENTITY: _identity,
    paths.NETWORK: _network,
    paths.VOLUME: _volume,
    paths.IMAGE: _image,
}


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"
