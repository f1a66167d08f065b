# SPDX-License-Identifier: Apache-2.0
"""Images and registries' logins, for a host's own workloads: what agents call to make containers of them."""

from __future__ import annotations

from typing import Any

import falcon

from zun_lite.api.image.transfers import Transfers, body_of, send
from zun_lite.api.node import authenticate
from zun_lite.control import commit, registries
from zun_lite.control.means import Means
from zun_lite.db import workloads
from zun_lite.domain import errors, names
from zun_lite.domain.capsule import CapsuleSpec


def resources(means: Means, transfers: Transfers) -> list[tuple[str, Any, str | None]]:
    return [
        ("/node/v1/images/{image_id}/file", ImageFile(means, transfers), None),
        ("/node/v1/workloads/{uuid}/registry", RegistryLogin(means), None),
    ]


class ImageFile:
    """GET: the bytes of an image that a workload on the host names. PUT: those of one that the host made."""

    def __init__(self, means: Means, transfers: Transfers) -> None:
        self._means = means
        self._transfers = transfers

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        host = authenticate(self._means, req)
        if not _is_named(self._means, host.uuid, image_id):
            raise errors.NotFound("No workload of this host is made of that image.")
        opened = self._means.images.open(image_id)
        resp.set_header("X-Image-Sha512", opened.sha512)
        send(resp, opened, self._transfers)

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        host = authenticate(self._means, req)
        with self._transfers.one(req):
            commit.take_bytes(self._means, host, image_id, body_of(req), req.content_length)
        resp.status = 204


class RegistryLogin:
    """GET: the login with which the host may pull the image of a workload."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response, uuid: str) -> None:
        login = registries.login_for(self._means, authenticate(self._means, req), names.as_id(uuid) or "")
        resp.media = {"domain": login.domain, "username": login.username, "password": login.password}


def _is_named(means: Means, host_uuid: str, image_id: str) -> bool:
    with means.db.read() as tx:
        for workload in workloads.on_host(tx, host_uuid):
            spec = workload.spec
            specs = [member.spec for member in spec.every_member] if isinstance(spec, CapsuleSpec) else [spec]
            if any(one.image_id == image_id for one in specs):
                return True
    return False
