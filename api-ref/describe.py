# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of the API reference that are made from the code: container.rst, parameters.yaml, status.yaml.

They are made anew by every build and are no part of the repository; the tables they are made of are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import Any

from zun_lite.api import openapi
from zun_lite.api.described import parameters
from zun_lite.api.described.operations import REPEATABLE, SECTIONS, Operation

_NAMES = re.compile(r"{(\w+)}")
_DEEDS = ("add", "remove", "deactivate", "reactivate", "import")
_SUBSETS = {
    "identity": (
        "Identity API",
        "The part of OpenStack Keystone's API v3 that clients need, at ``/identity``, where no other identity service "
        "is configured. Bodies, answers and errors are Keystone's.",
    ),
    "network": (
        "Networking API",
        "The part of OpenStack Neutron's API v2.0 that clients need, at ``/network``, where no other networking "
        "service is configured. Bodies, answers, filters and errors are Neutron's.",
    ),
    "volume": (
        "Block storage API",
        "The part of OpenStack Cinder's API v3 that clients need, at ``/volume``, where no other block storage "
        "service is configured. Bodies, answers, microversions and errors are Cinder's.",
    ),
    "image": (
        "Image API",
        "The part of OpenStack Glance's API v2 that clients need, at ``/image``, where no other image service is "
        "configured. Bodies, answers and errors are Glance's.",
    ),
}
_ORDER = {"header": 0, "path": 1, "query": 2, "body": 3}


def write(folder: str) -> None:
    """Into the folder of Sphinx's sources."""
    keys: dict[str, dict[str, Any]] = {}
    page = "\n".join(_container_page(keys, os.path.join(folder, "samples")))
    _put(folder, "container.rst", page)
    _put(folder, "parameters.yaml", _yaml(keys))
    _put(folder, "status.yaml", _statuses())
    with open(os.path.join(folder, "subsets.json"), encoding="utf-8") as file:
        served = json.load(file)
    for name, (title, about) in _SUBSETS.items():
        _put(folder, f"{name}.rst", "\n".join(_subset_page(title, about, served[name])))


def _put(folder: str, name: str, text: str) -> None:
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text.rstrip() + "\n")


def _container_page(keys: dict[str, dict[str, Any]], samples: str) -> Iterable[str]:
    yield from (".. rest_expand_all::", "")
    yield from _title("Container API", "=", over=True)
    yield (
        "Compatible with OpenStack Zun's API, version 1, at microversions 1.1 to 1.40, chosen by the header "
        "``OpenStack-API-Version: container X.Y``; 1.1 where there is none. Every request but the documents needs a "
        "token in ``X-Auth-Token``. The same reference is served as an OpenAPI document at ``/v1/openapi.json``."
    )
    yield ""
    for title, operations in SECTIONS:
        yield from _title(title, "=")
        for operation in operations:
            yield from _operation(operation, keys, samples)


def _operation(operation: Operation, keys: dict[str, dict[str, Any]], samples: str) -> Iterable[str]:
    yield from _title(operation.title, "-")
    yield from (f".. rest_method:: {operation.method} {operation.path}", "")
    if operation.note:
        yield from (operation.note.replace("`", "``"), "")
    if operation.since > 1:
        yield from (f"Served from microversion 1.{operation.since} on.", "")
    if operation.until < 40:
        yield from (f"Served up to microversion 1.{operation.until}.", "")
    yield from _title("Response codes", "~")
    yield from (".. rest_status_code:: success status.yaml", "", f"   - {operation.status}", "")
    yield from (".. rest_status_code:: error status.yaml", "")
    yield from (f"   - {status}" for status in openapi.errors_of(operation))
    yield ""
    rows = _request_rows(operation, keys)
    if rows:
        yield from _title("Request", "~")
        yield from _table(rows)
    yield from _sample(f"{operation.name}_request", "Example of a request", samples)
    rows = _answer_rows(operation, keys)
    if rows:
        yield from _title("Response", "~")
        yield from _table(rows)
    yield from _sample(f"{operation.name}_response", "Example of a response", samples)


def _request_rows(operation: Operation, keys: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    rows = []
    if operation.path.startswith("/v1/"):
        meaning = "Which microversion the request speaks, as ``container X.Y``; 1.1 unless given."
        rows.append(("OpenStack-API-Version", _key(keys, "microversion", "header", {"type": "string"}, meaning, False)))
    if operation in REPEATABLE:
        meaning = "A text of the client's own: the same request with it again is answered as before."
        rows.append(("Idempotency-Key", _key(keys, "idempotency_key", "header", {"type": "string"}, meaning, False)))
    for name in _NAMES.findall(operation.path):
        schema, meaning = parameters.PATH[name]
        rows.append((name, _key(keys, f"{name}_path", "path", schema, meaning, True)))
    for name in operation.query:
        schema, meaning = parameters.QUERY[name]
        required = name in operation.required
        key = f"{name}_query_required" if required else f"{name}_query"
        rows.append((parameters.WIRE.get(name, name), _key(keys, key, "query", schema, meaning, required)))
    body = operation.body or {}
    for name, schema in body.get("properties", {}).items():
        required = name in body.get("required", ())
        key = f"{operation.name}_{name}"
        meaning = f"Must be {schema['description']}." if "description" in schema else "See the example."
        rows.append((name, _key(keys, key, "body", schema, meaning, required)))
    return rows


def _answer_rows(operation: Operation, keys: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    answer = operation.answer or {}
    rows = []
    for name, schema in answer.get("properties", {}).items():
        meaning = schema.get("description") or "See the example."
        required = name in answer.get("required", ())
        rows.append((name, _key(keys, f"{operation.name}_answer_{name}", "body", schema, meaning, required)))
    return rows


def _key(
    keys: dict[str, dict[str, Any]], key: str, place: str, schema: dict[str, Any], meaning: str, required: bool
) -> str:
    key = re.sub(r"\W+", "_", key)
    keys[key] = {"in": place, "required": required, "type": _type(schema), "description": meaning}
    return key


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next(one for one in kind if one != "null")
    if kind is None and "enum" in schema:
        kind = "boolean" if True in schema["enum"] else "string"
    if kind is None:
        choices = schema.get("anyOf") or schema.get("oneOf") or [{}]
        return _type(choices[0]) if choices[0] else "object"
    return kind


def _sample(name: str, title: str, samples: str) -> Iterable[str]:
    if os.path.exists(os.path.join(samples, f"{name}.json")):
        yield from (f"**{title}**", "", f".. literalinclude:: samples/{name}.json", "   :language: json", "")


def _subset_page(title: str, about: str, rows: list[tuple[str, str]]) -> Iterable[str]:
    yield from _title(title, "=", over=True)
    yield from (about, "")
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 10 60 30", "")
    for cells in (("Method", "Path", "What it does"), *((row[0], f"``{row[1]}``", _sense(*row)) for row in rows)):
        yield f"   * - {cells[0]}"
        yield from (f"     - {cell}" for cell in cells[1:])
    yield ""


def _sense(method: str, path: str) -> str:
    """In words: by the method and by what the path ends in."""
    words = [word for word in path.split("/") if word]
    named = [word for word in words if not word.startswith("{")]
    noun = named[-1].replace("_", " ").replace("-", " ").removeprefix("os ") if named else "versions"
    one = words[-1].startswith("{") if words else False
    if re.fullmatch(r"v[0-9.]+|identity|network|volume|image|versions", named[-1] if named else "v1"):
        return "Show the versions"
    verbs = {"GET": "Show" if one else "List", "PUT": "Set", "PATCH": "Change", "DELETE": "Delete", "HEAD": "Check"}
    if method == "POST":
        return f"Perform: {noun}" if noun == "action" or noun.split(" ")[0] in _DEEDS else f"Create in {noun}"
    return f"{verbs[method]} one of {noun}" if one else f"{verbs[method]} {noun}"


def _table(rows: list[tuple[str, str]]) -> Iterable[str]:
    yield from (".. rest_parameters:: parameters.yaml", "")
    yield from (f"   - {name}: {key}" for name, key in rows)
    yield ""


def _title(text: str, sign: str, *, over: bool = False) -> Iterable[str]:
    line = sign * len(text)
    yield from ((line, text, line, "") if over else (text, line, ""))


def _yaml(keys: dict[str, dict[str, Any]]) -> str:
    """Ordered as the extension asks: by place, then by name. JSON is YAML."""
    lines = []
    for key, fields in sorted(keys.items(), key=lambda item: (_ORDER[item[1]["in"]], item[0].lower())):
        lines.append(f"{key}:")
        lines += [f"  {name}: {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(lines)


def _statuses() -> str:
    good = {
        200: "Done.",
        201: "Made.",
        202: "Accepted; it is done after the answer.",
        204: "Done; there is nothing to say.",
    }
    return "\n".join(
        f"{status}:\n  default: |\n    {text}" for status, text in sorted({**good, **openapi.REASONS}.items())
    )
