# SPDX-License-Identifier: Apache-2.0
"""Which service a request is for, and its path in the one form that the routes know.

Works on the WSGI environment before Falcon sees it, because clients write the same path in several
ways: with slashes doubled or at the end, without the leading /v1 of the container API, with a
project id after /volume/v3. A body sent in chunks is gathered here, up to the limit, so that
everybody behind finds a Content-Length, unless the client falls silent; but for the bytes of images, which are
taken as they come.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import Any

from zun_lite.domain import names

CONTAINER, IDENTITY, NETWORK, VOLUME, NODE = "container", "identity", "network", "volume", "node"
IMAGE = "image"
SERVICE_KEY = "zun_lite.service"
TOO_LARGE_KEY = "zun_lite.body_too_large"
_EMBEDDED = frozenset((IDENTITY, NETWORK, VOLUME, IMAGE, NODE))
_UPLOAD = re.compile(r"/(?:image/v2|node/v1)/images/[^/]+/file")
_ALONE = frozenset(("v1", "healthcheck", "metrics"))
# A host's full report speaks of every workload on it.
NODE_BODY_BYTES = 8 * 1024 * 1024
_MOST_BYTES = {NODE: NODE_BODY_BYTES}
# An archive of 16 MiB in base64, and what stands around it.
ARCHIVE_BODY_BYTES = 23 * 1024 * 1024


class Normaliser:
    """A WSGI application around another one."""

    def __init__(self, application: Callable[..., Iterable[bytes]], max_body_bytes: int) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        service, environ["PATH_INFO"] = normalise(environ.get("PATH_INFO", ""))
        environ[SERVICE_KEY] = service
        if is_upload(environ.get("REQUEST_METHOD", ""), environ["PATH_INFO"]):
            environ[TOO_LARGE_KEY] = False
        elif "HTTP_TRANSFER_ENCODING" in environ:
            try:
                self._gather(environ)
            except (BlockingIOError, TimeoutError):
                start_response("408 Request Timeout", [("Content-Length", "0")])
                return []
        else:
            most = _MOST_BYTES.get(service, self._max_body_bytes)
            if service == CONTAINER and environ["PATH_INFO"].endswith("/put_archive"):
                most = max(most, ARCHIVE_BODY_BYTES)
            environ[TOO_LARGE_KEY] = int(environ.get("CONTENT_LENGTH") or 0) > most
        return self._application(environ, start_response)

    def _gather(self, environ: dict[str, Any]) -> None:
        body = environ["wsgi.input"].read(self._max_body_bytes + 1)
        if len(body) > self._max_body_bytes:
            environ[TOO_LARGE_KEY] = True
            body = b""
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))


def is_upload(method: str, path: str) -> bool:
    """Whether the body is an image's bytes, which whoever takes them counts himself."""
    return method == "PUT" and _UPLOAD.fullmatch(path) is not None


def normalise(path: str) -> tuple[str, str]:
    """(service, path): no empty segments, no slash at the end, the container API always under /v1."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        return CONTAINER, "/"
    first = segments[0]
    if first in _EMBEDDED:
        if first == VOLUME and len(segments) > 2 and names.is_id(segments[2]):
            del segments[2]
        return first, "/" + "/".join(segments)
    if first not in _ALONE:
        segments.insert(0, "v1")
    return CONTAINER, "/" + "/".join(segments)
