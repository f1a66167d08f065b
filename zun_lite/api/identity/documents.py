# SPDX-License-Identifier: Apache-2.0
"""The version documents of the identity API, read by clients before they have a token."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api.media import answer


class IdentityRoot:
    """GET /identity: the choice of versions, one."""

    def __init__(self, public_url: str) -> None:
        self._version = _version(public_url)
        self._location = f"{public_url}/identity/v3/"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.set_header("Location", self._location)
        answer(resp, {"versions": {"values": [self._version]}}, 300)


class IdentityV3:
    def __init__(self, public_url: str) -> None:
        self._version = _version(public_url)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        answer(resp, {"version": self._version})


def _version(public_url: str) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{public_url}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
