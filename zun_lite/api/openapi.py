# SPDX-License-Identifier: Apache-2.0
"""The container API as an OpenAPI 3.1 document, and GET /v1/openapi.json that serves it.

Made of described/operations.py, whose schemas are those by which requests are checked; nothing else is
written down here. It is put together when it is first asked for, and kept as bytes.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import falcon
import orjson

from zun_lite.api import versions
from zun_lite.api.described import answers, operations, parameters
from zun_lite.api.described.operations import EVERY, SECTIONS, USUAL_ERRORS, Operation
from zun_lite.api.idempotency import HEADER as IDEMPOTENCY_HEADER
from zun_lite.api.media import JSON

PATH = "/v1/openapi.json"
_NAMES = re.compile(r"{(\w+)}")
REASONS = {
    400: "The request cannot be right.",
    401: "No token, or one that is not good.",
    403: "The policy or a quota does not allow it.",
    404: "There is no such object that the caller may see.",
    406: "There is no such microversion, or not of this request.",
    408: "The rest of the request did not come.",
    409: "The object's state, or another object, is in the way.",
    413: "More bytes than are taken.",
    415: "The body is of a kind that is not taken.",
    429: "Too many at once.",
    503: "A service that is needed does not answer; try again.",
}

_SCHEMAS = {401: "Unauthorized"}


class OpenApi:
    """GET /v1/openapi.json; read without a token."""

    def __init__(self, public_url: str) -> None:
        self._public_url = public_url

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = JSON
        resp.data = _bytes(self._public_url)


def document(public_url: str) -> dict[str, Any]:
    """The whole document, plain."""
    paths: dict[str, dict[str, Any]] = {}
    for title, rows in SECTIONS:
        for operation in rows:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, title)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Container API of zun_lite",
            "version": versions.MAXIMUM,
            "description": "Compatible with OpenStack Zun's API v1. Requests choose a microversion by the header "
            f"{versions.HEADER}: container X.Y; schemas are those of {versions.MAXIMUM}.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": title} for title, _ in SECTIONS],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            "schemas": {"Error": answers.ERROR, "Unauthorized": answers.UNAUTHORIZED},
            "parameters": {
                "microversion": {
                    "name": versions.HEADER,
                    "in": "header",
                    "description": "Which microversion the request speaks; 1.1 unless given.",
                    "schema": {"type": "string", "pattern": r"^container (latest|1\.[0-9]{1,2})$"},
                },
                "idempotency": {
                    "name": IDEMPOTENCY_HEADER,
                    "in": "header",
                    "description": "A text of the client's own; the same request with it again is answered as before.",
                    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
                },
            },
            "responses": {
                str(status): {
                    "description": reason,
                    "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{_SCHEMAS.get(status, 'Error')}"}}},
                }
                for status, reason in REASONS.items()
            },
        },
    }


@functools.lru_cache(maxsize=2)
def _bytes(public_url: str) -> bytes:
    return orjson.dumps(document(public_url))


def _operation(operation: Operation, tag: str) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.title}
    if operation.answer is not None:
        success["content"] = {JSON: {"schema": operation.answer}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.title,
        "tags": [tag],
        "parameters": _parameters(operation),
        "responses": {
            str(operation.status): success,
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in errors_of(operation)},
        },
        "x-openstack": {"min-ver": f"1.{operation.since}", "max-ver": f"1.{operation.until}"},
    }
    if operation.note:
        described["description"] = operation.note
    if operation.public:
        described["security"] = []
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": operation.body}}}
    return described


def errors_of(operation: Operation) -> list[int]:
    """Every status, besides success, that a request may be answered with."""
    usual = (406,) if operation.public else USUAL_ERRORS
    return sorted({*usual, *operation.errors})


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _NAMES.findall(operation.path):
        schema, meaning = parameters.PATH[name]
        found.append({"name": name, "in": "path", "required": True, "description": meaning, "schema": schema})
    for name in operation.query:
        schema, meaning = parameters.QUERY[name]
        found.append(
            {
                "name": parameters.WIRE.get(name, name),
                "in": "query",
                "required": name in operation.required,
                "description": meaning,
                "schema": _sort_keys(operation) if name == "sort_key" else schema,
            }
        )
    if operation.path.startswith("/v1/"):
        found.append({"$ref": "#/components/parameters/microversion"})
    if operation in operations.REPEATABLE:
        found.append({"$ref": "#/components/parameters/idempotency"})
    return found


def _sort_keys(operation: Operation) -> dict[str, Any]:
    keys = parameters.SORT_KEYS.get(operation.path)
    return parameters.QUERY["sort_key"][0] if keys is None else {"enum": list(keys)}


def check(routes: list[tuple[str, object, str | None]]) -> list[str]:
    """What of these routes of the container API has no row, and which rows have no route; one sentence each."""
    served = set()
    for path, resource, suffix in routes:
        if path != "/" and path != "/v1" and not path.startswith("/v1/"):
            continue
        for method in ("get", "post", "put", "patch", "delete"):
            if hasattr(resource, f"on_{method}_{suffix}" if suffix else f"on_{method}"):
                served.add((method.upper(), _NAMES.sub("{}", path)))
    described = {(operation.method, _NAMES.sub("{}", operation.path)) for operation in EVERY}
    return [f"{method} {path} is served and not described" for method, path in sorted(served - described)] + [
        f"{method} {path} is described and not served" for method, path in sorted(described - served)
    ]
