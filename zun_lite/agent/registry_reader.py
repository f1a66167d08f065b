# SPDX-License-Identifier: Apache-2.0
"""Reads manifests and small blobs out of an image registry, for what the engine's own pull does not do.

A registry is somebody else's, and so is whatever it points to: nothing but HTTPS is followed, nothing into
inner networks, nothing large or slow, and a login goes to the registry that it is for, and to the place that this
one names for tokens. Registries that the operator calls insecure are spoken to in plain HTTP.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urljoin, urlsplit

import orjson
import requests
from urllib3.exceptions import HTTPError

from zun_lite.client.bounded_session import bounded_session
from zun_lite.domain import errors, image_reference
from zun_lite.domain.desired import Login
from zun_lite.domain.image_reference import Reference

MANIFEST_TYPES = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
MOST_BYTES = 4 * 1024 * 1024
MOST_REDIRECTS = 4
CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
WHOLE_SECONDS = 60.0
_DOCKER_HUB = "registry-1.docker.io"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryReader:
    """check_host: raises for a host that must not be spoken to. insecure: registries without TLS, as HOST:PORT.

    What is asked until when: as time.monotonic() counts; without it, for WHOLE_SECONDS.
    """

    def __init__(self, check_host: Callable[[str], None], insecure: Collection[str] = ()) -> None:
        self._check_host = check_host
        self._insecure = insecure

    def manifest(
        self, reference: Reference, which: str, login: Login | None, until: float | None = None
    ) -> tuple[str, dict[str, Any]]:
        """(digest, content) of a tag or a digest of the reference's repository.

        NoSuchImage: there is none, or not for this login. Unavailable: the registry does not answer, or not in time.
        Failed: it answers what it should not.
        """
        content = self._get(reference, f"manifests/{which}", login, until)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if which.startswith("sha256:") and which != digest:
            raise errors.Failed(f"The registry of {reference} answers with another manifest than was asked for.")
        return digest, _object(reference, content)

    def blob(self, reference: Reference, digest: str, login: Login | None, until: float | None = None) -> bytes:
        """The bytes of a digest, which they are held against."""
        if not _DIGEST.fullmatch(digest):
            raise errors.Failed(f"The registry of {reference} names a blob {digest!r}.")
        content = self._get(reference, f"blobs/{digest}", login, until)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            raise errors.Failed(f"The registry of {reference} answers with another blob than was asked for.")
        return content

    def _get(self, reference: Reference, what: str, login: Login | None, until: float | None) -> bytes:
        registry = reference.registry or image_reference.DEFAULT_REGISTRY
        host = _DOCKER_HUB if registry == image_reference.DEFAULT_REGISTRY else registry
        scheme = "http" if registry in self._insecure else "https"
        path = reference.repository.removeprefix(f"{registry}/")
        url = f"{scheme}://{host}/v2/{path}/{what}"
        with bounded_session(until := until or time.monotonic() + WHOLE_SECONDS) as session:
            # what the machine keeps for its own users is not for tenants
            session.trust_env = False
            status, headers, content = self._fetch(session, url, {"Accept": MANIFEST_TYPES})
            if status == 401:
                proof = self._proof(session, headers.get("WWW-Authenticate", ""), path, login)
                status, headers, content = self._fetch(session, url, {"Accept": MANIFEST_TYPES, "Authorization": proof})
        if time.monotonic() >= until:
            raise errors.Unavailable(f"The registry of {reference} takes too long.")
        if status in (401, 403, 404):
            raise errors.NoSuchImage(f"Image {str(reference)!r} was not found, or its registry wants a login.")
        if status != 200:
            raise errors.Unavailable(f"The registry of {reference} answers {status}.")
        return content

    def _proof(self, session: requests.Session, challenge: str, path: str, login: Login | None) -> str:
        """What an Authorization header has to say, by what the registry asked for."""
        kind, _, rest = challenge.partition(" ")
        asked = dict(_PARAMETER.findall(rest))
        if kind.lower() == "basic" and login is not None and login.username:
            return _basic(login)
        if kind.lower() != "bearer" or "realm" not in asked:
            raise errors.NoSuchImage("The image was not found, or its registry wants a login.")
        if urlsplit(asked["realm"]).scheme != "https":
            raise errors.Failed("The image's registry wants logins sent in the clear.")
        query = {"service": asked.get("service", ""), "scope": f"repository:{path}:pull"}
        url = requests.Request("GET", asked["realm"], params=query).prepare().url or ""
        headers = {"Authorization": _basic(login)} if login is not None and login.username else {}
        status, _, content = self._fetch(session, url, headers)
        if status != 200:
            raise errors.NoSuchImage("The image was not found, or its registry wants a login.")
        answer = _object("the image", content)
        return f"Bearer {answer.get('token') or answer.get('access_token') or ''}"

    def _fetch(self, session: requests.Session, url: str, headers: dict[str, str]) -> tuple[int, Any, bytes]:
        """(status, headers, body), over redirects, which get nothing of a login."""
        insecure = {f"http://{name}" for name in self._insecure}
        for _ in range(MOST_REDIRECTS):
            parts = urlsplit(url)
            if parts.scheme != "https" and f"{parts.scheme}://{parts.netloc}" not in insecure:
                raise errors.Failed("The image's registry points to a place without TLS.")
            self._check_host(parts.netloc)
            try:
                with session.get(
                    url,
                    headers=headers,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                    stream=True,
                ) as answer:
                    if answer.status_code not in (301, 302, 303, 307, 308):
                        return answer.status_code, answer.headers, _read(answer)
                    url = urljoin(url, answer.headers.get("Location", ""))
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                raise errors.Unavailable(f"The image's registry does not answer: {type(error).__name__}.") from error
            headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise errors.Failed("The image's registry sends from place to place without end.")


def _read(answer: requests.Response) -> bytes:
    content = b""
    for block in answer.iter_content(65536):
        content += block
        if len(content) > MOST_BYTES:
            raise errors.Failed("The image's registry answers with more than a manifest can be.")
    return content


def _object(what: object, content: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise errors.Failed(f"The registry of {what} answers with what is no JSON object.")
    return found


def _basic(login: Login) -> str:
    return requests.auth._basic_auth_str(login.username or "", login.password or "")
