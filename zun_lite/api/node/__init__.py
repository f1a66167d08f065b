# SPDX-License-Identifier: Apache-2.0
"""What agents call, under /node/v1. A host proves itself with a token signed by its own key.

No user's token is good here, and a host's token is good nowhere else.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import falcon

from zun_lite.common import grants
from zun_lite.control import host_keys, plane, reports
from zun_lite.control.means import Means
from zun_lite.db import hosts
from zun_lite.domain import errors
from zun_lite.domain.desired import Report


def resources(means: Means, grant_public_key: str, cas: bytes | None) -> list[tuple[str, Any, str | None]]:
    """(path template, resource, suffix) of every route of this service. cas: see CertificateAuthorities."""
    return [
        ("/node/v1/ca", CertificateAuthorities(cas), None),
        ("/node/v1/enrol", Enrolment(means, grant_public_key), None),
        ("/node/v1/heartbeat", Heartbeat(means), None),
        ("/node/v1/key", Key(means), None),
        ("/node/v1/workloads", DesiredWorkloads(means), None),
        ("/node/v1/plane", DesiredPlane(means), None),
        ("/node/v1/reports", Reports(means), None),
    ]


def authenticate(means: Means, req: falcon.Request) -> hosts.Host:
    """The host that signed this request. Unauthorized: unknown, removed, or not signed by it. TooMany."""
    return _proof(means, req).host


def _proof(means: Means, req: falcon.Request) -> host_keys.Proof:
    scheme, _, token = (req.get_header("Authorization") or "").partition(" ")
    if scheme != "Node" or not token:
        raise errors.Unauthorized("This path is for enrolled hosts only.")
    proof = host_keys.check(means, token)
    req.context.host_uuid = proof.host.uuid
    req.context.admit_host(proof.host.uuid)
    return proof


class CertificateAuthorities:
    """GET, for anybody: what a new host, which knows their fingerprint by its join token, believes from then on."""

    def __init__(self, cas: bytes | None) -> None:
        """cas: those of our own programs' certificates, PEM; None are those that every machine knows."""
        self._cas = cas

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if self._cas is None:
            raise errors.NotFound("The API's certificate is of a CA that every machine knows.")
        resp.content_type, resp.data = "application/x-pem-file", self._cas


class Enrolment:
    """POST: a one-time token becomes an identity."""

    def __init__(self, means: Means, grant_public_key: str) -> None:
        self._means = means
        self._grant_public_key = grant_public_key

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = _body(req)
        token, name, address, public_key = (_text(body, key) for key in ("token", "name", "address", "public_key"))
        grants.public_key(public_key)
        if ":" not in address:
            raise errors.Invalid("address is host:port, where the API reaches the agent.")
        host_uuid = reports.enrol(self._means, token, name, address, public_key)
        resp.media = {"host_uuid": host_uuid, "grant_public_key": self._grant_public_key}
        resp.status = falcon.HTTP_201


class Heartbeat:
    """PUT: the host lives."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        body = _body(req)
        problem = body.get("problem")
        heard = reports.heartbeat(self._means, host, _text(body, "boot_id"), str(problem) if problem else None)
        resp.media = asdict(heard)


class Key:
    """PUT: another public key is the host's from now on. May be repeated, signed with either."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        proof = _proof(self._means, req)
        public_key = _text(_body(req), "public_key")
        grants.public_key(public_key)
        host_keys.exchange(self._means, proof, public_key)
        resp.status = falcon.HTTP_204


class DesiredWorkloads:
    """GET: what the host should hold, or 304 when that is what it knows."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        known = req.get_header("If-None-Match")
        if known is not None and known.strip('"') == str(reports.revision(self._means, host)):
            resp.status = falcon.HTTP_304
            return
        desired = reports.desired_set(self._means, host)
        resp.set_header("ETag", f'"{desired.revision}"')
        resp.media = desired.to_json()


class DesiredPlane:
    """GET: what the host should do for networks, or 304 when that is what it knows."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        known = req.get_header("If-None-Match")
        if known is not None and known.strip('"') == str(plane.revision(self._means, host)):
            resp.status = falcon.HTTP_304
            return
        found = plane.host_plane(self._means, host)
        resp.set_header("ETag", f'"{found.revision}"')
        resp.media = found.to_json()


class Reports:
    """POST: inventory and what was observed."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        host = authenticate(self._means, req)
        try:
            report = Report.from_json(_body(req))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise errors.Invalid(f"The report cannot be read: {error!r}.") from error
        orders = reports.take(self._means, host, report)
        resp.media = {"remove": [{"uuid": uuid, "epoch": epoch} for uuid, epoch in orders]}


def _body(req: falcon.Request) -> dict[str, Any]:
    body = req.get_media(default_when_empty=None)
    if not isinstance(body, dict):
        raise errors.Invalid("The body must be a JSON object.")
    return body


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value or len(value) > 255:
        raise errors.Invalid(f"{key} must be a text of 1 to 255 characters.")
    return value
