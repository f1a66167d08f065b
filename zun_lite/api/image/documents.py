# SPDX-License-Identifier: Apache-2.0
"""Glance's documents: versions, and the schemas that its client reads before it creates anything."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api.media import answer
from zun_lite.api.services import Services

PREFIX = "/image/v2"
CURRENT, SUPPORTED = "CURRENT", "SUPPORTED"
VERSIONS = (("v2.17", CURRENT), ("v2.16", SUPPORTED), ("v2.9", SUPPORTED), ("v2.0", SUPPORTED))
# A field that may be null says so, or the client refuses its own image.
_TEXT, _NUMBER, _TRUTH = {"type": ["null", "string"]}, {"type": ["null", "integer"]}, {"type": "boolean"}
_READ_ONLY = {"readOnly": True}
_IMAGE: dict[str, Any] = {
    "id": {"type": "string"},
    "name": {**_TEXT, "maxLength": 255},
    "status": {"type": "string", **_READ_ONLY},
    "visibility": {"type": "string", "enum": ["public", "private", "shared"]},
    "container_format": {**_TEXT, "enum": [None, "docker", "bare", "ovf", "ova", "aki", "ari", "ami", "compressed"]},
    "disk_format": {**_TEXT, "enum": [None, "raw", "qcow2", "iso", "vhd", "vhdx", "vmdk", "vdi", "ami", "aki", "ari"]},
    "min_disk": {"type": "integer"},
    "min_ram": {"type": "integer"},
    "protected": _TRUTH,
    "os_hidden": _TRUTH,
    "owner": {**_TEXT, "maxLength": 255},
    "size": {**_NUMBER, **_READ_ONLY},
    "virtual_size": {**_NUMBER, **_READ_ONLY},
    "checksum": {**_TEXT, **_READ_ONLY},
    "os_hash_algo": {**_TEXT, **_READ_ONLY},
    "os_hash_value": {**_TEXT, **_READ_ONLY},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
    "created_at": {"type": "string", **_READ_ONLY},
    "updated_at": {"type": "string", **_READ_ONLY},
    "self": {"type": "string", **_READ_ONLY},
    "file": {"type": "string", **_READ_ONLY},
    "schema": {"type": "string", **_READ_ONLY},
}
FORMATS: dict[str, tuple[Any, ...]] = {
    name: tuple(_IMAGE[name]["enum"]) for name in ("container_format", "disk_format", "visibility")
}
READ_ONLY = frozenset(name for name, kind in _IMAGE.items() if kind.get("readOnly"))
BASE = frozenset(_IMAGE)
IMAGE_SCHEMA = {"name": "image", "properties": _IMAGE, "additionalProperties": {"type": "string"}}


class Versions:
    """GET /image, /image/versions and /image/v2: 300, as a choice of versions is answered here."""

    def __init__(self, services: Services) -> None:
        href = f"{services.public_url}{PREFIX}/"
        links = [{"rel": "self", "href": href}]
        self._body = {"versions": [{"id": id, "status": status, "links": links} for id, status in VERSIONS]}

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, self._body, 300)


class Fixed:
    """A document that never changes."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, self._body)


def fixed() -> list[tuple[str, object, str | None]]:
    images = {
        "name": "images",
        "properties": {
            "images": {"type": "array", "items": IMAGE_SCHEMA},
            **{name: {"type": "string"} for name in ("first", "next", "schema")},
        },
        "links": [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}],
    }
    member = {
        "name": "member",
        "properties": {name: {"type": "string"} for name in ("member_id", "image_id", "status")},
    }
    imports = {"description": "Import methods available.", "type": "array", "value": []}
    return [
        (f"{PREFIX}/schemas/image", Fixed(IMAGE_SCHEMA), None),
        (f"{PREFIX}/schemas/images", Fixed(images), None),
        (f"{PREFIX}/schemas/member", Fixed(member), None),
        (f"{PREFIX}/info/import", Fixed({"import-methods": imports}), None),
    ]
