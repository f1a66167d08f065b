# SPDX-License-Identifier: Apache-2.0
"""How an agent speaks to the API: enrol once, then fetch, heartbeat and report.

Each request carries a token signed with the host's own key; no password and no user's token.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zun_lite.common import grants, request_ids
from zun_lite.common.clock import Clock
from zun_lite.domain import errors
from zun_lite.domain.desired import DesiredSet, Login, Report
from zun_lite.domain.plane import HostPlane

_BY_STATUS = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
}
# Silence for so long on the line of an image's bytes means that it broke.
_SILENT_SECONDS = 60.0
_BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True)
class ImageBytes:
    """An image on its way from the API; sha512 is what its bytes must have."""

    size_bytes: int
    sha512: str
    blocks: Iterator[bytes]


def enrol(
    api_url: str, join_token: str, name: str, address: str, key: Ed25519PrivateKey, ca_file: str | None = None
) -> dict[str, Any]:
    """Trade a one-time token for an identity.

    Answers {"host_uuid": str, "grant_public_key": base64}. Forbidden: the token is unknown, used, or expired.
    """
    body = {"token": join_token, "name": name, "address": address, "public_key": grants.public_text(key)}
    return _ask(requests.Session(), "POST", f"{api_url}/node/v1/enrol", {}, body, 10, ca_file or True).json()


class NodeClient:
    """One host's line to the API. Raises errors.Unavailable when the API does not answer."""

    def __init__(
        self,
        api_url: str,
        host_uuid: str,
        key: Callable[[], Ed25519PrivateKey],
        clock: Clock,
        timeout_seconds: float = 10.0,
        ca_file: str | None = None,
    ) -> None:
        """key: asked for each request. ca_file: of the API's certificate; else the machine's CAs."""
        self._api_url = api_url.rstrip("/")
        self._host_uuid = host_uuid
        self._key = key
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._verify: str | bool = ca_file or True
        self._session = requests.Session()
        self.report_wanted = False
        self.plane_revision: int | None = None
        self.new_key_wanted = threading.Event()

    def fetch(self, known_revision: int | None) -> DesiredSet | None:
        """What this host should hold, or None when that is still what known_revision said."""
        headers = {"If-None-Match": f'"{known_revision}"'} if known_revision is not None else {}
        answer = self._send("GET", "workloads", headers)
        return None if answer.status_code == 304 else DesiredSet.from_json(answer.json())

    def fetch_plane(self, known_revision: int | None) -> HostPlane | None:
        """What this host should do for networks, or None when that is still what known_revision said."""
        headers = {"If-None-Match": f'"{known_revision}"'} if known_revision is not None else {}
        answer = self._send("GET", "plane", headers)
        return None if answer.status_code == 304 else HostPlane.from_json(answer.json())

    def heartbeat(self, boot_id: str, problem: str | None) -> int:
        """Say that the host lives, and what keeps it from taking work; answers its set's revision.

        Afterwards report_wanted says whether the API needs a full report before it gives the host work, and
        plane_revision which plane it has for the host; new_key_wanted is set if it waits for another key of the host's.
        """
        answer = self._send("PUT", "heartbeat", {}, {"boot_id": boot_id, "problem": problem}).json()
        self.report_wanted = bool(answer["report_wanted"])
        self.plane_revision = answer.get("plane_revision")
        if answer.get("key_wanted"):
            self.new_key_wanted.set()
        return answer["revision"]

    def offer_key(self, signing: Ed25519PrivateKey, new: Ed25519PrivateKey) -> None:
        """Have the API go by a new key; may be repeated, with either as the one that signs.

        Unauthorized: the API does not go by the one that signs. Conflict: it goes by a newer one.
        """
        self._send("PUT", "key", self._signed_by(signing), {"public_key": grants.public_text(new)})

    def report(self, report: Report) -> list[tuple[str, int]]:
        """Deliver a report; answers (uuid, epoch) of containers that this host must remove."""
        answer = self._send("POST", "reports", {}, report.to_json()).json()
        return [(item["uuid"], item["epoch"]) for item in answer["remove"]]

    def login(self, workload_uuid: str) -> Login:
        """For the registry of a workload on this host. NotFound: it has none."""
        return Login(**self._send("GET", f"workloads/{workload_uuid}/registry", {}).json())

    def shown_network(self, ident: str) -> dict[str, Any]:
        """One that this host may show its own Docker: {"network_id", "name", "subnets": [{"cidr", "gateway"}]}.

        Forbidden: no operator lets it.
        """
        return self._send("GET", f"docker/networks?{urlencode({'ident': ident})}", {}).json()

    def docker_port(self, network_id: str, mac: str, cidr: str, ip: str | None) -> dict[str, Any]:
        """The port with this MAC, as an Endpoint in JSON, with an address of the subnet, this one if it is named.

        May be repeated; further subnets are further addresses. Forbidden, NotFound, Conflict.
        """
        body = {"network_id": network_id, "mac": mac, "cidr": cidr, "ip": ip}
        return self._send("PUT", "docker/ports", {}, body).json()

    def docker_ports(self) -> list[dict[str, str]]:
        """Every port that the API has for this host's own Docker: {"port_id", "network_id", "mac"}."""
        return self._send("GET", "docker/ports", {}).json()["ports"]

    def release_docker_port(self, port_id: str) -> None:
        """Have a port of this host's own Docker deleted; may be repeated."""
        self._send("DELETE", f"docker/ports?{urlencode({'port_id': port_id})}", {})

    @contextmanager
    def image(self, image_id: str) -> Iterator[ImageBytes]:
        """The bytes of an image of which this host is to make containers. NotFound: there are none for it."""
        with self._open("GET", f"images/{image_id}/file") as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            yield ImageBytes(size, answer.headers.get("X-Image-Sha512", ""), answer.iter_content(_BLOCK_BYTES))

    def send_image(self, image_id: str, blocks: Iterable[bytes]) -> None:
        """The bytes of an image that this host was to make. NotFound: nobody wants them; Conflict: they are there."""
        with self._open("PUT", f"images/{image_id}/file", blocks):
            return

    @contextmanager
    def _open(self, method: str, path: str, blocks: Iterable[bytes] | None = None) -> Iterator[requests.Response]:
        url = f"{self._api_url}/node/v1/{path}"
        headers = {**self._authorization(), "Content-Type": "application/octet-stream"}
        # a session of its own: this takes long, and other requests go on beside it
        try:
            with (
                requests.Session() as session,
                session.request(
                    method,
                    url,
                    headers=headers,
                    data=blocks,
                    timeout=_SILENT_SECONDS,
                    stream=True,
                    allow_redirects=False,
                    verify=self._verify,
                ) as answer,
            ):
                if answer.status_code >= 400:
                    raise _BY_STATUS.get(answer.status_code, errors.Unavailable)(_message(answer))
                yield answer
        except requests.RequestException as error:
            raise errors.Unavailable(f"The line to the API at {url} broke: {error}") from error

    def _authorization(self) -> dict[str, str]:
        return self._signed_by(self._key())

    def _signed_by(self, key: Ed25519PrivateKey) -> dict[str, str]:
        token = grants.sign(key, grants.API_AUDIENCE, {"sub": self._host_uuid}, self._clock)
        return {"Authorization": f"Node {token}"}

    def _send(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> requests.Response:
        url = f"{self._api_url}/node/v1/{path}"
        everything = {**self._authorization(), **headers, **request_ids.PassedOn()}
        return _ask(self._session, method, url, everything, body, self._timeout_seconds, self._verify)


def _ask(
    session: requests.Session,
    method: str,
    url: str,
    headers: dict[str, str],
    body: Any,
    timeout_seconds: float,
    verify: str | bool,
) -> requests.Response:
    try:
        answer = session.request(
            method, url, headers=headers, json=body, timeout=timeout_seconds, allow_redirects=False, verify=verify
        )
    except requests.RequestException as error:
        raise errors.Unavailable(f"The API does not answer at {url}: {error}") from error
    if answer.status_code >= 400:
        raise _BY_STATUS.get(answer.status_code, errors.Unavailable)(_message(answer))
    return answer


def _message(answer: requests.Response) -> str:
    try:
        return answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return f"The API answered {answer.status_code}."
