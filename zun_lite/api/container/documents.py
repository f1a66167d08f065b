# SPDX-License-Identifier: Apache-2.0
"""The version documents of the container API: / and /v1, read by clients before they have a token."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api import versions
from zun_lite.api.media import answer

DESCRIBED_AT = "https://docs.openstack.org/api-ref/application-container/"
NAMES = (
    "services",
    "containers",
    "images",
    "networks",
    "hosts",
    "availability_zones",
    "capsules",
    "quotas",
    "quota_classes",
    "registries",
)


class ContainerRoot:
    """GET /: the versions, one. Never 300: the stock client takes that for an error."""

    def __init__(self, public_url: str) -> None:
        version = _version(public_url)
        self._body = {
            "name": "OpenStack Zun API",
            "description": "zun_lite runs containers on tenants' own networks, with block volumes.",
            "versions": [version],
            "default_version": version,
        }

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, self._body)


class ContainerV1:
    """GET /v1. `version` is there for keystoneauth, which looks for microversions in it."""

    def __init__(self, public_url: str, streams_url: str) -> None:
        """streams_url: where the gateway is."""
        self._body: dict[str, Any] = {
            "id": "v1",
            "media_types": [{"base": "application/json", "type": "application/vnd.openstack.zun.v1+json"}],
            "links": [
                *_version(public_url)["links"],
                {"rel": "describedby", "type": "text/html", "href": DESCRIBED_AT},
                {"rel": "streams", "href": streams_url},
            ],
            "version": _version(public_url),
        }
        for name in NAMES:
            self._body[name] = [
                {"rel": "self", "href": f"{public_url}/v1/{name}/"},
                {"rel": "bookmark", "href": f"{public_url}/{name}/"},
            ]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, self._body)


def _version(public_url: str) -> dict[str, Any]:
    return {
        "id": "v1",
        "status": "CURRENT",
        "min_version": versions.MINIMUM,
        "max_version": versions.MAXIMUM,
        "links": [{"rel": "self", "href": f"{public_url}/v1/"}],
    }
